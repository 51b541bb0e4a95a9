"""Bytes that wait for somebody who does not take them: for a while, never for ever."""

import asyncio
import logging
import socket
import struct

log = logging.getLogger(__name__)

STALL = 60.0
"""Seconds in which the other side has to take something of what waits for it."""
_RESET = struct.pack("ii", 1, 0)


class StallWatch:
    """Cuts a connection when bytes wait in its transport and nothing of them is taken for STALL seconds.

    `start` it when bytes begin to wait. It ends by itself when they have gone; `stop` spares that a timer.
    """

    __slots__ = ("_left", "_timer")

    def __init__(self) -> None:
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, transport: asyncio.WriteTransport) -> None:
        """Look after what waits there now."""
        self.stop()
        self._left = transport.get_write_buffer_size()
        if self._left:
            self._timer = asyncio.get_running_loop().call_later(STALL, self._look, transport)

    def stop(self) -> None:
        """Nothing waits any more, or nobody."""
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


def reset(transport: asyncio.WriteTransport) -> None:
    """End a connection so that it cannot be taken for the end of a body, and leave nothing of it in the kernel."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
