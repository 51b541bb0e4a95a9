"""The TLS context of the public listener, and its certificates, which are read again when their files change.

The law: visitors always get a certificate with its own key. Files that do not match are left alone until they do.

Session tickets are made with keys that OpenSSL keeps in the context on which a connection begins; Python cannot
set them. So all connections begin on one context without a certificate, and then switch to another, which has the
certificate for their name. Processes that were forked with the same first context resume each other's sessions.
"""

import asyncio
import logging
import ssl
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import time

from oauth_proxy.certificates import Certificate, Unusable, names_for, read_certificate, require_key_of
from oauth_proxy.errors import ConfigurationError
from oauth_proxy.files import State, state_of
from oauth_proxy.settings import Tls

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0
"""Seconds between two looks at the files."""

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_MOST_SHOWN = 5


def bare_context() -> ssl.SSLContext:
    """A context for servers without a certificate, with ticket keys of its own, which forked processes inherit."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # a handshake costs the server more than the client
    context.num_tickets = 1  # one ticket serves the next connection; a second costs a twentieth of a handshake
    return context


class ServerTls:
    """Certificates of one listener, read now. Raises ConfigurationError if one is unusable.

    `wall` is the time in seconds since the epoch.
    """

    def __init__(self, listed: Sequence[Tls], wall: Callable[[], float] = time) -> None:
        self._pairs = [_Pair(each.cert, each.key) for each in listed]
        self._wall = wall
        self._oldest = _VERSIONS[listed[0].min_version or "1.2"]
        for pair in self._pairs:
            try:
                pair.look()
            except Unusable as unusable:
                raise ConfigurationError([f"tls: {pair}: {unusable}"]) from None
        self._choice: _Choice

    def used(self, base: ssl.SSLContext) -> ssl.SSLContext:
        """`base`, for handshakes with these certificates. It is a `bare_context`, perhaps shared with others."""
        base.minimum_version = self._oldest
        self._choice = _Choice(self._pairs)
        base.sni_callback = self._switch
        if not isinstance(sys.unraisablehook, WithoutNames):
            sys.unraisablehook = WithoutNames(sys.unraisablehook)
        for pair in self._pairs:
            self._tell(pair)
        return base

    def look(self) -> bool:
        """Read files that have changed, and say whether any did. New handshakes get what they hold; connections
        that are open go on.
        """
        changed = False
        for pair in self._pairs:
            try:
                if pair.look():
                    self._tell(pair)
                    changed = True
            except Unusable as unusable:
                if pair.is_news(unusable):
                    log.warning("%s: %s; the certificate before it stays in use", pair, unusable)
        if changed:
            self._choice = _Choice(self._pairs)  # at once: a handshake sees all of the old or all of the new
        return changed

    @property
    def ends(self) -> dict[str, float]:
        """When each certificate in use ends, in seconds since the epoch, by its file."""
        return {str(pair): pair.certificate.ends.timestamp() for pair in self._pairs}

    async def forever(self, tell: Callable[[], None]) -> None:
        """Call `look` every few seconds, in a thread, as a file may be slow to read; `tell` when one was read."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                if await asyncio.to_thread(self.look):
                    tell()
            except Exception:  # continue in any case: the next certificate must be read
                log.exception("a fault of ours while looking for new certificates")

    def _switch(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        """OpenSSL calls this in each handshake, with the name that the visitor asks for, if any (RFC 6066 3)."""
        connection.context = self._choice.of(name)

    def _tell(self, pair: "_Pair") -> None:
        certificate = pair.certificate
        names = _shown(certificate.names or certificate.addresses)
        days = certificate.days_left(datetime.fromtimestamp(self._wall(), UTC))
        if days < 0:
            log.warning("%s is read, a certificate for %s, and has expired", pair, names)
        else:
            log.info("%s is read, a certificate for %s, good for %d days", pair, names, days)


class _Pair:
    """A certificate's file and its key's, what was last read of them, and a context that has both."""

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert = cert
        self._key = key
        self._read: tuple[State, State] | None = None
        self._told: tuple[State, State, str] | None = None
        self.certificate: Certificate
        self.context: ssl.SSLContext

    def look(self) -> bool:
        """Read the files if they have changed since they were read, and say whether. Raises Unusable."""
        state = state_of(self._cert), state_of(self._key)  # before they are read: they may change meanwhile
        if state == self._read:
            return False
        certificate = read_certificate(self._cert)
        require_key_of(certificate, self._key)
        context = bare_context()
        try:
            # OpenSSL would ask the terminal for a password, if there was no other.
            context.load_cert_chain(self._cert, self._key, password="")
        except (OSError, ssl.SSLError) as error:
            raise Unusable(
                f"OpenSSL cannot use them ({getattr(error, 'reason', None) or error.strerror})"
            ) from None
        self.certificate, self.context, self._read = certificate, context, state
        return True

    def is_news(self, unusable: Unusable) -> bool:
        """Whether these files have not been told of with this reason."""
        told, self._told = self._told, (state_of(self._cert), state_of(self._key), str(unusable))
        return told != self._told

    def __str__(self) -> str:
        return str(self._cert)


class _Choice:
    """Which context is for which name. Where two certificates have the same name, the first one listed is used."""

    def __init__(self, pairs: Sequence[_Pair]) -> None:
        self._default = pairs[0].context
        self._by_name: Mapping[str, ssl.SSLContext] = {
            name: pair.context for pair in reversed(pairs) for name in pair.certificate.names
        }

    def of(self, name: str | None) -> ssl.SSLContext:
        for each in names_for(name or ""):
            if context := self._by_name.get(each):
                return context
        return self._default


def _shown(names: Iterable[str]) -> str:
    first, more = [*names][:_MOST_SHOWN], len([*names]) - _MOST_SHOWN
    return ", ".join(first) + (f" and {more} more" if more > 0 else "") or "no name"


class WithoutNames:
    """An unraisablehook that keeps server names which are not ASCII off standard error; `told` gets the rest.

    CPython ends such a handshake before our callback, and would write a traceback with the name for each.
    """

    def __init__(self, told: Callable[["sys.UnraisableHookArgs"], object]) -> None:
        self._told = told

    def __call__(self, unraisable: "sys.UnraisableHookArgs") -> None:
        """Called by Python for each error that nobody can catch."""
        name = isinstance(unraisable.object, bytes) or "servername" in (unraisable.err_msg or "")
        if not (name and isinstance(unraisable.exc_value, UnicodeDecodeError)):
            self._told(unraisable)
