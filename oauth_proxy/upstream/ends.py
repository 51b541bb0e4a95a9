"""The two ends of an open WebSocket: bytes both ways, and how we close it (RFC 6455 5.5.1, 7).

The law: what one end sends reaches the other unchanged and in order, and no faster than it is taken. A frame of
ours stands only between two frames of theirs. Nothing that a visitor sends is passed on once we begin to close.
"""

import asyncio

from oauth_proxy.endings import Ending, ending_of
from oauth_proxy.stall import StallWatch
from oauth_proxy.turns import BULK, line
from oauth_proxy.upstream.frames import Frames, close_frame
from oauth_proxy.upstream.lost import unread

LAST_WORDS = 10.0
"""Seconds in which one side may still send after the other has finished."""
FRAME_ENDS = 1.0
"""Seconds for the tool to finish the frame that it is sending, before we close."""
ANSWER = 2.0
"""Seconds for either side to answer our Close frame."""

_buffer = memoryview(bytearray(BULK))
"""One buffer for all tunnels: what is read into it is written at once. The loop's own is four times as large."""


class End:
    """One end of a tunnel: its socket, and the frames that come from it."""

    __slots__ = ("frames", "is_full", "is_in_line", "is_silent", "is_told", "socket")

    def __init__(self, socket: asyncio.Transport) -> None:
        self.socket = socket
        self.frames = Frames()
        self.is_full = False
        """It must read before it is sent more."""
        self.is_in_line = False
        """It is not read before its turn."""
        self.is_silent = False
        """It sends no more."""
        self.is_told = False
        """We close the tunnel, and it has been sent a Close frame, by us or by the other end."""

    def read_on(self) -> None:
        """Read from it again, unless its turn is still to come."""
        if not self.is_in_line:
            self.socket.resume_reading()


class Tunnel:
    """Two ends that are joined until either is lost, or we close."""

    __slots__ = ("_over", "_timer", "ending", "is_over", "tool", "visitor")

    def __init__(self, visitor: asyncio.Transport, tool: asyncio.Transport) -> None:
        self.visitor = End(visitor)
        self.tool = End(tool)
        self.ending: Ending | None = None
        """Why we close it; None until we do."""
        self.is_over = False
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle | None = None

    async def until_over(self) -> None:
        """Return once it is over. Cancelled with an Ending as the message, this closes it first."""
        while not self.is_over:
            try:
                await self._over
            except asyncio.CancelledError as cancelled:
                ending, task = ending_of(cancelled), asyncio.current_task()
                if ending is None or task is None:
                    raise
                task.uncancel()
                if not self.is_over:
                    self._over = asyncio.get_running_loop().create_future()
                    self.close(ending)

    def close(self, ending: Ending) -> None:
        """Send a Close frame to each end; the tunnel is over once the visitor has answered, or the time is up.

        The tool may finish the frame that it is sending to the visitor. A visitor may not: in the middle of one,
        the tool gets no Close frame and is cut when the tunnel is over. Does nothing if it closes already.
        """
        if self.is_over or self.ending is not None:
            return
        self.ending = ending
        for end in (self.visitor, self.tool):
            if end.is_silent or end.socket.is_closing():
                self.end()
                return
            end.frames.to_the_end()
        self._tell(self.tool, self.visitor.frames, ending, masked=True)
        self.visitor.read_on()  # it may have waited for the tool to take more
        is_told = self._tell(self.visitor, self.tool.frames, ending, masked=False)
        self._set_timer(ANSWER if is_told else FRAME_ENDS)
        self.look(self.visitor)
        self.look(self.tool)

    def passes_on(self, own: End) -> bool:
        """Whether what that end sends is passed on: all until we close, then the tool's last frame."""
        return self.ending is None or (own is self.tool and not self.visitor.is_told)

    def to_be_passed_on(self, own: End, data: bytes) -> bytes:
        """While we close: return what is still passed on of the bytes that `own` has sent, and follow that."""
        if not self.passes_on(own):
            return b""
        passed = data[: own.frames.rest_of_frame(data)]
        own.frames.follow(passed)  # one frame: nothing is held after it
        return passed

    def look(self, own: End) -> None:
        """While we close: see whether that end may be told now, and whether it has answered."""
        if self.ending is None:
            return
        is_last = own is self.tool and not (self.visitor.is_told or self.is_over)
        if is_last and self._tell(self.visitor, own.frames, self.ending, masked=False):
            self._set_timer(ANSWER)
        if own.is_told and own.frames.closed and own.frames.between:
            if own is self.visitor:
                self.end()
            else:
                own.socket.close()

    def end(self) -> None:
        """The tunnel is over; whoever waits for that lets the sockets go."""
        if not self.is_over:
            self.is_over = True
            if not self._over.done():
                self._over.set_result(None)

    def lost(self, own: End) -> None:
        """One end has gone. While we close, the visitor may still answer when the tool does not."""
        if self.ending is None or own is self.visitor or not self.visitor.is_told:
            self.end()

    def let_go(self) -> None:
        """Close both ends once everything is sent; cut them if that takes too long."""
        self.is_over = True
        loop = asyncio.get_running_loop()
        for end in (self.tool, self.visitor):
            if end is self.visitor or not end.is_told:  # a tool that was told has a time of its own to answer
                end.socket.close()
                loop.call_later(LAST_WORDS, end.socket.abort)

    def _tell(self, end: End, frames: Frames, ending: Ending, *, masked: bool) -> bool:
        """Send our Close frame to one end if the other's `frames` stand between two; return whether they do.

        Where the other's Close frame has passed already, ours is not needed.
        """
        if not frames.between or end.socket.is_closing():
            return False
        if not frames.closed:
            end.socket.write(close_frame(ending, masked=masked))
        end.is_told = True
        return True

    def _set_timer(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._cut)

    def _cut(self) -> None:
        self.end()
        self.visitor.socket.abort()
        self.tool.socket.abort()


