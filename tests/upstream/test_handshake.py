"""WebSocket handshakes: which reach the tool, and which answers to them reach the visitor."""

import base64

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from oauth_proxy.errors import BadRequest, UpstreamNonsense
from tests.support.tool import Peer, Tool, a_stage, until
from tests.support.websocket import ACCEPT, HANDSHAKE, KEY, SWITCH, switching


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
            await connect(f"ws://127.0.0.1:{door.port}/ws", proxy=None)
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


async def test_there_may_be_so_many_tunnels_and_no_more() -> None:
    async with a_stage(switching(b""), most_tunnels=1) as (tool, door):
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
