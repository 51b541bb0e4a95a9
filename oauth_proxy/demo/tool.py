"""The small tool behind the proxy: it believes the headers it gets, and shows them."""

import asyncio
import hashlib
import re
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from importlib import resources
from typing import Any
from weakref import WeakSet

from aiohttp import WSCloseCode, WSMsgType, web

from oauth_proxy.demo.looks import HEADERS, PAGES
from oauth_proxy.demo.people import Api
from oauth_proxy.demo.trouble import Leave, Trouble

ASSETS = resources.files("oauth_proxy.demo").joinpath("pages")

SCRIPTS = ("page.js", "tool.js", "trouble.js")
TOKEN_SHOWN = 12  # characters
DOWNLOAD = 10 * 2**20  # bytes, when nothing else is asked for
SIZE = re.compile(r"[0-9]{1,15}")
RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")
PATTERN = bytes(range(251)) * 262  # 251 is prime, so that a piece out of place shows; about 64 KiB


def tool(
    api: Api = "v2",
    *,
    clock: Callable[[], float] = time.time,
    interval: float = 1,
    leave: Leave | None = None,
    status_url: str = "",
) -> web.Application:
    """The tool. Its page calls that `api` of Frame.io; its clock and feed tick every `interval` seconds.

    `leave` takes it away for a while, if that can be done. At `status_url` is the proxy's status page, if any.
    """
    live = OpenExchanges(clock, interval)
    app = web.Application()
    app.on_shutdown.append(live.close)
    app.add_routes(
        [
            web.get("/", _Home(api).show),
            web.get("/clock", live.clock),
            web.get("/feed", live.feed, allow_head=False),
            web.post("/upload", upload),
            web.put("/upload", upload),
            web.get("/download", download),
            web.get("/healthz", healthz),
            web.get("/assets/style.css", _asset("text/css", "style.css", "tool.css")),
            web.get("/assets/trouble.css", _asset("text/css", "trouble.css")),
            *(web.get(f"/assets/{name}", _asset("text/javascript", name)) for name in SCRIPTS),
            *Trouble(leave, status_url).routes(),
            web.route("*", "/echo", echo),
            web.route("*", "/echo/{rest:.*}", echo),
        ]
    )
    return app


class _Home:
    def __init__(self, api: Api) -> None:
        self._api = api

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET /: who the visitor is, and what came with them."""
        html = PAGES.get_template("tool.html").render(
            here="/",
            api=self._api,
            user=request.headers.get("X-Forwarded-User"),
            email=request.headers.get("X-Forwarded-Email"),
            name=request.headers.get("X-Forwarded-Preferred-Username"),
            headers=[(name, _shortened(name, value)) for name, value in _headers(request)],
        )
        return web.Response(text=html, content_type="text/html", headers=HEADERS)


class OpenExchanges:
    """The streams that stay open: a WebSocket and server-sent events."""

    def __init__(self, clock: Callable[[], float], interval: float) -> None:
        self._clock = clock
        self._interval = interval
        self._closing = asyncio.Event()
        self._sockets: WeakSet[web.WebSocketResponse] = WeakSet()

    async def clock(self, request: web.Request) -> web.StreamResponse:
        """GET /clock: a WebSocket that says the time of day (UTC) at every tick."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        with suppress(ConnectionResetError):  # the visitor left
            while not socket.closed:
                await socket.send_str(self._time())
                await self._listen(socket)
        return socket

    async def feed(self, request: web.Request) -> web.StreamResponse:
        """GET /feed: server-sent events, numbered from 1, one at every tick."""
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        number = 0
        with suppress(ConnectionResetError):  # the visitor left
            while not self._closing.is_set():
                number += 1
                await response.write(f"id: {number}\ndata: event {number} at {self._time()}\n\n".encode())
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), self._interval)
        return response

    async def close(self, app: web.Application) -> None:
        """End every stream, so that the server can stop."""
        del app
        self._closing.set()
        for socket in list(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    async def _listen(self, socket: web.WebSocketResponse) -> None:
        """Wait for the next tick; what the visitor says meanwhile is heard and forgotten."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._interval):
                while (await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    pass

    def _time(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).strftime("%H:%M:%S")


async def upload(request: web.Request) -> web.StreamResponse:
    """POST or PUT /upload: size and SHA-256 of the body, which is never held in memory."""
    return web.json_response(await _digest(request))


async def download(request: web.Request) -> web.StreamResponse:
    """GET /download?bytes=…: that many bytes of a pattern, or the one range asked for (RFC 9110 14)."""
    asked = request.query.get("bytes", str(DOWNLOAD))
    if not SIZE.fullmatch(asked):
        raise web.HTTPBadRequest(text="bytes is a whole number of at most 15 digits")
    size = int(asked)
    part = _range(request.headers.get("Range", ""), size)
    start, stop = part or (0, size)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        "Content-Disposition": 'attachment; filename="pattern.bin"',
    }
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    response = web.StreamResponse(status=200 if part is None else 206, headers=headers)
    response.content_length = stop - start
    await response.prepare(request)
    if request.method != "HEAD":
        with suppress(ConnectionResetError):  # the visitor left
            await _send_pattern(response, start, stop)
    return response


async def healthz(request: web.Request) -> web.StreamResponse:
    """GET /healthz: ok."""
    del request
    return web.Response(text="ok\n")


async def echo(request: web.Request) -> web.StreamResponse:
    """Any method, /echo and below: the request as it arrived, and the size and SHA-256 of its body."""
    line = {"method": request.method, "path": request.raw_path, "headers": _headers(request)}
    return web.json_response(line | await _digest(request))


def _asset(kind: str, *names: str) -> Callable[[web.Request], Any]:
    text = "\n".join(ASSETS.joinpath(name).read_text() for name in names)

    async def serve(request: web.Request) -> web.StreamResponse:
        del request
        return web.Response(text=text, content_type=kind)

    return serve


def _headers(request: web.Request) -> list[tuple[str, str]]:
    """Every header in the order and case in which it came."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers]


def _shortened(name: str, value: str) -> str:
    if name.lower() != "authorization":
        return value
    scheme, _, token = value.partition(" ")
    return f"{scheme} {token[:TOKEN_SHOWN]}… ({len(token)} characters)"


async def _digest(request: web.Request) -> dict[str, Any]:
    sha256, size = hashlib.sha256(), 0
    async for piece in request.content.iter_any():
        sha256.update(piece)
        size += len(piece)
    return {"size": size, "sha256": sha256.hexdigest()}


def _range(header: str, size: int) -> tuple[int, int] | None:
    """The first byte asked for and the one after the last; None for no range, or one that may be ignored."""
    match = RANGE.fullmatch(header)
    first, last = match.groups() if match else ("", "")
    if not first and not last:
        return None
    if not first:
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    if first and last and int(last) < int(first):
        return None
    if start >= stop:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    return start, stop


async def _send_pattern(response: web.StreamResponse, start: int, stop: int) -> None:
    while start < stop:
        offset = start % 251
        piece = PATTERN[offset : offset + stop - start]
        await response.write(piece)
        start += len(piece)
