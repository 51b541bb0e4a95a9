"""A request's body on its way to the tool: framing, 100-continue, early answers, slow visitors."""

import asyncio

import pytest

from oauth_proxy.errors import BadRequest, RequestTooSlow
from oauth_proxy.upstream import outgoing as request_module
from oauth_proxy.upstream.pool import QUIET, Address
from tests.support.messages import OK, POST
from tests.support.tool import Peer, Play, Tool, a_door, a_stage, saying, until


def reading(size: int) -> Play:
    """A tool that answers when it has read so many bytes of body, and keeps them with the heads."""

    async def play(tool: Tool, peer: Peer) -> None:
        while True:
            await tool.asked(peer)
            tool.heads.append(await peer.reader.readexactly(size))
            await peer.send(OK)

    return play


@pytest.mark.parametrize("pause", [False, True])
@pytest.mark.parametrize(
    ("framing", "body", "sent"),
    [
        (b"Content-Length: 5\r\n", b"hello", (b"Content-Length: 5\r\n", b"hello")),
        (b"Content-Length: 0\r\n", b"", (b"Content-Length: 0\r\n", b"")),
        (b"", b"", (b"", b"")),
        (
            b"transfer-encoding: Chunked\r\n",
            b"5;ext\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n",
            (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
        ),
        (
            b"Transfer-Encoding: chunked\r\n",
            b"0\r\n\r\n",
            (b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        ),
    ],
)
async def test_a_body_keeps_its_framing_and_loses_its_trailers(
    framing: bytes, body: bytes, sent: tuple[bytes, bytes], pause: bool
) -> None:
    """`pause`: the body comes after its head, so that it is streamed instead of sent in one write."""
    async with a_stage(reading(len(sent[1]))) as (tool, door):
        for _ in range(2):
            visitor = await door.visitor()
            await visitor.send(POST + framing + b"\r\n" + (b"" if pause else body))
            if pause and body:
                await until(lambda: len(tool.heads) % 2 == 1)
                await visitor.send(body)
            assert (await visitor.head()).startswith(b"HTTP/1.1 200 OK\r\n")
            await visitor.close()
            await asyncio.sleep(2 * QUIET)  # until then it may be a tool that keeps no connection
        assert tool.heads == [POST + sent[0] + b"\r\n", sent[1]] * 2
        assert tool.connections == 1


@pytest.mark.parametrize("pause", [False, True])
async def test_a_trailer_never_becomes_a_line_of_the_next_request(pause: bool) -> None:
    """aiohttp 3.14.5 makes it one, so nobody gets to ask again on that connection."""
    async with a_stage(reading(11)) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        if pause:
            await until(lambda: len(tool.heads) == 1)
        await visitor.send(b"1\r\na\r\n0\r\nCookie: forged=1\r\n\r\n" + POST + b"Content-Length: 6\r\n\r\nforged")
        answer = await visitor.rest()
        assert answer == OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        assert len(tool.heads) == 2
        await visitor.close()


async def test_head_has_no_body_in_its_answer_even_when_its_request_has_one() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        while True:
            await tool.asked(peer)
            await peer.exactly(5)
            await peer.send(b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 9\r\n\r\n")

    async with a_stage(play) as (tool, door):
        visitor = await door.visitor()
        for _ in range(2):
            tool.heads.clear()
            await visitor.send(b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
            await until(lambda: len(tool.heads) == 1)
            await visitor.send(b"hello")
            assert await visitor.head() == b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 9\r\n\r\n"
        await visitor.close()


async def test_a_body_of_many_pieces_arrives_whole() -> None:
    body = bytes(range(256)) * 4096
    async with a_stage(reading(len(body))) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(POST + b"Content-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 10007):
            await visitor.send(body[start : start + 10007])
        assert await visitor.exactly(len(OK)) == OK
        assert tool.heads[1] == body
        await visitor.close()


async def test_a_transfer_coding_that_we_cannot_undo_is_refused() -> None:
    async with a_stage(saying(OK)) as (tool, door):
        await door.ask(POST + b"Transfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n")
        assert [type(error) for error in door.errors] == [BadRequest]
        assert tool.connections == 0


async def test_connect_is_refused() -> None:
    async with a_stage(saying(OK)) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
        assert (await visitor.head()).startswith(b"HTTP/1.1 400 ")
        assert tool.connections == 0
        await visitor.close()


async def test_100_continue_is_said_when_the_tool_is_about_to_receive_the_body() -> None:
    async with a_stage(reading(5)) as (tool, door):
        visitor = await door.visitor()
        for _ in range(2):
            await visitor.send(POST + b"Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n")
            assert await visitor.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            await visitor.send(b"hello")
            assert await visitor.exactly(len(OK)) == OK
        assert tool.heads[0] == POST + b"Content-Length: 5\r\n\r\n"
        await visitor.close()


async def test_100_continue_is_not_said_to_who_did_not_wait() -> None:
    async with a_stage(reading(5)) as (_, door):
        visitor = await door.visitor()
        await visitor.send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
        assert await visitor.exactly(len(OK)) == OK
        await visitor.close()


async def test_100_continue_is_not_said_when_the_tool_cannot_be_reached(unused_tcp_port: int) -> None:
    async with a_door(Address("127.0.0.1", unused_tcp_port)) as door:
        visitor = await door.visitor()
        await visitor.send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert (await visitor.head()).startswith(b"HTTP/1.1 502 ")
        await visitor.close()


async def test_a_body_that_stalls_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_module, "STALL", 0.1)
    async with a_stage(reading(10)) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(POST + b"Content-Length: 10\r\n\r\nhalf")
        assert (await visitor.head()).startswith(b"HTTP/1.1 408 ")
        assert [type(error) for error in door.errors] == [RequestTooSlow]
        visitor.hang_up()
        await until(lambda: tool.open == 0)


async def test_while_the_body_is_sent_the_tool_owes_no_answer() -> None:
    async with a_stage(reading(2), timeout=0.1) as (_, door):
        visitor = await door.visitor()
        await visitor.send(POST + b"Content-Length: 2\r\n\r\na")
        await asyncio.sleep(0.3)
        await visitor.send(b"b")
        assert await visitor.exactly(len(OK)) == OK
        await visitor.close()


async def test_chunks_that_are_none_end_the_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp tells the handler nothing of the fault, so it looks like a visitor who stopped sending."""
    monkeypatch.setattr(request_module, "STALL", 0.1)

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.rest()

    async with a_stage(play) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n")
        await until(lambda: tool.open == 1)
        await visitor.send(b"xyz\r\nbad\r\n0\r\n\r\n")
        await until(lambda: tool.open == 0)
        visitor.hang_up()
