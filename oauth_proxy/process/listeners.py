"""The listeners of the parent: opened once, kept from one generation of workers to the next."""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

from oauth_proxy.errors import AddressUnavailable, ConfigurationError
from oauth_proxy.inherited import addresses
from oauth_proxy.process.handed import Given, Handed
from oauth_proxy.settings import Listen, Settings
from oauth_proxy.sockets import Listener, let_in, opened

_PATIENCE, _LOOK_AGAIN = 2.0, 0.1


class Listeners:
    """`given` are sockets that listen already: a supervisor's, or the caller's."""

    def __init__(self, given: Iterable[Given] = ()) -> None:
        self._handed = Handed(given)
        self._open: dict[Listen, Listener] = {}

    def open(self, settings: Settings) -> dict[str, Listener]:
        """The listeners for these settings, by what is served there. Those that are open already stay as they are.

        Raises ConfigurationError if an address cannot be used, and AddressUnavailable if it cannot now; then no
        listener is left open that was not open before.
        """
        before, anew = set(self._open), dict[Listen, Listener]()
        wanted = addresses(settings)
        handed = self._handed.listeners(wanted)
        try:
            found = {name: handed.get(name) or self._listener(at, anew) for name, at in wanted.items()}
        except ConfigurationError:
            for each in anew.values():  # no worker has them: whoever connected there would wait for ever
                each.close()
            self._close(set(self._open) - before)
            raise
        for at, each in anew.items():
            self._open[at].become(each)
        return found

    def open_patiently(self, settings: Settings) -> dict[str, Listener]:
        """As `open`, for the start: the workers of a proxy whose parent was killed still listen for a second."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                return self.open(settings)
            except AddressUnavailable:
                if time.monotonic() >= until:
                    raise
            time.sleep(_LOOK_AGAIN)

    def keep(self, settings: Settings) -> None:
        """Close the listeners that these settings do not need, and set who may connect to the others.

        What was handed over stays as it is: its mode and its file are the supervisor's.
        """
        wanted = addresses(settings).values()
        self._close(set(self._open) - set(wanted))
        for at in wanted:
            if at in self._open:
                with suppress(OSError, ConfigurationError):  # after a reload that failed, as it was
                    let_in(at)

    def close(self) -> None:
        """Close all listeners."""
        self._close(set(self._open))
        self._handed.close()

    def close_others(self, served: Mapping[str, Listener]) -> None:
        """In a process that has forked: close every socket but those of the listeners that it serves."""
        ours = [sock for each in self._open.values() for sock in each.sockets]
        kept = {id(sock) for each in served.values() for sock in each.sockets}
        for sock in (*ours, *(each.sock for each in self._handed.given)):
            if id(sock) not in kept:
                sock.close()

    def _listener(self, at: Listen, anew: dict[Listen, Listener]) -> Listener:
        known = self._open.get(at)
        if known is not None and known.is_there():
            try:
                let_in(at)
            except OSError as error:
                raise ConfigurationError([f"cannot listen on {at}: {error.strerror}"]) from None
            return known
        if known is not None:  # somebody has removed its file: nobody would find it
            anew[at] = opened(at)
            return known
        self._open[at] = opened(at)
        return self._open[at]

    def _close(self, which: Iterable[Listen]) -> None:
        for at in which:
            self._open.pop(at).close()
