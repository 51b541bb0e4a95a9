"""Whoever leaves, at whichever point of an exchange, the other side is let go at once and nothing stays open."""

import asyncio

import pytest

from tests.support.messages import GET_MORE
from tests.support.tool import Door, Peer, Play, Tool, a_stage, until

HEAD = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 1000000\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"


def saying_then_waiting(answer: bytes) -> Play:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(answer)
        await peer.rest()

    return play


async def nothing_is_left(tool: Tool, door: Door) -> None:
    await until(lambda: tool.open == 0 and door.upstream.open_connections == 0 and not door.tasks)
    assert door.upstream.waiting == door.upstream.tunnels == 0


@pytest.mark.parametrize("request_bytes", [GET_MORE, POST, POST + b"half"])
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200", HEAD, HEAD + b"half"])
@pytest.mark.parametrize("by_reset", [True, False])
async def test_a_visitor_who_leaves_takes_the_exchange_along(
    request_bytes: bytes, answer: bytes, by_reset: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """And is nothing to write in a log about."""
    async with a_stage(saying_then_waiting(answer)) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(request_bytes)
        if answer.startswith(HEAD):
            await visitor.until(answer[len(HEAD) :] or b"\r\n\r\n")
        else:
            await until(lambda: len(tool.heads) == 1)
        if by_reset:
            visitor.hang_up()
        else:
            await visitor.close()
        await nothing_is_left(tool, door)
        assert not door.errors
        assert not caplog.records


async def test_a_visitor_who_leaves_while_the_tool_is_being_connected() -> None:
    async with a_stage(saying_then_waiting(b"")) as (tool, door):
        visitors = [await door.visitor() for _ in range(20)]
        for visitor in visitors:
            await visitor.send(GET_MORE)
        await until(lambda: tool.connections > 0)
        for visitor in visitors:
            visitor.hang_up()
        await nothing_is_left(tool, door)


async def test_a_thousand_aborted_downloads_leave_no_connection() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(HEAD + bytes(300_000))
        await peer.rest()

    async def download(door: Door) -> None:
        visitor = await door.visitor()
        await visitor.send(GET_MORE)
        await visitor.exactly(50_000)
        visitor.hang_up()

    async with a_stage(play) as (tool, door):
        for _ in range(50):
            await asyncio.gather(*(download(door) for _ in range(20)))
        await nothing_is_left(tool, door)
        assert tool.connections == 1000


async def test_a_visitor_who_does_not_read_holds_little_and_then_leaves() -> None:
    sent = 0

    async def play(tool: Tool, peer: Peer) -> None:
        nonlocal sent
        await tool.asked(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 134217728\r\n\r\n")
        while sent < 134_217_728:
            peer.writer.write(bytes(65536))
            await peer.writer.drain()
            sent += 65536

    async with a_stage(play) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(GET_MORE)
        await visitor.head()
        held = -1
        while held != sent or not held:  # until nothing moves any more
            held = sent
            await asyncio.sleep(0.1)
        assert held < 67_108_864
        visitor.hang_up()
        await nothing_is_left(tool, door)


async def test_cancelling_handlers_ends_their_exchanges() -> None:
    """As the end of a session does to a stream that is still live."""
    async with a_stage(saying_then_waiting(HEAD + b"half")) as (tool, door):
        visitors = [await door.visitor() for _ in range(5)]
        for visitor in visitors:
            await visitor.send(GET_MORE)
            await visitor.until(b"half")
        for task in list(door.tasks):
            task.cancel()
        for visitor in visitors:
            with pytest.raises(ConnectionResetError):
                await visitor.rest()
            await visitor.close()
        await nothing_is_left(tool, door)


async def test_closing_the_upstream_ends_every_exchange() -> None:
    async with a_stage(saying_then_waiting(HEAD + b"half")) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(GET_MORE)
        await visitor.until(b"half")
        await door.upstream.close()
        with pytest.raises(ConnectionResetError):
            await visitor.rest()
        await nothing_is_left(tool, door)
        await visitor.close()
