"""The listeners of the parent: opened once, kept from one generation of workers to the next."""

import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from oauth_proxy.errors import AddressUnavailable, ConfigurationError
from oauth_proxy.inherited import addresses
from oauth_proxy.process.supervisor import Given
from oauth_proxy.settings import Listen, Settings
from oauth_proxy.sockets import Listener, let_in, opened

NAMES = ("public", "admin", "tool_api")
"""What is served at a listener; a supervisor's socket may have such a name."""
_PATIENCE, _LOOK_AGAIN = 2.0, 0.1


class Listeners:
    """`given` are sockets that listen already: a supervisor's, or the caller's."""

    def __init__(self, given: Iterable[Given] = ()) -> None:
        self._given = list(given)
        self._open: dict[Listen, Listener] = {}

    def open(self, settings: Settings) -> dict[str, Listener]:
        """The listeners for these settings, by what is served there. Those that are open already stay as they are.

        Raises ConfigurationError if an address cannot be used, and AddressUnavailable if it cannot now; then no
        listener is left open that was not open before.
        """
        before = set(self._open)
        try:
            return {name: self._listener(name, at) for name, at in addresses(settings).items()}
        except ConfigurationError:
            self._close(set(self._open) - before)
            raise

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
        """Close the listeners that these settings do not need, and set who may connect to the others."""
        wanted = addresses(settings).values()
        self._close(set(self._open) - set(wanted))
        for at in wanted:
            if at.path and not self._is_given(at):
                let_in(at)

    def close(self) -> None:
        """Close all listeners."""
        self._close(set(self._open))

    def let_go(self) -> None:
        """In a process that has forked: close what it does not serve. Call this for no listener that it serves."""
        for each in self._open.values():
            each.let_go()

    def others(self, served: Mapping[str, Listener]) -> list[Listener]:
        """The open listeners that are not among these."""
        return [each for each in self._open.values() if each not in served.values()]

    def _listener(self, name: str, at: Listen) -> Listener:
        if at not in self._open:
            found = self._from_given(name, at)
            self._open[at] = opened(at) if found is None else Listener(at, [found])
        return self._open[at]

    def _from_given(self, name: str, at: Listen) -> socket.socket | None:
        """The given socket for that: by its name, else by its address, else the only one there is for visitors."""
        for each in self._given:
            if each.name == name or (each.name not in NAMES and _is_at(each.sock, at)):
                return each.sock
        only = self._given[0] if len(self._given) == 1 and name == "public" else None
        return only.sock if only is not None and only.name not in NAMES else None

    def _is_given(self, at: Listen) -> bool:
        return any(each.sock in self._open[at].sockets for each in self._given)

    def _close(self, which: Iterable[Listen]) -> None:
        for at in which:
            self._open.pop(at).close()


def _is_at(sock: socket.socket, at: Listen) -> bool:
    name = sock.getsockname()
    if at.path is not None or not isinstance(name, tuple):
        return bool(name == at.path)
    return replace(at, host=name[0], port=name[1]) == at
