"""Bytes that a tool sends late: none of them becomes a part of what the next visitor gets."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from oauth_proxy.upstream import pool as pool_module
from oauth_proxy.upstream.pool import Pool
from tests.support.messages import GET, KIND
from tests.support.tool import Peer, Tool, a_stage, a_tool, saying, until

STRAY = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 4\r\n\r\nEVIL"
ROUNDS = 20


def late(head: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (head, len(STRAY))


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"HEAD", late(b"200 OK")),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (b"HEAD", late(b"404 Not Found")),
        (b"GET", late(b"204 No Content")),
        (b"GET", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"GET", late(b"304 Not Modified")),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
)
async def test_a_body_where_none_may_be_reaches_nobody_however_late_it_comes(method: bytes, answer: bytes) -> None:
    """The body comes when the next request is on its way already: nothing but another connection helps then."""

    async def play(tool: Tool, peer: Peer) -> None:
        owed = b""
        while True:
            if b"/first" in await tool.asked(peer):
                await peer.send(answer)
                owed = STRAY
            else:
                await peer.send(owed + KIND)

    async with a_stage(play) as (_, door):
        heard = []
        for _ in range(ROUNDS):
            first = await door.ask(method + b" /first HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert first.startswith(answer[:12])
            heard.append(await door.ask(GET))
        assert [answer for answer in heard if not answer.endswith(b"\r\n\r\nkind")] == []
        assert not door.errors


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
    ],
)
async def test_an_answer_that_announces_no_body_keeps_its_connection(answer: bytes) -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        while True:
            await tool.asked(peer)
            await peer.send(answer)

    async with a_stage(play) as (tool, door):
        for _ in range(3):
            await door.ask(GET)
        assert tool.connections == 1


async def test_a_connection_whose_answer_began_before_the_body_had_gone_is_not_used_again() -> None:
    """Whether the tool has read that body, or takes what is left of it for a request, nobody can know."""

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        if tool.connections == 1:
            await peer.send(b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 4\r\n\r\n")
            await peer.exactly(4)
            await peer.send(b"kind")
            await tool.asked(peer)
            await peer.send(STRAY)
        await peer.send(KIND)

    async with a_stage(play) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
        await visitor.head()
        await visitor.send(b"body")
        assert await visitor.exactly(4) == b"kind"
        assert (await door.ask(GET)).endswith(b"kind")
        assert tool.connections == 2
        await visitor.close()


async def twice(tool: Tool, peer: Peer) -> None:
    """A tool that answers twice: the second time when the next request is there already."""
    await tool.asked(peer)
    await peer.send(KIND)
    while True:
        await tool.asked(peer)
        await peer.send(STRAY)
        await peer.send(KIND)


def asked_by(owner: int) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: a\r\nX-Owner: %d\r\nConnection: close\r\n\r\n" % owner


async def test_a_second_answer_reaches_no_other_visitor_while_it_may_still_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "QUIET", 1000.0)
    async with a_stage(twice) as (tool, door):
        heard = [await door.ask(asked_by(number)) for number in range(ROUNDS)]
        assert [answer for answer in heard if not answer.endswith(b"kind")] == []
        assert tool.connections == ROUNDS


async def test_where_the_tool_was_silent_another_visitor_may_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "QUIET", 0.0)
    async with a_stage(saying(KIND)) as (tool, door):
        for number in range(5):
            assert (await door.ask(asked_by(number))).endswith(b"kind")
        assert tool.connections == 1


async def test_nobody_waits_for_silence_where_there_can_be_no_other_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "QUIET", 1000.0)
    async with a_stage(saying(KIND), limit=2) as (tool, door):
        for number in range(5):
            assert (await door.ask(asked_by(number))).endswith(b"kind")
        assert tool.connections == 2


def says(data: bytes) -> Callable[[int], Any]:
    """Bytes that are in the proxy's socket when this returns, though its loop has not seen them."""
    return lambda fileno: os.write(fileno, data)


def hangs_up(fileno: int) -> None:
    with socket.socket(fileno=os.dup(fileno)) as copy:
        copy.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("does", [says(STRAY), says(b"\0"), hangs_up], ids=["answer", "one byte", "end"])
@pytest.mark.parametrize("way", ["at rest", "promised"])
async def test_a_connection_that_is_readable_before_it_is_used_is_dropped(
    does: Callable[[int], Any], way: str
) -> None:
    sockets: list[int] = []

    async def play(tool: Tool, peer: Peer) -> None:
        sockets.append(peer.writer.get_extra_info("socket").fileno())
        while True:
            await tool.asked(peer)
            await peer.send(KIND)

    async with a_tool(play) as (_, address):
        pool = Pool(address, ssl_context=None, timeout=5, connect_timeout=5, limit=1, most_tunnels=1, idle=5)
        connection = await pool.connect()
        for _ in range(ROUNDS):
            await connection.ask(GET)
            waiting = asyncio.create_task(pool.connect()) if way == "promised" else None
            await until(lambda: pool.waiting == (1 if way == "promised" else 0))
            pool.give_back(connection, "")
            does(sockets[-1])
            given = await waiting if waiting else pool.at_rest("", is_repeatable=True) or await pool.connect()
            assert given is not connection
            assert pool.open == 1, "the one that was dropped has left its place to the new one"
            await given.ask(GET)
            assert given.take() == [b"kind"]
            connection = given
        pool.close()
        await until(lambda: pool.open == 0)
