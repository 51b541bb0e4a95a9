"""Connections by TLS of our own end as others do, with uvloop and with asyncio's own loop."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
import websockets
from websockets.frames import Close
from websockets.typing import Origin

from tests.support.certificates import Authority
from tests.support.proxy import Stage, free_port, on_stage
from tests.support.tool import until
from tests.support.units import PATIENCE

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
