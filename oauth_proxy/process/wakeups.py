"""Signals as bytes that a selector sees (signal.set_wakeup_fd)."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from oauth_proxy.errors import MayPass


class Wakeups:
    """While the context lasts, these signals do nothing but wake whoever waits for the socket that it returns."""

    def __init__(self, *signals: signal.Signals) -> None:
        self._signals = signals
        self._before: list[tuple[signal.Signals, signal._HANDLER]] = []
        self._woken, self._wakes = socket.socketpair()
        for each in (self._woken, self._wakes):
            each.setblocking(False)

    def __enter__(self) -> socket.socket:
        for each in self._signals:
            self._before.append((each, signal.signal(each, lambda *_: None)))
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        return self._woken

    def take(self) -> bytes:
        """The numbers of the signals that have arrived. Call this when the socket can be read."""
        return self._woken.recv(1024)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before:
            signal.signal(number, handler)
        self._woken.close()
        self._wakes.close()


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise ConfigurationError in what is done here if it takes longer. For the main thread."""

    def give_up(*_: object) -> None:
        raise MayPass([f"the configuration could not be read within {seconds} s; is one of its files a pipe?"])

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
