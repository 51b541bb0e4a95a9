"""Both ends of the proxy as bytes: sockets in front of it, and behind it a tool that keeps every byte it hears."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from yarl import URL

from oauth_proxy.demo.people import App
from tests.support.browser import NAVIGATING, Visitor
from tests.support.proxy import RawAnswer, Stage, on_stage
from tests.support.units import PATIENCE

HANDSHAKE = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]
PUBLIC = ["GET /healthz", "/assets/*", "POST /hook"]
TOOL_BYTES = b"TOOL-BYTES"
"""In every answer of the tool."""


@dataclass(frozen=True)
class Heard:
    """One request as it came off the wire at the tool."""

    raw: bytes
    body: bytes

    @property
    def line(self) -> str:
        return self.raw.partition(b"\r\n")[0].decode("latin-1")

    @property
    def lines(self) -> list[tuple[str, str]]:
        lines = self.raw.decode("latin-1").split("\r\n")[1:-2]
        return [(name, value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines)]

    def all(self, name: str) -> list[str]:
        return [value for sent, value in self.lines if sent.lower() == name.lower()]


def saying(*lines: str, body: bytes = TOOL_BYTES, status: str = "200 OK") -> Callable[[Heard], bytes]:
    """An answer that is the same for everybody."""
    head = "\r\n".join([f"HTTP/1.1 {status}", *lines, f"Content-Length: {len(body)}"])
    return lambda _: head.encode() + b"\r\n\r\n" + body


class Tool:
    """A tool of bare sockets: it accepts every handshake, answers every request with `says`, and keeps `heard`."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.says = saying()
        self.with_101: tuple[str, ...] = ()
        """Lines in its answer to a handshake beside what belongs there."""
        self.early = b""
        """What it says right behind its 101."""
        self.may_answer = asyncio.Event()
        """Cleared, whoever asks has to wait."""
        self.may_answer.set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """Connections of the proxy's that are open."""
        return len(self._tasks)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """On a loopback port; its URL."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=1 << 20)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            await self.stop()

    async def stop(self) -> None:
        """Cut every connection."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(asyncio.IncompleteReadError, ConnectionError):  # the proxy hung up, as it may
            while True:
                request = await self._hear(reader)
                self.heard.append(request)
                await self.may_answer.wait()
                if request.all("upgrade") == ["websocket"]:
                    writer.write(switching(request, self.with_101) + self.early)
                    await reader.read()
                    break
                writer.write(self.says(request))
        writer.close()

    async def _hear(self, reader: asyncio.StreamReader) -> Heard:
        head = Heard(await reader.readuntil(b"\r\n\r\n"), b"")
        if head.all("transfer-encoding"):
            return Heard(head.raw, await chunked_body(reader))
        length = int((head.all("content-length") or ["0"])[0])
        return Heard(head.raw, await reader.readexactly(length))


async def chunked_body(reader: asyncio.StreamReader) -> bytes:
    """A chunked body; a tool that reads anything but plain chunks raises ValueError."""
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readexactly(2) == b"\r\n", "no trailer crosses"
    return body


def switching(request: Heard, more: tuple[str, ...] = ()) -> bytes:
    """What agrees to a WebSocket, with `more` lines."""
    key = request.all("sec-websocket-key")[0] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
    lines = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}", *more]
    return "\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines, "", ""]).encode()


@dataclass(frozen=True)
class Login:
    """A login as far as the callback's answer."""

    started: RawAnswer
    callback: str
    """Path and query that Frame.io sent the browser to."""
    attempt: str
    """The Cookie line the browser came back with."""
    answer: RawAnswer
    cookie: str
    """The Cookie line the browser has afterwards."""

    @property
    def values(self) -> dict[str, str]:
        return _cookies(self.cookie)