class TunnelSide(asyncio.BufferedProtocol):
    """Reads one end of a tunnel: whatever arrives there is sent on the `other` one.

    `before` is the protocol the socket had until now. It is told when the socket is lost, so that its owner's
    counts stay correct.
    """

    __slots__ = ("_before", "_other", "_own", "_tunnel", "_unread")

    def __init__(self, before: asyncio.Protocol, tunnel: Tunnel, own: End, other: End) -> None:
        self._before = before
        self._tunnel = tunnel
        self._own = own
        self._other = other
        self._unread: StallWatch | None = None

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next bytes of this side."""
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Forward what this side sent. After a full buffer, wait for a turn: the loop would read on for MiBs."""
        self.forward(bytes(_buffer[:nbytes]))
        if nbytes == BULK:
            self._wait_for_turn()

    def forward(self, data: bytes) -> None:
        """Forward what this side sent. If it is many small frames, wait for a turn to follow the rest of them."""
        tunnel, own = self._tunnel, self._own
        if tunnel.ending is None:
            if tunnel.is_over:
                return
            self._other.socket.write(data)
        else:
            passed = tunnel.to_be_passed_on(own, data)
            if passed and not tunnel.is_over:
                self._other.socket.write(passed)
                tunnel.look(own)
            data = data[len(passed) :]
        if not own.frames.follow(data):
            self._wait_for_turn()
        if tunnel.ending is not None:
            tunnel.look(own)

    def _forward_rest(self) -> None:
        """Forward what TLS has received while this side was not read."""
        if rest := unread(self._own.socket):
            self.forward(rest)

    def _wait_for_turn(self) -> None:
        if not self._own.is_in_line:
            self._own.is_in_line = True
            self._own.socket.pause_reading()
            line().join(self._go_on)

    def _go_on(self) -> None:
        own, tunnel = self._own, self._tunnel
        own.is_in_line = False
        if not own.frames.go_on():
            self._wait_for_turn()
            return
        tunnel.look(own)
        if not (self._other.is_full and tunnel.passes_on(own)):
            own.read_on()

    def pause_writing(self) -> None:
        """This side reads too slowly, so the other is paused. If it reads nothing for long, both end."""
        self._unread = StallWatch()
        self._unread.start(self._own.socket)
        self._own.is_full = True
        if self._tunnel.passes_on(self._other):
            self._other.socket.pause_reading()

    def resume_writing(self) -> None:
        """This side has read enough."""
        self._stop_watching()
        self._own.is_full = False
        self._other.read_on()

    def eof_received(self) -> bool:
        """This side sends no more. The other may still finish for a while, unless it uses TLS or we close."""
        own, other, tunnel = self._own, self._other, self._tunnel
        self._forward_rest()
        own.is_silent = True
        if tunnel.ending is not None:
            tunnel.lost(own)
            return False
        if other.is_silent or not other.socket.can_write_eof():
            tunnel.end()
        elif not tunnel.is_over:
            other.socket.write_eof()
            asyncio.get_running_loop().call_later(LAST_WORDS, tunnel.end)
        return own.socket.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """This side is lost. What it sent last is still forwarded."""
        self._stop_watching()
        self._forward_rest()
        self._tunnel.lost(self._own)
        self._before.connection_lost(exc)

    def _stop_watching(self) -> None:
        if self._unread is not None:
            self._unread.stop()
            self._unread = None


class Tunnels:
    """The open tunnels of one tool."""

    def __init__(self) -> None:
        self._open: set[Tunnel] = set()
        self._ending: Ending | None = None

    def add(self, tunnel: Tunnel) -> None:
        """A tunnel is open. After `close` it is closed at once."""
        self._open.add(tunnel)
        if self._ending is not None:
            tunnel.close(self._ending)

    def discard(self, tunnel: Tunnel) -> None:
        """A tunnel is over."""
        self._open.discard(tunnel)

    def close(self, ending: Ending) -> None:
        """Close all of them, and each that is opened later. Returns at once."""
        self._ending = ending
        for tunnel in list(self._open):
            tunnel.close(ending)
