"""Fair use of the event loop: a connection with much work lets all others go first.

The law: bytes that take long to parse are parsed one slice at a time, and only one connection does so per turn
of the loop. Pipelined requests wait in a line of their own, so that nobody's download stands behind them. The loop
itself is fair to connections, not to people: 200 connections with 5 ms of work each make everyone else wait for a
second.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Literal
from weakref import WeakKeyDictionary

SLICE = 4 * 1024
"""Bytes of a chunked body that are parsed at once: one-byte chunks take about a microsecond per byte."""
SLOW = 0.0003
"""Seconds of parsing after which a connection waits for its turn."""
PAUSE = 0.001
"""Seconds between two turns while several wait, so that other processes, such as the tool, get the processor."""
BULK = 64 * 1024
"""Bytes: a read of this size means that more is waiting in the socket."""


class Line:
    """A queue of callbacks on one event loop: first come, first served."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], object]] = deque()

    def join(self, go_on: Callable[[], object]) -> None:
        """Call `go_on` in a later turn of the loop, in which no other callback of this line runs."""
        if not self._waiting:
            self._loop.call_soon(self._call_next)
        self._waiting.append(go_on)

    def _call_next(self) -> None:
        go_on = self._waiting.popleft()
        if self._waiting:
            self._loop.call_later(PAUSE, self._call_next)
        go_on()


Work = Literal["bytes", "requests", "dropped"]
"""What waits in a line: bytes that take long to parse or to pass on, pipelined requests, or bytes nobody wants."""
_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Work, Line]] = WeakKeyDictionary()


def line(of: Work = "bytes") -> Line:
    """Return the line of the running event loop for this kind of work."""
    loop = asyncio.get_running_loop()
    lines = _lines.get(loop)
    if lines is None:
        lines = _lines[loop] = {"bytes": Line(loop), "requests": Line(loop), "dropped": Line(loop)}
    return lines[of]


def wake(waiter: asyncio.Future[None]) -> None:
    """End the future, unless it has ended: whoever waits for it goes on in a later turn."""
    if not waiter.done():
        waiter.set_result(None)


async def wait_for_turn(of: Work = "requests") -> None:
    """Wait in a line of the running event loop."""
    turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def come_back() -> None:
        if not turn.done():
            turn.set_result(None)

    line(of).join(come_back)
    await turn


class Slices:
    """Bytes of one connection, passed to `parse` one slice at a time.

    `parse` returns whether it can take more now; call `go_on` when it can again. `hold` is called when the socket
    must pause, and `release` when it may be read again; either may be called twice in a row.
    """

    __slots__ = ("_at", "_data", "_hold", "_is_in_line", "_parse", "_release")

    def __init__(
        self, parse: Callable[[bytes], bool], *, hold: Callable[[], None], release: Callable[[], None]
    ) -> None:
        self._parse = parse
        self._hold = hold
        self._release = release
        self._is_in_line = False
        self._data, self._at = b"", 0
        """The last bytes, and how many of them are parsed. Cutting them each time would copy them."""

    @property
    def held(self) -> int:
        """Bytes that have arrived and are not parsed yet."""
        return len(self._data) - self._at

    @property
    def wait(self) -> bool:
        """Whether bytes are held, or this connection waits in the line."""
        return self._is_in_line or self._at < len(self._data)

    def feed(self, data: bytes) -> None:
        """Parse `data` after what is held, now or in later turns."""
        self._data, self._at = self.take_back() + data, 0
        self.go_on()

    def go_on(self) -> None:
        """Parse what is held until it has taken too long. Does nothing while the connection waits in the line."""
        if self._is_in_line:
            return
        began, may_go_on = monotonic(), True
        while self.held and may_go_on:
            piece = self._data[self._at : self._at + SLICE]
            self._at += len(piece)
            may_go_on = self._parse(piece)
            if monotonic() - began > SLOW:
                self._is_in_line = True
                line().join(self._turn)
                break
        if not self.held:
            self._data, self._at = b"", 0
        if self.wait:
            self._hold()
        else:
            self._release()

    def take_back(self) -> bytes:
        """Return the held bytes; they will not be parsed here."""
        held, self._data, self._at = self._data[self._at :], b"", 0
        return held

    def _turn(self) -> None:
        self._is_in_line = False
        self.go_on()
