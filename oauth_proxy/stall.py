"""Bounds how long unsent bytes wait for a peer that does not read them, and waits for one that does."""

import asyncio
import logging
import select
import socket
import struct
from contextlib import suppress

log = logging.getLogger(__name__)

STALL = 60.0
"""Seconds within which the peer must accept some of the bytes that wait for it."""
_SOONEST, _LATEST = 0.01, 1.0
"""Seconds between two looks at whether all is sent: first the one, in the end the other."""
_SURE = 5
"""Looks at a socket, in as many turns of the loop, that have to say that it has room."""
_RESET = struct.pack("ii", 1, 0)


class StallWatch:
    """Cuts a connection when bytes wait in its transport and the peer accepts none of them for STALL seconds.

    Call `start` when bytes begin to wait. The watch ends by itself when they are sent; `stop` ends it earlier.
    """

    __slots__ = ("_left", "_timer")

    def __init__(self) -> None:
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, transport: asyncio.WriteTransport) -> None:
        """Watch the bytes that wait in `transport` now."""
        self.stop()
        self._left = transport.get_write_buffer_size()
        if self._left:
            self._timer = asyncio.get_running_loop().call_later(STALL, self._look, transport)

    def stop(self) -> None:
        """Stop watching: no bytes wait, or the connection is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, transport: asyncio.WriteTransport) -> None:
        before = self._left
        self.start(transport)
        if self._left >= before:
            self.stop()
            log.warning("a connection was cut: nothing was taken of it for %g s", STALL)
            reset(transport)


async def handed_over(transport: asyncio.WriteTransport) -> None:
    """Wait until the system has all that was written, or takes none of it for STALL seconds.

    With TLS, a transport that is closed gives what is unsent no longer than the peer has to answer the goodbye.
    What it has encrypted waits in a transport of its own, which nobody can ask; but in each turn of the loop that
    one fills the socket, so nothing waits where there is room for some turns in a row.
    """
    loop, pause, in_a_row = asyncio.get_running_loop(), _SOONEST, 0
    left, until = transport.get_write_buffer_size(), loop.time() + STALL
    while in_a_row < _SURE and loop.time() < until and not transport.is_closing():
        if not left and _has_room(transport):
            in_a_row += 1
            await asyncio.sleep(0)
        else:
            in_a_row = 0
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LATEST)
        before, left = left, transport.get_write_buffer_size()
        if left < before:
            until = loop.time() + STALL


def _has_room(transport: asyncio.BaseTransport) -> bool:
    """Whether the system would take more for this socket now."""
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLOUT)
    return bool(poll.poll(0))


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Let the system ask, every now and then, whether the peer of a silent connection is still there."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):  # macOS lets no option be set once the peer has reset the connection
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def reset(transport: asyncio.WriteTransport) -> None:
    """Reset a connection, so that the peer cannot take this for the end of a body, and free its kernel buffers."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):  # macOS lets no option be set once the peer has reset the connection
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
