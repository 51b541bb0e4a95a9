"""What one visitor may take of a tool: a share, and beyond it they wait for themselves."""

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack

import pytest

from oauth_proxy.errors import TooManyAtOnce
from oauth_proxy.upstream import outgoing as request_module
from oauth_proxy.upstream.shares import Shares
from tests.support.messages import OK
from tests.support.tool import Door, Peer, Tool, a_stage, until
from tests.support.websocket import HANDSHAKE

TUNNEL = HANDSHAKE.replace(b"GET /ws", b"GET /slow").replace(b"Host: a", b"Host: a\r\nX-Owner: greedy")
SHARE = 8


def get(owner: bytes, target: bytes = b"/") -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: a\r\nX-Owner: %b\r\nConnection: close\r\n\r\n" % (target, owner)


async def as_they_are_told(tool: Tool, peer: Peer) -> None:
    """A tool that keeps whoever asks for /slow waiting, reads no bodies, and has no end of /flood."""
    while True:
        asked = await tool.asked(peer)
        if b" /slow " in asked:
            await asyncio.Event().wait()
        if b" /flood " in asked:
            await peer.send(OK.replace(b"2\r\n\r\nhi", b"1000000000\r\n\r\n"))
            while True:
                await peer.send(bytes(65536))
        await peer.send(OK)


async def asking(door: Door, stack: AsyncExitStack, request: bytes, times: int) -> list[Peer]:
    """So many visitors who have sent this, and are cut off in the end."""
    visitors = [await door.visitor() for _ in range(times)]
    for visitor in visitors:
        stack.callback(visitor.hang_up)
        await visitor.send(request)
    return visitors


@pytest.mark.parametrize(
    "taking",
    [
        get(b"greedy", b"/slow"),
        get(b"greedy", b"/flood"),
        b"POST /slow HTTP/1.1\r\nHost: a\r\nX-Owner: greedy\r\nContent-Length: 100\r\n\r\nx",
        b"POST /slow HTTP/1.1\r\nHost: a\r\nX-Owner: greedy\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
    ],
    ids=["waits", "answers that nobody reads", "uploads", "chunked uploads"],
)
async def test_one_visitor_takes_no_more_than_a_share_of_the_connections(taking: bytes) -> None:
    async with a_stage(as_they_are_told, limit=2 * SHARE) as (tool, door), AsyncExitStack() as stack:
        await asking(door, stack, taking, 2 * SHARE)
        await until(lambda: tool.open == SHARE)
        others = await asyncio.gather(*(door.ask(get(b"other %d" % number)) for number in range(20)))
        assert all(answer.endswith(b"hi") for answer in others)
        assert (tool.open - door.upstream.idle_connections, door.upstream.waiting) == (SHARE, 0)
        refused = await door.ask(get(b"greedy"))
        assert refused.startswith(b"HTTP/1.1 429 ")
        assert [type(error) for error in door.errors] == [TooManyAtOnce]


async def test_the_next_of_ones_own_begins_when_one_has_ended() -> None:
    async with a_stage(as_they_are_told, limit=2 * SHARE) as (tool, door), AsyncExitStack() as stack:
        first, *_ = await asking(door, stack, get(b"greedy", b"/slow"), SHARE)
        await until(lambda: tool.open == SHARE)
        waiting = asyncio.create_task(door.ask(get(b"greedy")))
        assert (await door.ask(get(b"other"))).endswith(b"hi")
        assert not waiting.done()
        first.hang_up()
        assert (await waiting).endswith(b"hi")


async def test_who_waits_for_a_place_of_ones_own_waits_for_the_tools_patience() -> None:
    async with a_stage(as_they_are_told, limit=2 * SHARE) as (tool, door), AsyncExitStack() as stack:
        upload = b"POST /slow HTTP/1.1\r\nHost: a\r\nX-Owner: greedy\r\nContent-Length: 100\r\n\r\nx"
        await asking(door, stack, upload, SHARE)
        await until(lambda: tool.open == SHARE)
        door.upstream.shares.patience = 0.05
        assert (await door.ask(get(b"greedy"))).startswith(b"HTTP/1.1 429 ")
        assert (await door.ask(get(b"other"))).endswith(b"hi")


