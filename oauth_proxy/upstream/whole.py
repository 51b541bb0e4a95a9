"""Reads whole bodies that must be verified before the tool receives any of it.

The law: the size of all of them together is bounded, and so is one client's part of it: anyone can send a body
that only turns out to be unsigned when it is complete.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from oauth_proxy.errors import BadRequest, BodyTooLarge, RequestTooSlow, TooMuchHeld
from oauth_proxy.requests import Request
from oauth_proxy.upstream.outgoing import send_continue

LONGEST = 1024 * 1024
"""Bytes; Frame.io's own webhook calls are a few kilobytes of JSON."""
DEADLINE = 10.0
"""Seconds for the whole body."""
MOST_HELD = 16 * LONGEST
"""Bytes of all bodies held at the same time."""
MOST_OF_ONE = MOST_HELD // 4
"""Bytes of that for one client, so that a stranger leaves room for Frame.io."""


class Room:
    """Memory that is shared out: `most` bytes for everybody, and `most_of_one` of that for one client."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self.most = most
        self._most_of_one = most_of_one
        self.held = 0
        """Bytes that are taken now."""
        self.by_client: dict[str, int] = {}
        """Bytes that each client has taken."""

    def check(self, client: str, size: int) -> None:
        """Raises TooMuchHeld if there is no room for `size` bytes more."""
        held = self.by_client.get(client, 0)
        if self.held + size > self.most or held + size > self._most_of_one:
            raise TooMuchHeld(f"{self.held} bytes of bodies are held, {held} of them this client's")

    def take(self, client: str, size: int) -> None:
        """Take `size` bytes. Raises TooMuchHeld."""
        self.check(client, size)
        self._count(client, size)

    def give_back(self, client: str, size: int) -> None:
        """Give back `size` bytes that were taken."""
        self._count(client, -size)

    def _count(self, client: str, size: int) -> None:
        self.held += size
        held = self.by_client.pop(client, 0) + size
        if held:
            self.by_client[client] = held


class WholeBodies:
    """Holds bodies while they are needed, and counts their bytes as they arrive."""

    def __init__(self) -> None:
        self.room = Room(MOST_HELD, MOST_OF_ONE)
        """What they take now."""

    @asynccontextmanager
    async def of(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the request's body, which is held until the context ends.

        Raises BodyTooLarge, TooMuchHeld, RequestTooSlow, and BadRequest if the body breaks off.
        """
        body = await self._read(request)
        try:
            yield body
        finally:
            self.room.give_back(request.client, len(body))

    async def _read(self, request: Request) -> bytes:
        client, announced = request.client, request.content_length or 0
        if announced > LONGEST:
            raise BodyTooLarge(f"a body of {announced} bytes, announced")
        self.room.check(client, announced or 1)
        send_continue(request)
        body = bytearray()
        try:
            async with asyncio.timeout(DEADLINE):
                while piece := await request.content.readany():
                    self._hold(client, body, piece)
        except BaseException as error:
            self.room.give_back(client, len(body))
            if isinstance(error, TimeoutError):
                raise RequestTooSlow(f"the request's body was not complete after {DEADLINE:g} s") from None
            if isinstance(error, web.RequestPayloadError):
                raise BadRequest(f"the request's body broke off: {error}") from None
            raise
        return bytes(body)

    def _hold(self, client: str, body: bytearray, piece: bytes) -> None:
        if len(body) + len(piece) > LONGEST:
            raise BodyTooLarge(f"a body of more than {LONGEST} bytes")
        self.room.take(client, len(piece))
        body += piece