@dataclass
class Wire:
    """The proxy between a raw socket and a raw tool."""

    stage: Stage
    tool: Tool
    origin: str

    @property
    def host(self) -> str:
        return self.origin.partition("://")[2]

    async def send(self, data: bytes) -> list[RawAnswer]:
        """Every answer on one connection to these bytes, until the proxy hangs up."""
        async with self.connected() as (reader, writer):
            writer.write(data)
            pieces = []
            async with asyncio.timeout(PATIENCE):
                while piece := await reader.read(1 << 20):
                    pieces.append(piece)
        return answers(b"".join(pieces))

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection to the proxy, cut in the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.stage.port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def handshake(self, target: str, *lines: str) -> RawAnswer:
        """The answer to a WebSocket handshake; the visitor hangs up after it."""
        async with self.connected() as (reader, writer), asyncio.timeout(PATIENCE):
            writer.write(self.request(target, *HANDSHAKE, *lines))
            return RawAnswer.read(await reader.readuntil(b"\r\n\r\n"))

    def request(
        self, target: str, *lines: str, method: str = "GET", body: bytes = b"", host: str | None = None
    ) -> bytes:
        """One request's bytes; str is sent as UTF-8."""
        head = [f"{method} {target} HTTP/1.1", f"Host: {self.host if host is None else host}", *lines]
        if body:
            head.append(f"Content-Length: {len(body)}")
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body

    async def ask(
        self, target: str, *lines: str, method: str = "GET", body: bytes = b"", host: str | None = None
    ) -> RawAnswer:
        """The one answer to one request, after which the connection closes."""
        found = await self.send(
            self.request(target, "Connection: close", *lines, method=method, body=body, host=host)
        )
        assert len(found) == 1, found
        return found[0]

    async def statuses(self, requests: list[bytes]) -> list[int]:
        """Statuses of pipelined requests, in order."""
        last = self.request("/oauth2/sign_in", "Connection: close", method="HEAD")
        return [answer.status for answer in await self.send(b"".join(requests) + last)][:-1]

    async def login(
        self, visitor: Visitor, start: str = "/oauth2/start", *lines: str, person: str = "Editor", cookie: str = ""
    ) -> Login:
        """A login through Frame.io's pages that begins with a request for `start`; `cookie` is a Cookie line."""
        sent = [cookie] if cookie else []
        started = await self.ask(start, *NAVIGATING, *lines, *sent)
        if location(started).startswith(self.origin):  # the way of somebody who asked for the tool
            started = await self.ask(self.path(started), *NAVIGATING, *sent)
        jar = _cookies(cookie)
        keep(jar, started)
        callback = await self.through_frame_io(visitor, location(started), person)
        attempt = _line(jar)
        answer = await self.ask(callback, *NAVIGATING, attempt)
        keep(jar, answer)
        return Login(started, callback, attempt, answer, _line(jar))

    def path(self, answer: RawAnswer) -> str:
        """Path and query of a redirect to ourselves."""
        assert location(answer).startswith(self.origin + "/"), location(answer)
        return location(answer).removeprefix(self.origin)

    async def through_frame_io(self, visitor: Visitor, url: str, person: str = "Editor") -> str:
        """From Frame.io's pages at `url` to the path and query of the callback."""
        page = await visitor.get(url)
        for _ in range(10):
            onward = page.headers.get("Location", "")
            if onward.startswith(self.origin + "/oauth2/callback"):
                return onward.removeprefix(self.origin)
            if onward:
                page = await visitor.get(page.url.join(URL(onward, encoded=True)))
            elif page.headers["X-Emulated-Page"] == "login":
                page = await visitor.press(page, person)
            elif page.headers["X-Emulated-Person"] == person:
                page = await visitor.press(page, "Allow")
            else:
                page = await visitor.press(page, "Use another account")
        raise AssertionError(f"no way back from Frame.io: {visitor.trail()}")


def answers(raw: bytes) -> list[RawAnswer]:
    """All the answers in these bytes; each has a Content-Length, or is the answer to HEAD or a 101."""
    found = []
    while raw:
        answer = RawAnswer.read(raw)
        found.append(answer)
        if not answer.rest and answer.body.startswith(b"HTTP/1."):  # a HEAD's answer before another one
            answer = RawAnswer(answer.status, answer.headers, b"", answer.body)
        raw = answer.rest
    return found


def location(answer: RawAnswer) -> str:
    """Where an answer sends the browser; empty when nowhere."""
    return answer.get("Location") or ""


def keep(jar: dict[str, str], answer: RawAnswer) -> None:
    """What a browser does with Set-Cookie lines, as far as names and Max-Age go."""
    for line in answer.all("Set-Cookie"):
        pair, *attributes = line.split("; ")
        name, _, value = pair.partition("=")
        jar[name] = value
        if "Max-Age=0" in attributes:
            del jar[name]


def _cookies(line: str) -> dict[str, str]:
    pairs = line.removeprefix("Cookie: ").split("; ") if line else []
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def _line(jar: dict[str, str]) -> str:
    return "Cookie: " + "; ".join(f"{name}={value}" for name, value in jar.items())


@asynccontextmanager
async def wired(**changes: Any) -> AsyncIterator[Wire]:
    """A stage between raw sockets. A `public_url` among the changes stands for TLS that ends in front of us."""
    tool = Tool()
    async with tool.listening() as url:
        plain = {"access": {"public": PUBLIC}, "client_secret": None, "upstreams": {"/": url}}
        async with on_stage(**(plain | changes)) as stage:
            origin = changes.get("public_url", stage.url)
            stage.frameio.register(App("studio", None, (f"{origin}/oauth2/callback",)))
            yield Wire(stage, tool, origin)