async def test_nothing_is_kept_of_visitors_who_have_nothing_under_way() -> None:
    async with a_stage(as_they_are_told, limit=2 * SHARE) as (_, door), AsyncExitStack() as stack:
        for number in range(50):
            await door.ask(get(b"%d" % number))
        visitors = await asking(door, stack, get(b"greedy", b"/slow"), SHARE + 3)
        await until(lambda: door.upstream.shares.waiting == 3)
        for visitor in visitors:
            visitor.hang_up()
        await until(lambda: not door.upstream.shares.owners)


async def test_a_visitor_has_a_share_of_the_websockets_and_beyond_it_is_told_at_once() -> None:
    async with a_stage(as_they_are_told, most_tunnels=2 * SHARE) as (tool, door), AsyncExitStack() as stack:
        await asking(door, stack, TUNNEL, SHARE)
        await until(lambda: tool.open == SHARE)
        [beyond] = await asking(door, stack, TUNNEL, 1)
        assert (await beyond.head()).startswith(b"HTTP/1.1 429 ")
        [other] = await asking(door, stack, TUNNEL.replace(b"greedy", b"other"), 1)
        await until(lambda: tool.open == SHARE + 1)
        assert (await door.ask(get(b"greedy"))).endswith(b"hi"), "requests are counted apart"
        other.hang_up()


async def test_a_place_that_comes_free_as_its_owner_goes_is_the_next_ones() -> None:
    shares, ends = Shares(SHARE, 5), asyncio.Event()

    async def exchange(until: Awaitable[object]) -> None:
        if not shares.take("greedy"):
            await shares.wait("greedy")
        try:
            await until
        finally:
            shares.give_back("greedy")

    tasks = [asyncio.create_task(exchange(ends.wait())) for _ in range(SHARE)]
    await asyncio.sleep(0)
    first, second = (asyncio.create_task(exchange(asyncio.sleep(0))) for _ in range(2))
    await until(lambda: shares.waiting == 2)
    tasks[0].cancel()
    await asyncio.wait({tasks[0]})
    first.cancel()  # it has been promised the place, and has not heard of it
    await asyncio.wait({first})
    await second
    ends.set()
    await asyncio.wait(tasks)
    assert (shares.owners, shares.waiting) == (0, 0)


POST = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"


async def test_a_body_slower_than_the_floor_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It never stalls: a byte comes again and again."""
    monkeypatch.setattr(request_module, "STALL", 0.2)

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.rest()

    async def dribble(visitor: Peer) -> None:
        while True:
            await visitor.send(b"x")
            await asyncio.sleep(0.01)

    async with a_stage(play, body_rate=1000) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(POST + b"Content-Length: 1000000\r\n\r\n")
        dribbling = asyncio.create_task(dribble(visitor))
        assert (await visitor.head()).startswith(b"HTTP/1.1 408 ")
        dribbling.cancel()
        await until(lambda: tool.open == 0)
        visitor.hang_up()


async def test_a_body_at_the_floor_may_take_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_module, "STALL", 0.5)

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.exactly(3000)
        await peer.send(OK)

    async with a_stage(play, body_rate=200) as (_, door):
        visitor = await door.visitor()
        await visitor.send(POST + b"Content-Length: 3000\r\n\r\n")
        for _ in range(30):
            await visitor.send(bytes(100))
            await asyncio.sleep(0.05)
        assert (await visitor.rest()).endswith(b"hi")
        await visitor.close()


async def test_a_tool_that_is_slow_to_read_is_not_the_visitors_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the body wants through at once, and waits for the tool for much longer than the visitor may take."""
    monkeypatch.setattr(request_module, "STALL", 1.0)
    size = 32 * 1_048_576

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        for _ in range(8):
            await asyncio.sleep(0.2)
            await peer.exactly(size // 8)
        await peer.send(OK)

    async with a_stage(play, body_rate=1e9) as (_, door):
        visitor = await door.visitor()
        await visitor.send(POST + b"Content-Length: %d\r\n\r\n" % size)
        pump = asyncio.create_task(visitor.send(bytes(size)))
        assert (await visitor.rest()).endswith(b"hi")
        await pump
        await visitor.close()
