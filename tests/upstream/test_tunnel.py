"""WebSockets through the proxy, spoken by a client and a server that are not ours, and by bare sockets."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from oauth_proxy.errors import BadRequest, UpstreamNonsense
from oauth_proxy.upstream.pool import Address
from tests.upstream.stage import Door, Peer, Play, Tool, a_door, a_stage, until

KEY = base64.b64encode(b"0123456789abcdef")
ACCEPT = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324 - RFC 6455
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    + ACCEPT
    + b"\r\n\r\n"
)


@asynccontextmanager
async def a_live_tool(
    handler: Callable[[ServerConnection], Awaitable[None]], **settings: int
) -> AsyncIterator[Door]:
    """The proxy before a server of the `websockets` package."""
    async with serve(handler, "127.0.0.1", 0, subprotocols=[Subprotocol("b")], max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        async with a_door(Address("127.0.0.1", port), **settings) as door:
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


async def test_a_hundred_at_once() -> None:
    async def talk(door: Door, number: int) -> None:
        async with through(door) as visitor:
            for turn in range(5):
                await visitor.send(f"{number} {turn}")
                assert await visitor.recv() == f"{number} {turn}"

    async with a_live_tool(echo) as door:
        await asyncio.gather(*(talk(door, number) for number in range(100)))
        await until(lambda: door.upstream.tunnels == 0)


async def test_what_the_tool_sees_is_the_visitors_handshake() -> None:
    async with a_stage(switching(b"")) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE.replace(b"Host: a", b"Host: a\r\nSec-WebSocket-Extensions: x-any; q=1"))
        assert await visitor.head() == SWITCH.replace(
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + ACCEPT,
            b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\nConnection: Upgrade\r\nUpgrade: websocket",
        )
        await visitor.close()
    assert tool.heads == [
        b"GET /ws HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Extensions: x-any; q=1\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: " + KEY + b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    ]


def switching(early: bytes) -> Play:
    """A tool that agrees, says `early` in the same breath, and then sends back what it hears."""

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(SWITCH + early)
        while data := await peer.reader.read(65536):
            await peer.send(data)

    return play


async def test_bytes_that_come_early_from_either_side_are_kept() -> None:
    async with a_stage(switching(b"tool first")) as (_, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE + b"visitor first")
        await visitor.head()
        assert await visitor.exactly(23) == b"tool firstvisitor first"
        await visitor.close()


async def test_half_a_close_is_passed_on_and_the_other_half_still_speaks() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(SWITCH)
        heard = await peer.rest()
        await peer.send(b"last words after " + heard)

    async with a_stage(play) as (_, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE)
        await visitor.head()
        await visitor.send(b"mine")
        visitor.writer.write_eof()
        assert await visitor.rest() == b"last words after mine"
        await until(lambda: door.upstream.tunnels == 0 and len(door.answers) == 1)
        await visitor.close()


async def test_a_visitor_who_vanishes_takes_the_tools_side_along() -> None:
    async with a_stage(switching(b"")) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE)
        await visitor.head()
        assert (tool.open, door.upstream.tunnels) == (1, 1)
        visitor.hang_up()
        await until(lambda: tool.open == 0 and door.upstream.tunnels == 0 and not door.tasks)


async def test_a_tool_that_vanishes_takes_the_visitors_side_along() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(SWITCH)
        await peer.exactly(1)
        peer.hang_up()

    async with a_stage(play) as (_, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE)
        await visitor.head()
        await visitor.send(b"x")
        assert await visitor.ends()
        await until(lambda: door.upstream.tunnels == 0 and not door.tasks)
        await visitor.close()


async def test_cancelling_the_handler_ends_both_sides() -> None:
    async with a_stage(switching(b"")) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE)
        await visitor.head()
        for task in list(door.tasks):
            task.cancel()
        assert await visitor.ends()
        await until(lambda: tool.open == 0 and door.upstream.tunnels == 0)
        await visitor.close()


@pytest.mark.parametrize("slow", ["visitor", "tool"])
async def test_a_side_that_does_not_listen_stops_the_other_from_speaking(slow: str) -> None:
    """128 MiB want through; what the proxy holds and the sockets buffer is far less."""
    size = 128 * 1_048_576
    listen = asyncio.Event()
    sent = 0

    async def speak(peer: Peer) -> None:
        nonlocal sent
        while sent < size:
            peer.writer.write(bytes(65536))
            await peer.writer.drain()
            sent += 65536

    async def hear(peer: Peer) -> None:
        await listen.wait()
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


async def test_an_answer_other_than_101_is_passed_on_and_the_connection_closed() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(b"HTTP/1.1 403 No\r\nDate: now\r\nX-Why: because\r\nContent-Length: 4\r\n\r\nnope")

    async with a_stage(play) as (_, door):
        answer = await door.ask(HANDSHAKE + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer == (
            b"HTTP/1.1 403 No\r\nDate: now\r\nX-Why: because\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope"
        )
        await until(lambda: door.upstream.tunnels == 0)


async def test_a_foreign_client_sees_the_refusal() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(b"HTTP/1.1 429 Later\r\nContent-Length: 0\r\n\r\n")

    async with a_stage(play) as (_, door):
        with pytest.raises(InvalidStatus) as refusal:
            await through(door)
        assert refusal.value.response.status_code == 429


@pytest.mark.parametrize(
    "wrong",
    [
        (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8"),
        (b"Sec-WebSocket-Version: 13\r\n", b""),
        (b"Upgrade: websocket", b"Upgrade: h2c"),
        (KEY, base64.b64encode(b"0123456789abcde")),
        (KEY, b"not base64!"),
        (KEY, b""),
        (KEY, KEY + b"\r\nSec-WebSocket-Key: " + KEY),
        (b"GET", b"POST"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"Host: a", b"Host: a\r\nContent-Length: 2"),
    ],
)
async def test_a_handshake_that_is_none_never_reaches_the_tool(wrong: tuple[bytes, bytes]) -> None:
    async with a_stage(switching(b"")) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE.replace(*wrong) + b"hi")
        assert (await visitor.head()).startswith(b"HTTP/1.1 400") or wrong[1] == b"HTTP/1.0"
        await visitor.close()
        assert [type(error) for error in door.errors] == [BadRequest]
        assert tool.connections == 0


@pytest.mark.parametrize(
    "answer",
    [
        SWITCH.replace(ACCEPT, KEY),
        SWITCH.replace(b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n", b""),
        SWITCH.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        SWITCH.replace(b"Upgrade: websocket\r\n", b""),
        SWITCH.replace(b"Connection: Upgrade\r\n", b""),
        b"garbage\r\n\r\n",
    ],
)
async def test_an_agreement_that_is_none_is_an_answer_of_nonsense(answer: bytes) -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(answer)
        await peer.rest()

    async with a_stage(play) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE)
        assert (await visitor.head()).startswith(b"HTTP/1.1 502")
        assert [type(error) for error in door.errors] == [UpstreamNonsense]
        await until(lambda: tool.open == 0 and door.upstream.tunnels == 0)
        await visitor.close()


async def test_a_tool_that_never_answers_the_handshake_is_too_slow() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.rest()

    async with a_stage(play, timeout=0.2) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE)
        assert (await visitor.head()).startswith(b"HTTP/1.1 504")
        await until(lambda: tool.open == 0)
        await visitor.close()


async def test_a_silent_tunnel_outlives_the_tools_timeout() -> None:
    async with a_stage(switching(b""), timeout=0.1) as (_, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE)
        await visitor.head()
        await asyncio.sleep(0.4)
        await visitor.send(b"still here")
        assert await visitor.exactly(10) == b"still here"
        await visitor.close()


async def test_there_may_be_so_many_tunnels_and_no_more() -> None:
    async with a_stage(switching(b""), limit=1) as (tool, door):
        first, second = await door.visitor(), await door.visitor()
        await first.send(HANDSHAKE)
        await first.head()
        await second.send(HANDSHAKE)
        assert (await second.head()).startswith(b"HTTP/1.1 503")
        first.hang_up()
        await until(lambda: door.upstream.tunnels == 0)
        third = await door.visitor()
        await third.send(HANDSHAKE)
        assert await third.head()
        assert tool.connections == 2
        await second.close()
        await third.close()
