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


class WholeBodies:
    """Holds bodies while they are needed, and counts their bytes as they arrive."""

    def __init__(self) -> None:
        self.held = 0
        """Bytes of all bodies held now."""
        self._by_client: dict[str, int] = {}

    @asynccontextmanager
    async def of(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the request's body, which is held until the context ends.

        Raises BodyTooLarge, TooMuchHeld, RequestTooSlow, and BadRequest if the body breaks off.
        """
        body = await self._read(request)
        try:
            yield body
        finally:
            self._count(request.client, -len(body))

    async def _read(self, request: Request) -> bytes:
        client, announced = request.client, request.content_length or 0
        if announced > LONGEST:
            raise BodyTooLarge(f"a body of {announced} bytes, announced")
        self._check_room(client, announced or 1)
        send_continue(request)
        body = bytearray()
        try:
            async with asyncio.timeout(DEADLINE):
                while piece := await request.content.readany():
                    self._hold(client, body, piece)
        except BaseException as error:
            self._count(client, -len(body))
            if isinstance(error, TimeoutError):
                raise RequestTooSlow(f"the request's body was not complete after {DEADLINE:g} s") from None
            if isinstance(error, web.RequestPayloadError):
                raise BadRequest(f"the request's body broke off: {error}") from None
            raise
        return bytes(body)

    def _hold(self, client: str, body: bytearray, piece: bytes) -> None:
        if len(body) + len(piece) > LONGEST:
            raise BodyTooLarge(f"a body of more than {LONGEST} bytes")
        self._check_room(client, len(piece))
        self._count(client, len(piece))
        body += piece

    def _check_room(self, client: str, size: int) -> None:
        held = self._by_client.get(client, 0)
        if self.held + size > MOST_HELD or held + size > MOST_OF_ONE:
            raise TooMuchHeld(f"{self.held} bytes of bodies are held, {held} of them this client's")

    def _count(self, client: str, size: int) -> None:
        self.held += size
        held = self._by_client.pop(client, 0) + size
        if held:
            self._by_client[client] = held
