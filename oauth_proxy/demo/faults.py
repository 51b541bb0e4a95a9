"""Ways in which a Frame.io fails, switched on by tests and by the curious."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl

from aiohttp import web

from oauth_proxy.demo.people import Person

RETRY_AFTER = 7  # seconds
OVERSIZE = 8 * 2**20  # bytes

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Fault(StrEnum):
    """What goes wrong. Only LOST and a released HANG do the work that was asked for."""

    SERVER_ERROR = "a 500"
    FORBIDDEN = "a 403"
    TOO_MANY_REQUESTS = "a 429 with Retry-After"
    TOO_MANY_FOR_NOW = "a 429 that names no time"
    HANG = "no answer until released, then the real one"
    DISCONNECT = "the connection closed, nothing done"
    LOST = "everything done, then the connection closed without the answer"
    HTML = "a web page with status 200"
    NO_ACCESS_TOKEN = "a JSON object with nothing useful in it"  # noqa: S105 - not a password
    NOT_AN_OBJECT = "a JSON array"
    OVERSIZED = "a right answer drowned in 8 MiB of padding"
    ECHO = "a 400 that repeats the request with all its secrets"
    INVALID_GRANT = "a 400 that says invalid_grant"
    INVALID_TOKEN = "a 400 that says invalid_token"  # noqa: S105 - not a password
    INVALID_CLIENT = "a 401 that says invalid_client"
    ACCESS_DENIED = "a 400 that says access_denied"
    ACTION_REQUIRED = "a 400 that says the person has to do something at Adobe first"


ERRORS = {
    Fault.INVALID_GRANT: (400, "invalid_grant"),
    Fault.INVALID_TOKEN: (400, "invalid_token"),
    Fault.INVALID_CLIENT: (401, "invalid_client"),
    Fault.ACCESS_DENIED: (400, "access_denied"),
    Fault.ACTION_REQUIRED: (400, "ride_AdobeID_acct_actreq"),
}
BLUNT = {
    Fault.SERVER_ERROR: (500, "<h1>Internal Server Error</h1>"),
    Fault.HTML: (200, "<!doctype html><h1>Down for maintenance</h1>"),
}
ANSWERS: dict[Fault, tuple[int, object]] = {
    Fault.FORBIDDEN: (403, {"message": "Forbidden"}),
    Fault.TOO_MANY_FOR_NOW: (429, {"message": "Too many requests"}),
    Fault.NO_ACCESS_TOKEN: (200, {"token_type": "bearer", "expires_in": 3600}),
    Fault.NOT_AN_OBJECT: (200, ["not", "an", "object"]),
}


@dataclass
class _Planned:
    fault: Fault
    times: int | None


class Faults:
    """The switch. Endpoints are named as in FrameIO.calls: "token", "token:refresh_token", "me"…"""

    def __init__(self) -> None:
        self._planned: dict[tuple[str, str | None], _Planned] = {}
        self._delays: dict[str, float] = {}
        self._hanging = 0
        self._arrived = asyncio.Event()
        self._released = asyncio.Event()

    def plan(self, endpoint: str, fault: Fault, times: int | None = None, *, person: Person | None = None) -> None:
        """Let the endpoint's next `times` answers, or all of them until cleared, be the fault.

        With a `person` that holds for requests with a token or code of theirs only.
        """
        self._planned[endpoint, person.id if person else None] = _Planned(fault, times)

    def delay(self, endpoint: str, seconds: float) -> None:
        """Let every answer of the endpoint take so much longer, until cleared."""
        self._delays[endpoint] = seconds

    def clear(self) -> None:
        """Nothing fails or is slow any more; what hangs is released."""
        self._planned.clear()
        self._delays.clear()
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

    async def wait(self, endpoints: Iterable[str]) -> None:
        """Return once a request that counts as these endpoints may be answered."""
        await asyncio.sleep(sum(self._delays.get(endpoint, 0) for endpoint in endpoints))

    def take(self, endpoints: Iterable[str], person_id: str | None) -> Fault | None:
        """The fault due for a request that counts as these endpoints; one of its times is used up."""
        for place in ((endpoint, who) for endpoint in endpoints for who in (person_id, None)):
            planned = self._planned.get(place)
            if planned is None:
                continue
            if planned.times is not None:
                planned.times -= 1
                if planned.times <= 0:
                    del self._planned[place]
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
            case Fault.ECHO:
                return await _echo(request)
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


async def _echo(request: web.Request) -> web.Response:
    body = (await request.read()).decode("utf-8", "replace")
    told = {"credentials": request.headers.get("Authorization"), "form": dict(parse_qsl(body)), "body": body}
    fields = {"error": "invalid_request", "error_description": f"No: {told}", "error_hint": json.dumps(told)}
    return web.json_response(fields, status=400)


def _wrong_answer(fault: Fault) -> web.Response:
    if fault in BLUNT:
        status, text = BLUNT[fault]
        return web.Response(status=status, text=text, content_type="text/html")
    if fault in ERRORS:
        status, error = ERRORS[fault]
        fields = {"error": error, "error_description": "Planned by a test.", "status_code": status}
        return web.json_response(fields, status=status)
    if fault is Fault.TOO_MANY_REQUESTS:
        headers = {"Retry-After": str(RETRY_AFTER)}
        return web.json_response({"message": "Too many requests"}, status=429, headers=headers)
    if fault is Fault.OVERSIZED:
        granted = {"access_token": "x" * 87, "token_type": "bearer", "expires_in": 3600}
        return web.json_response(granted | {"id": "x", "email": "x", "padding": "x" * OVERSIZE})
    status, answer = ANSWERS[fault]
    return web.json_response(answer, status=status)
