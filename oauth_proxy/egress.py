"""What goes out of here by TLS: whom we trust, how tools know us, and how Frame.io is reached.

The law: who answers is verified, unless the configuration says of one tool that it is not.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.files import State, state_of
from oauth_proxy.settings import Frameio, UpstreamSettings

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0
"""Seconds between two looks at the files."""


def frameio_tls(frameio: Frameio) -> ssl.SSLContext | None:
    """The TLS context for Frame.io, if it needs one of its own. Raises ConfigurationError."""
    return _trusting(frameio.ca_file, "frameio.ca_file") if frameio.ca_file is not None else None


def frameio_session(context: ssl.SSLContext | None) -> aiohttp.ClientSession:
    """The HTTP client for Frame.io, which the caller closes; `context` is from `frameio_tls`."""
    connector = aiohttp.TCPConnector(ssl=context) if context is not None else None
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)


class ToolTls:
    """The TLS contexts for tools by https, by prefix. Raises ConfigurationError for a file that cannot be used.

    All tools that need nothing special share one context: its authorities take 30 ms and 0.8 MiB.
    """

    def __init__(self, upstreams: Mapping[str, UpstreamSettings]) -> None:
        self._upstreams = upstreams
        self.contexts: dict[str, ssl.SSLContext] = {}
        self._read: dict[str, list[State]] = {}
        self._refused: dict[str, list[str]] = {}
        usual: ssl.SSLContext | None = None
        for prefix, each in upstreams.items():
            if each.url.scheme != "https":
                continue
            if each.verify and not _files(each):
                usual = usual or ssl.create_default_context()
                self.contexts[prefix] = usual
                continue
            self._read[prefix] = _state(each)  # before they are read: they may change meanwhile
            self.contexts[prefix] = _context(prefix, each)

    def look(self) -> dict[str, ssl.SSLContext]:
        """New contexts, by prefix, for files that have changed. What cannot be used is told of once, and left."""
        changed = {}
        for prefix, read in self._read.items():
            each = self._upstreams[prefix]
            state = _state(each)
            if state == read:
                continue
            try:
                changed[prefix] = self.contexts[prefix] = _context(prefix, each)
            except ConfigurationError as error:
                if self._refused.get(prefix) != error.problems:
                    self._refused[prefix] = error.problems
                    log.warning("%s; what was read before stays in use", "; ".join(error.problems))
                continue
            self._read[prefix] = state
            self._refused.pop(prefix, None)
            log.info("the files for TLS to the tool of %s are read again", prefix)
        return changed

    async def forever(self, use: Callable[[str, ssl.SSLContext], None], tell: Callable[[], None]) -> None:
        """`use` what is new, every few seconds, and `tell`. A thread reads the files, because that may be slow."""
        while self._read:
            await asyncio.sleep(LOOK_EVERY)
            try:
                if changed := await asyncio.to_thread(self.look):
                    tell()
                for prefix, context in changed.items():
                    use(prefix, context)
            except Exception:  # continue in any case: the next certificate must be read
                log.exception("a fault of ours while looking for new files for TLS")


def _files(upstream: UpstreamSettings) -> list[Path]:
    pair = upstream.client_cert
    named = (upstream.ca_file, pair.cert if pair else None, pair.key if pair else None)
    return [path for path in named if path is not None]


def _state(upstream: UpstreamSettings) -> list[State]:
    return [state_of(path) for path in _files(upstream)]


def _context(prefix: str, upstream: UpstreamSettings) -> ssl.SSLContext:
    """A context of its own for this tool. Raises ConfigurationError."""
    context = _trusting(upstream.ca_file, f"upstreams.{prefix}.ca_file")
    if not upstream.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if pair := upstream.client_cert:
        try:
            # OpenSSL would ask the terminal for a password, if there was no other.
            context.load_cert_chain(pair.cert, pair.key, password="")
        except (OSError, ssl.SSLError) as error:
            raise _unusable(f"upstreams.{prefix}.client_cert", pair.cert, error) from None
    return context


def _trusting(authorities: Path | None, key: str) -> ssl.SSLContext:
    """A context that trusts these authorities alone, or for None the system's."""
    try:
        return ssl.create_default_context(cafile=authorities)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(key, authorities, error) from None


def _unusable(key: str, path: Path | None, error: OSError) -> ConfigurationError:
    why = getattr(error, "reason", None) or error.strerror
    return ConfigurationError([f"{key}: {path}: OpenSSL cannot use it ({why})"])
