"""What goes out of here by TLS: whom we trust, how tools know us, and how Frame.io is reached.

The law: who answers is verified, unless the configuration says of one tool that it is not.
"""

import ssl
from pathlib import Path

import aiohttp

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.settings import Frameio, UpstreamSettings


def frameio_session(frameio: Frameio) -> aiohttp.ClientSession:
    """The HTTP client for Frame.io, which the caller closes. Raises ConfigurationError."""
    connector = None
    if frameio.ca_file is not None:
        connector = aiohttp.TCPConnector(ssl=_trusting(frameio.ca_file, "frameio.ca_file"))
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)


class ToolContexts:
    """The TLS contexts for tools. All that need nothing special share one: its CAs take 30 ms and 0.8 MiB."""

    def __init__(self) -> None:
        self._usual: ssl.SSLContext | None = None

    def of(self, prefix: str, upstream: UpstreamSettings) -> ssl.SSLContext | None:
        """The context for the tool of this prefix; None without TLS. Raises ConfigurationError."""
        if upstream.url.scheme != "https":
            return None
        if upstream.verify and upstream.ca_file is None and upstream.client_cert is None:
            self._usual = self._usual or ssl.create_default_context()
            return self._usual
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
