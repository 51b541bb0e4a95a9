"""Connections by TLS of our own end as others do, with uvloop and with asyncio's own loop."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
import websockets
from aiohttp import web
from websockets.frames import Close
from websockets.typing import Origin

from oauth_proxy import handshakes, stall
from oauth_proxy.client_connection import Handler
from oauth_proxy.handshakes import Handshakes
from oauth_proxy.outcomes import Outcome
from oauth_proxy.requests import Request
from oauth_proxy.server import Server
from tests.support.certificates import Authority
from tests.support.proxy import Stage, free_port, on_stage, serving
from tests.support.tool import refused as refusal
from tests.support.tool import unheard, until
from tests.support.units import KIB, PATIENCE

LONG = 256 * KIB
LOOPS = [uvloop.new_event_loop, asyncio.new_event_loop]


@pytest.mark.parametrize("factory", LOOPS)
def test_who_is_refused_leaves_nothing_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    authority = Authority()
    pair, context = authority.pair(tmp_path / "pair", "localhost"), authority.trusting()

    async def play() -> None:
        port = free_port()
        public: dict[str, Any] = {"public_url": f"https://localhost:{port}", "listen": f"127.0.0.1:{port}"}
        async with on_stage(tls=pair, **public) as stage, asyncio.timeout(PATIENCE):
            assert await refused(stage, context) == b"HTTP/1.1 401"
            assert await told(stage, context) == Close(4401, "sign_in_required")
            await until(lambda: stage.proxy.capacity.open == 0)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(play())
    assert not [record for record in caplog.records if record.name == "asyncio"]


@pytest.mark.parametrize("factory", LOOPS)
def test_of_many_who_come_at_once_as_many_are_let_in_as_there_are_places(
    tmp_path: Path, factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Who had to give way before the handshake began went on with it, and nobody counted them."""
    authority = Authority()
    pair, context = authority.pair(tmp_path / "pair", "localhost"), authority.trusting()

    async def play() -> None:
        port = free_port()
        public: dict[str, Any] = {"public_url": f"https://localhost:{port}", "listen": f"127.0.0.1:{port}"}
        async with on_stage(tls=pair, limits={"connections": "16"}, **public) as stage, asyncio.timeout(PATIENCE):
            crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]  # in one turn of the loop
            shaken = await asyncio.gather(*(hands_shaken(each, context) for each in crowd))
            told = await asyncio.gather(*(asked(stage, *each) for each in shaken if each))
            assert told.count(b"HTTP/1.1 401") == stage.proxy.capacity.limit == 16

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(play())


async def in_one_piece(request: web.BaseRequest) -> Outcome:
    return Outcome(web.Response(body=bytes(LONG)))


async def in_many_pieces(request: web.BaseRequest) -> Outcome:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(LONG // (8 * KIB)):
        await response.write(bytes(8 * KIB))
    await response.write_eof()
    return Outcome(response)


@asynccontextmanager
async def narrow(
    folder: Path, authority: Authority, handler: Handler
) -> AsyncIterator[tuple[Server, int, asyncio.Event]]:
    """A server of whose answers the kernel takes little; its port, and what is set when it is asked."""
    asked = asyncio.Event()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.pair(folder / "pair", "localhost").values())

    async def handle(request: Request) -> Outcome:
        asked.set()
        assert request.transport is not None
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * KIB)
        return await handler(request)

    server = Server(handle, refusal=refusal, answered=unheard)
    server.handshakes = Handshakes(context, PATIENCE)
    async with serving(server) as url:
        yield server, int(url.rpartition(":")[2]), asked


@pytest.mark.parametrize("factory", LOOPS)
@pytest.mark.parametrize("handler", [in_one_piece, in_many_pieces])
def test_who_takes_the_last_answer_slowly_gets_all_of_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    handler: Handler,
    factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """A transport that is closed gives what is unsent no longer than the peer has to answer the goodbye."""
    monkeypatch.setattr(handshakes, "GOODBYE", 0.2)
    authority = Authority()

    async def play() -> int:
        async with narrow(tmp_path, authority, handler) as (_, port, _):
            return await asyncio.to_thread(taken_slowly, port, authority.trusting())

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(play()) > LONG


@pytest.mark.parametrize("factory", LOOPS)
@pytest.mark.parametrize("handler", [in_one_piece, in_many_pieces])
def test_who_takes_nothing_of_the_last_answer_is_waited_for_no_longer_than_its_deadline(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    handler: Handler,
    factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    monkeypatch.setattr(handshakes, "GOODBYE", 0.2)
    monkeypatch.setattr(stall, "STALL", 0.2)
    authority = Authority()

    async def play() -> None:
        async with narrow(tmp_path, authority, handler) as (server, port, asked):
            with await asyncio.to_thread(asking, port, authority.trusting()):
                await asked.wait()
                await until(lambda: not server.connections)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(play())


def asking(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection whose last answer is on its way; the visitor's kernel takes little of it."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
    plain.settimeout(PATIENCE)
    plain.connect(("127.0.0.1", port))
    sock = context.wrap_socket(plain, server_hostname="localhost")
    sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return sock


def taken_slowly(port: int, context: ssl.SSLContext) -> int:
    """Bytes of an answer that is taken bit by bit, and never not at all."""
    taken = 0
    with asking(port, context) as sock:
        while piece := sock.recv(4 * KIB):
            taken += len(piece)
            time.sleep(0.02)
    return taken


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def hands_shaken(sock: socket.socket, context: ssl.SSLContext) -> Streams | None:
    try:
        return await asyncio.open_connection(sock=sock, ssl=context, server_hostname="localhost")
    except OSError:
        return None


async def asked(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """How an answer begins; nothing if the connection has ended."""
    answer = b""
    with suppress(OSError):
        writer.write(f"GET /x HTTP/1.1\r\nHost: {stage.settings.host}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
    writer.close()
    return answer[:12]


async def refused(stage: Stage, context: ssl.SSLContext) -> bytes:
    streams = await asyncio.open_connection(
        "127.0.0.1", stage.listens_on, ssl=context, server_hostname="localhost"
    )
    return await asked(stage, *streams)


async def told(stage: Stage, context: ssl.SSLContext) -> Close | None:
    """What a page's socket is told; it is closed as soon as it has answered, long before the time is up."""
    url = f"wss://{stage.settings.host}/socket"
    async with websockets.connect(
        url, ssl=context, origin=Origin(stage.settings.public_url), proxy=None
    ) as socket:
        await socket.wait_closed()
        return socket.protocol.close_rcvd
