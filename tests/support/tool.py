"""A stage for the data path: a tool that says what it is told to, byte for byte, and a visitor with a socket."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web

from oauth_proxy.cookies import Cookies
from oauth_proxy.errors import BadRequest, ProxyError
from oauth_proxy.outcomes import Outcome
from oauth_proxy.requests import Request
from oauth_proxy.server import Server
from oauth_proxy.upstream.claims import Claims
from oauth_proxy.upstream.outgoing import Outgoing, header_lines
from oauth_proxy.upstream.pool import Address
from oauth_proxy.upstream.upstream import Upstream
from tests.support.units import PATIENCE

CLAIMS = Claims(Cookies("oauth_proxy", secure=True))
_FRAMING = {b"connection", b"content-length", b"expect", b"keep-alive", b"te", b"transfer-encoding", b"upgrade"}


class Peer:
    """One end of a TCP connection, with words for what tests do."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE):
            await self.writer.drain()

    async def head(self) -> bytes:
        """Up to and with the next empty line."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def exactly(self, size: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(size)

    async def until(self, mark: bytes) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(mark)

    async def rest(self) -> bytes:
        """Everything until the end of the stream; a reset raises ConnectionResetError."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    async def ends(self) -> bool:
        """Wait until the other side has gone, by whichever way; whether nothing came before that."""
        try:
            return not await self.rest()
        except ConnectionError:
            return True

    def hang_up(self) -> None:
        """Cut the connection with a reset, as a process does that dies with bytes unread."""
        if self.writer.is_closing():
            return
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


Play = Callable[["Tool", Peer], Awaitable[None]]


class Tool:
    """A raw server that plays `play` for each connection and then closes it."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.open = 0
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        peer = Peer(reader, writer)
        self.connections += 1
        self.open += 1
        try:
            await self._play(self, peer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the proxy has hung up, as it may
        except asyncio.CancelledError:
            writer.transport.abort()  # the test is over
        finally:
            self.open -= 1
            await peer.close()

    async def asked(self, peer: Peer) -> bytes:
        """The next request's head, which is also kept in `heads`."""
        head = await peer.reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        return head

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


def saying(answer: bytes) -> Play:
    """A tool that says the same to everybody who asks, and keeps its connections."""

    async def play(tool: Tool, peer: Peer) -> None:
        while True:
            await tool.asked(peer)
            await peer.send(answer)

    return play


@asynccontextmanager
async def a_tool(
    play: Play, *, unix: str | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Tool, Address]]:
    """A running tool and its address."""
    tool = Tool(play)
    if unix is not None:
        server = await asyncio.start_unix_server(tool.serve, unix)
        address = Address(unix=unix)
    else:
        server = await asyncio.start_server(tool.serve, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        address = Address("localhost" if tls else "127.0.0.1", port, tls=tls is not None)
    try:
        yield tool, address
    finally:
        server.close()
        await tool.stop()


class Door:
    """The proxy's side of the stage: `upstream`, and the errors that became answers. X-Owner says who asks."""

    def __init__(self, upstream: Upstream, added: list[tuple[bytes, bytes]]) -> None:
        self.upstream = upstream
        self.added = added
        self.errors: list[ProxyError] = []
        self.answers: list[web.StreamResponse] = []
        self.tasks: set[asyncio.Task[Any]] = set()
        self.port = 0

    async def handle(self, request: Request) -> Outcome:
        """What a gateway does, without asking who it is."""
        task = asyncio.current_task()
        if task is not None:
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        headers = [line for line in request.raw_headers if line[0].lower() not in _FRAMING]
        wants_tunnel = "upgrade" in request.headers.get("Connection", "").lower()
        ask = self.upstream.tunnel if wants_tunnel else self.upstream.forward
        try:
            answer: web.StreamResponse = await ask(
                request,
                Outgoing(
                    request.headers.get("X-Owner", ""),
                    request.raw_path.encode(),
                    header_lines(headers),
                    self.added,
                ),
            )
        except ProxyError as error:
            self.errors.append(error)
            answer = web.Response(status=error.status, text=type(error).__name__)
        self.answers.append(answer)
        return Outcome(answer)

    async def visitor(self) -> Peer:
        """Somebody at the door."""
        return Peer(*await asyncio.open_connection("127.0.0.1", self.port))

    async def ask(self, request: bytes) -> bytes:
        """Everything that comes back on a connection of its own, until it ends."""
        visitor = await self.visitor()
        try:
            await visitor.send(request)
            return await visitor.rest()
        finally:
            await visitor.close()


def refused(request: web.BaseRequest, error: BadRequest) -> Outcome:
    """An empty response with the error's status."""
    return Outcome(web.Response(status=error.status))


def unheard(request: web.BaseRequest, outcome: Outcome, seconds: float) -> None:
    """Nothing is written."""


@asynccontextmanager
async def a_door(
    address: Address,
    *,
    added: list[tuple[bytes, bytes]] | None = None,
    tls: ssl.SSLContext | None = None,
    **settings: Any,
) -> AsyncIterator[Door]:
    """Our server, with a handler that does nothing but forward to `address`; `settings` are Upstream's."""
    door = Door(
        Upstream(address, **{"claims": CLAIMS, "timeout": 5.0, "body_rate": 240.0, **settings}), added or []
    )
    server = Server(door.handle, refusal=refused, answered=unheard)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    door.port = runner.addresses[0][1]
    try:
        yield door
    finally:
        await door.upstream.close()
        await runner.cleanup()


@asynccontextmanager
async def a_stage(play: Play, **settings: Any) -> AsyncIterator[tuple[Tool, Door]]:
    """A tool and the door before it."""
    async with a_tool(play) as (tool, address), a_door(address, **settings) as door:
        yield tool, door


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds; a test fails that waits too long."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for is often a socket's, which sets no event
            await asyncio.sleep(0.002)
