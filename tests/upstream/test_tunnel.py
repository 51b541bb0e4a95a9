"""WebSockets through the proxy, spoken by a client and a server that are not ours, and by bare sockets."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from oauth_proxy import stall
from oauth_proxy.upstream.pool import Address
from tests.support.tool import Door, Peer, Tool, a_door, a_stage, until
from tests.support.websocket import HANDSHAKE, SWITCH, switching


@asynccontextmanager
async def a_live_tool(
    handler: Callable[[ServerConnection], Awaitable[None]],
) -> AsyncIterator[Door]:
    """The proxy before a server of the `websockets` package."""
    async with serve(handler, "127.0.0.1", 0, subprotocols=[Subprotocol("b")], max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        async with a_door(Address("127.0.0.1", port)) as door:
            yield door


def through(door: Door) -> connect:
    return connect(
        f"ws://127.0.0.1:{door.port}/ws",
        max_size=None,
        proxy=None,
        subprotocols=[Subprotocol("a"), Subprotocol("b")],
    )


async def echo(tool: ServerConnection) -> None:
    async for message in tool:
        await tool.send(message)


async def test_messages_cross_both_ways_with_deflate_agreed_end_to_end() -> None:
    async with a_live_tool(echo) as door, through(door) as visitor:
        assert [type(extension).__name__ for extension in visitor.protocol.extensions] == ["PerMessageDeflate"]
        for message in ("héllo", b"\0\xff", "a" * 1_048_576, bytes(range(256)) * 4096, ""):
            await visitor.send(message)
            assert await visitor.recv() == message


async def test_the_subprotocol_is_the_tools_choice() -> None:
    async with a_live_tool(echo) as door, through(door) as visitor:
        assert visitor.subprotocol == "b"


async def test_the_visitors_close_code_reaches_the_tool() -> None:
    closes: list[tuple[int | None, str | None]] = []

    async def listen(tool: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await tool.recv()
        closes.append((tool.close_code, tool.close_reason))

    async with a_live_tool(listen) as door:
        async with through(door) as visitor:
            await visitor.close(4321, "enough")
        assert visitor.close_code == 4321
        await until(lambda: closes == [(4321, "enough")])
        await until(lambda: door.upstream.tunnels == 0)


async def test_the_tools_close_code_reaches_the_visitor() -> None:
    async def refuse(tool: ServerConnection) -> None:
        await tool.close(4001, "session over")

    async with a_live_tool(refuse) as door, through(door) as visitor:
        with pytest.raises(ConnectionClosed):
            await visitor.recv()
        assert (visitor.close_code, visitor.close_reason) == (4001, "session over")
        await until(lambda: door.upstream.tunnels == 0 and len(door.answers) == 1)
        assert door.answers[0].status == 101


async def test_messages_and_close_codes_cross_tls_on_both_sides(
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """TLS knows no half-closed connections, so its tunnels end another way."""
    serving, trusting = tls
    async with serve(echo, "127.0.0.1", 0, ssl=serving, max_size=None) as server:
        address = Address("localhost", server.sockets[0].getsockname()[1], tls=True)
        async with a_door(address, ssl_context=trusting, tls=serving) as door:
            url = f"wss://localhost:{door.port}/ws"
            async with connect(url, ssl=trusting, max_size=None, proxy=None) as visitor:
                for message in ("short", "a" * 1_048_576, bytes(range(256)) * 4096):
                    await visitor.send(message)
                    assert await visitor.recv() == message
            assert visitor.close_code == 1000
            await until(lambda: door.upstream.tunnels == 0 and not door.tasks)
            async with connect(url, ssl=trusting, proxy=None) as visitor:
                await door.upstream.close()
                with pytest.raises(ConnectionClosed):
                    await visitor.recv()
            await until(lambda: not door.tasks)


async def test_a_hundred_at_once() -> None:
    async def talk(door: Door, number: int) -> None:
        async with through(door) as visitor:
            for turn in range(5):
                await visitor.send(f"{number} {turn}")
                assert await visitor.recv() == f"{number} {turn}"

    async with a_live_tool(echo) as door:
        await asyncio.gather(*(talk(door, number) for number in range(100)))
        await until(lambda: door.upstream.tunnels == 0)


async def test_bytes_that_come_early_from_either_side_are_kept() -> None:
    async with a_stage(switching(b"tool first")) as (_, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE + b"visitor first")
        await visitor.head()
        assert await visitor.exactly(23) == b"tool firstvisitor first"
        await visitor.close()


@pytest.mark.parametrize("slow", ["visitor", "tool"])
async def test_a_side_that_does_not_listen_stops_the_other_from_speaking(slow: str) -> None:
    """128 MiB want through; what the proxy holds and the sockets buffer is far less."""
    size = 128 * 1_048_576
    mask = b"" if slow == "visitor" else bytes(4)
    head = bytes([0x82, 127 | (0x80 if mask else 0)]) + size.to_bytes(8) + mask
    """Of one frame that has all of it: many small ones would be followed one by one."""
    listen = asyncio.Event()
    sent = 0

    async def speak(peer: Peer) -> None:
        nonlocal sent
        peer.writer.write(head)
        while sent < size:
            peer.writer.write(bytes(65536))
            await peer.writer.drain()
            sent += 65536

    async def hear(peer: Peer) -> None:
        await listen.wait()
        await peer.exactly(len(head))
        for _ in range(size // 65536):
            await peer.exactly(65536)

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(SWITCH)
        await (speak(peer) if slow == "visitor" else hear(peer))
        await peer.rest()

    async with a_stage(play) as (_, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE)
        await visitor.head()
        task = asyncio.create_task(hear(visitor) if slow == "visitor" else speak(visitor))
        held = -1
        while held != sent:  # until nothing moves any more
            held = sent
            await asyncio.sleep(0.1)
        assert 0 < held < size // 2
        listen.set()
        await task
        await visitor.close()


@pytest.mark.parametrize("deaf", ["visitor", "tool"])
async def test_a_side_that_takes_nothing_while_bytes_wait_for_it_ends_the_tunnel(
    deaf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sides are let go; until then an unread WebSocket held two connections, for ever."""
    monkeypatch.setattr(stall, "STALL", 0.3)
    over = asyncio.Event()

    async def speak_on(peer: Peer) -> None:
        with suppress(ConnectionError):
            while True:
                await peer.send(b"x" * 65536)

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(SWITCH)
        await (over.wait() if deaf == "tool" else speak_on(peer))

    async with a_stage(play) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE)
        await visitor.head()
        speaking = asyncio.create_task(speak_on(visitor) if deaf == "tool" else over.wait())
        await until(lambda: door.upstream.tunnels == 0 and not door.tasks)
        over.set()
        await speaking
        await until(lambda: tool.open == 0)
        await visitor.close()


async def test_a_side_that_reads_slowly_keeps_its_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is that something is taken in every such time, not how much."""
    monkeypatch.setattr(stall, "STALL", 0.2)
    size = 40 * 1_048_576

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(SWITCH)
        await peer.send(b"x" * size)
        await peer.reader.read()

    async with a_stage(play) as (_, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE)
        await visitor.head()
        for _ in range(40):
            assert len(await visitor.exactly(size // 40)) == size // 40
            await asyncio.sleep(0.02)
        assert door.upstream.tunnels == 1
        await visitor.close()
