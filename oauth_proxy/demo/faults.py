"""Ways in which a Frame.io fails, switched on by tests and by the curious."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web

RETRY_AFTER = 7  # seconds
OVERSIZE = 8 * 2**20  # bytes

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Fault(StrEnum):
    """What goes wrong. Only LOST and a released HANG do the work that was asked for."""

    SERVER_ERROR = "a 500"
    TOO_MANY_REQUESTS = "a 429 with Retry-After"
    HANG = "no answer until released, then the real one"
    DISCONNECT = "the connection closed, nothing done"
    LOST = "everything done, then the connection closed without the answer"
    HTML = "a web page with status 200"
    NO_ACCESS_TOKEN = "a JSON object with nothing useful in it"  # noqa: S105 - not a password
    NOT_AN_OBJECT = "a JSON array"
    OVERSIZED = "a right answer drowned in 8 MiB of padding"
    INVALID_GRANT = "a 400 that says invalid_grant"


@dataclass
class _Planned:
    fault: Fault
    times: int | None


class Faults:
    """The switch. Endpoints are named as in FrameIO.calls: "token", "token:refresh_token", "me"…"""

    def __init__(self) -> None:
        self._planned: dict[str, _Planned] = {}
        self._hanging = 0
        self._arrived = asyncio.Event()
        self._released = asyncio.Event()

    def plan(self, endpoint: str, fault: Fault, times: int | None = None) -> None:
        """Let the endpoint's next `times` answers be the fault, or all of them until cleared."""
        self._planned[endpoint] = _Planned(fault, times)

    def clear(self) -> None:
        """Nothing fails any more; what hangs is released."""
        self._planned.clear()
        self.release()

    def release(self) -> None:
        """Let every hanging request go on to its real answer."""
        self._released.set()
        self._released = asyncio.Event()

    async def hanging(self, count: int) -> None:
        """Return once at least `count` requests hang."""
        while self._hanging < count:
            self._arrived.clear()
            await self._arrived.wait()

    def take(self, endpoints: Iterable[str]) -> Fault | None:
        """The fault due for a request that counts as these endpoints; one of its times is used up."""
        for endpoint in endpoints:
            planned = self._planned.get(endpoint)
            if planned is None:
                continue
            if planned.times is not None:
                planned.times -= 1
                if planned.times <= 0:
                    del self._planned[endpoint]
            return planned.fault
        return None

    async def play(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer the request the way the fault says."""
        match fault:
            case Fault.HANG:
                await self._hang()
                return await handler(request)
            case Fault.LOST:
                await handler(request)
                return _hang_up(request)
            case Fault.DISCONNECT:
                return _hang_up(request)
            case _:
                return _wrong_answer(fault)

    async def _hang(self) -> None:
        self._hanging += 1
        self._arrived.set()
        try:
            await self._released.wait()
        finally:
            self._hanging -= 1


def _hang_up(request: web.Request) -> web.StreamResponse:
    request.protocol.force_close()
    return web.Response()


def _wrong_answer(fault: Fault) -> web.Response:
    match fault:
        case Fault.SERVER_ERROR:
            return web.Response(status=500, text="<h1>Internal Server Error</h1>", content_type="text/html")
        case Fault.TOO_MANY_REQUESTS:
            headers = {"Retry-After": str(RETRY_AFTER)}
            return web.json_response({"message": "Too many requests"}, status=429, headers=headers)
        case Fault.HTML:
            return web.Response(text="<!doctype html><h1>Down for maintenance</h1>", content_type="text/html")
        case Fault.NO_ACCESS_TOKEN:
            return web.json_response({"token_type": "bearer", "expires_in": 3600})
        case Fault.NOT_AN_OBJECT:
            return web.json_response(["not", "an", "object"])
        case Fault.OVERSIZED:
            answer = {
                "access_token": "x" * 87,
                "token_type": "bearer",
                "expires_in": 3600,
                "id": "x",
                "email": "x",
            }
            return web.json_response(answer | {"padding": "x" * OVERSIZE})
        case _:
            return web.json_response(
                {"error": "invalid_grant", "error_description": "Planned by a test.", "status_code": 400},
                status=400,
            )
