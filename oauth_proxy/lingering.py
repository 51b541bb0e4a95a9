"""How long a client may go on sending what nobody wants, so that it reads the answer that it has got already.

The law: the time is bounded, and what comes in it is dropped. If a socket is closed while received bytes are
unread, the system resets the connection, and the client may lose the answer (RFC 9112 9.6).
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from aiohttp import StreamReader

from oauth_proxy.aiohttp_private import BODY_ERRORS
from oauth_proxy.turns import BULK, wait_for_turn

SILENCE = 5.0
"""Seconds within which the client must send something, as in nginx."""
LONGEST = 30.0
"""Seconds in which it must have sent all, as in nginx."""
AT_THE_END = 2.0
"""The same for a connection whose end a stop or a reload waits for."""
LOOK = 1.0
"""Seconds between two looks at a client that sends."""


class Lingering:
    """One client's time to finish. `is_draining` says whether somebody waits for the end of its connection."""

    def __init__(self, is_draining: Callable[[], bool]) -> None:
        self._is_draining = is_draining
        self._time = asyncio.get_running_loop().time
        self._began = self._last = self._time()
        self._seen = 0

    async def read_out(self, body: StreamReader) -> bool:
        """Read the rest of a body; return whether it has ended."""
        with suppress(*BODY_ERRORS):
            while not body.is_eof() and self._goes_on(body.total_bytes):
                piece = b""
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        piece = await body.readany()
                if len(piece) >= BULK:
                    await wait_for_turn("dropped")
        return body.is_eof()

    async def look_on(self, received: Callable[[], int]) -> None:
        """Wait for as long as the client sends; `received` grows with what has come."""
        while self._goes_on(received()):  # noqa: ASYNC110 - an event for each read would cost more
            await asyncio.sleep(LOOK)

    def _goes_on(self, received: int) -> bool:
        now = self._time()
        if received != self._seen:
            self._seen, self._last = received, now
        longest = AT_THE_END if self._is_draining() else LONGEST
        return now - self._last < SILENCE and now - self._began < longest
