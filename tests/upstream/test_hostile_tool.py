"""Answers that are malformed, or could be read in two ways: none of their bytes reaches a visitor."""

import asyncio

import pytest

from oauth_proxy.errors import UpstreamNonsense
from oauth_proxy.upstream.pool import Pool
from tests.support.messages import CHUNKED, GET, GET_MORE, KIND, OK_LINE
from tests.support.tool import Peer, Play, Tool, a_stage, a_tool, until

MALFORMED = {
    "not HTTP": b"SSH-2.0-EVIL\r\n",
    "not HTTP at all": b"\0\1\2EVIL\xff",
    "HTTP/0.9": b"HTTP/0.9 200 EVIL\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 EVIL\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 EVIL\r\nContent-Length: 0\r\n\r\n",
    "RTSP": b"RTSP/1.0 200 EVIL\r\nContent-Length: 0\r\n\r\n",
    "lower case": b"http/1.1 200 EVIL\r\nContent-Length: 0\r\n\r\n",
    "two spaces": b"HTTP/1.1  200 EVIL\r\nContent-Length: 0\r\n\r\n",
    "an empty line first": b"\r\nHTTP/1.1 200 EVIL\r\nContent-Length: 0\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 EVIL\r\nContent-Length: 0\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 EVIL\r\nContent-Length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 EVIL\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 EVIL\r\nContent-Length: 0\r\n\r\n",
    "NUL in the reason": b"HTTP/1.1 200 EVIL\0\r\nContent-Length: 0\r\n\r\n",
    "ESC in the reason": b"HTTP/1.1 200 EVIL\x1b[2J\r\nContent-Length: 0\r\n\r\n",
    "DEL in the reason": b"HTTP/1.1 200 EVIL\x7f\r\nContent-Length: 0\r\n\r\n",
    "CR in the reason": b"HTTP/1.1 200 EVIL\rX-Split: 1\r\nContent-Length: 0\r\n\r\n",
    "LF after the status line": b"HTTP/1.1 200 EVIL\nContent-Length: 0\r\n\r\n",
    "LF after a field": OK_LINE + b"X-EVIL: 1\nContent-Length: 0\r\n\r\n",
    "LF for the empty line": OK_LINE + b"X-EVIL: 1\r\nContent-Length: 0\r\n\n",
    "LF everywhere": b"HTTP/1.1 200 OK\nX-EVIL: 1\nContent-Length: 0\n\n",
    "NUL in a value": OK_LINE + b"X-EVIL: a\0b\r\nContent-Length: 0\r\n\r\n",
    "ESC in a value": OK_LINE + b"X-EVIL: a\x1bb\r\nContent-Length: 0\r\n\r\n",
    "CR in a value": OK_LINE + b"X-EVIL: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a name": OK_LINE + b"X-\0EVIL: a\r\nContent-Length: 0\r\n\r\n",
    "space in a name": OK_LINE + b"X EVIL: a\r\nContent-Length: 0\r\n\r\n",
    "space before the colon": OK_LINE + b"X-EVIL : a\r\nContent-Length: 0\r\n\r\n",
    "space before the first field": OK_LINE + b" X-EVIL: a\r\nContent-Length: 0\r\n\r\n",
    "a folded line": OK_LINE + b"X-EVIL: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a line folded with a tab": OK_LINE + b"X-EVIL: a\r\n\tb\r\nContent-Length: 0\r\n\r\n",
    "no colon": OK_LINE + b"EVIL\r\nContent-Length: 0\r\n\r\n",
    "no name": OK_LINE + b": EVIL\r\nContent-Length: 0\r\n\r\n",
    "two lengths that differ": OK_LINE + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nEVIL!",
    "two lengths that agree": OK_LINE + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nEVIL",
    "a list of lengths": OK_LINE + b"Content-Length: 4, 4\r\n\r\nEVIL",
    "a length with a sign": OK_LINE + b"Content-Length: +4\r\n\r\nEVIL",
    "a negative length": OK_LINE + b"Content-Length: -4\r\n\r\nEVIL",
    "a length in hexadecimal": OK_LINE + b"Content-Length: 0x4\r\n\r\nEVIL",
    "a length in Arabic digits": OK_LINE + "Content-Length: ٤\r\n\r\nEVIL".encode(),
    "an empty length": OK_LINE + b"Content-Length:\r\n\r\nEVIL",
    "a length beyond 64 bits": OK_LINE + b"Content-Length: 18446744073709551617\r\n\r\nEVIL",
    "length and chunks": OK_LINE
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n",
    "chunks and length": OK_LINE
    + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n",
    "chunked twice": OK_LINE
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n",
    "chunked, chunked": OK_LINE + b"Transfer-Encoding: chunked, chunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n",
    "gzip, chunked": OK_LINE + b"Transfer-Encoding: gzip, chunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n",
    "chunked, identity": OK_LINE + b"Transfer-Encoding: chunked, identity\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n",
    "identity": OK_LINE + b"Transfer-Encoding: identity\r\n\r\nEVIL",
    "xchunked": OK_LINE + b"Transfer-Encoding: xchunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n",
    "chunk size with a sign": CHUNKED + b"+4\r\nEVIL\r\n0\r\n\r\n",
    "negative chunk size": CHUNKED + b"-4\r\nEVIL\r\n0\r\n\r\n",
    "chunk size with 0x": CHUNKED + b"0x4\r\nEVIL\r\n0\r\n\r\n",
    "chunk size and a space": CHUNKED + b"4 \r\nEVIL\r\n0\r\n\r\n",
    "no chunk size": CHUNKED + b"\r\nEVIL\r\n0\r\n\r\n",
    "chunk size beyond 64 bits": CHUNKED + b"fffffffffffffffff\r\nEVIL\r\n0\r\n\r\n",
    "LF after a chunk size": CHUNKED + b"4\nEVIL\r\n0\r\n\r\n",
    "LF in a chunk extension": CHUNKED + b"4;a\nb\r\nEVIL\r\n0\r\n\r\n",
    "a chunk longer than its size": CHUNKED + b"3\r\nEVIL\r\n0\r\n\r\n",
    "a chunk shorter than its size": CHUNKED + b"5\r\nEVIL\r\n0\r\n\r\n",
    "LF in a trailer": CHUNKED + b"4\r\nEVIL\r\n0\r\nX: 1\n\r\n",
    "101 that nobody asked for": b"HTTP/1.1 101 EVIL\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nEVIL",
    "101 without an upgrade": b"HTTP/1.1 101 EVIL\r\n\r\nEVIL",
    "an interim answer with a body": b"HTTP/1.1 100 Go\r\nContent-Length: 4\r\n\r\nEVIL" + KIND,
    "interim answers without end": b"HTTP/1.1 102 EVIL\r\n\r\n" * 40 + KIND,
    "a head of too many bytes": OK_LINE + b"X-EVIL: " + b"a" * 70000 + b"\r\nContent-Length: 0\r\n\r\n",
    "a name without end": OK_LINE + b"a" * 70000,
    "a head of too many lines": OK_LINE + b"X-EVIL: 1\r\n" * 300 + b"Content-Length: 0\r\n\r\n",
}


def once(answer: bytes) -> Play:
    """A tool that gives this answer to its first connection, and kind ones to all others."""

    async def play(tool: Tool, peer: Peer) -> None:
        if tool.connections == 1:
            await tool.asked(peer)
            await peer.send(answer)
            await peer.rest()
        while True:
            await tool.asked(peer)
            await peer.send(KIND)

    return play


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_answer_is_502_and_its_connection_dropped(answer: bytes) -> None:
    async with a_stage(once(answer)) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(GET_MORE)
        refusal = await visitor.head()
        assert refusal.startswith(b"HTTP/1.1 502 ")
        assert b"EVIL" not in refusal
        assert await visitor.exactly(16) == b"UpstreamNonsense"
        await until(lambda: tool.open == 0 and door.upstream.open_connections == 0)
        await visitor.send(GET_MORE)
        assert await visitor.exactly(len(KIND)) == KIND
        assert [type(error) for error in door.errors] == [UpstreamNonsense]
        assert tool.connections == 2
        await visitor.close()


@pytest.mark.parametrize("cut", [1, 20, len(OK_LINE) + 5])
@pytest.mark.parametrize("answer", [MALFORMED["LF after a field"], MALFORMED["length and chunks"]])
async def test_malformed_in_two_pieces_is_malformed(answer: bytes, cut: int) -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(answer[:cut])
        await asyncio.sleep(0.01)
        await peer.send(answer[cut:])
        await peer.rest()

    async with a_stage(play) as (_, door):
        visitor = await door.visitor()
        await visitor.send(GET_MORE)
        assert (await visitor.head()).startswith(b"HTTP/1.1 502 ")
        await visitor.close()


@pytest.mark.parametrize(
    ("request_method", "answer"),
    [
        (b"GET", KIND + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"),
        (b"GET", KIND + b"EVIL"),
        (b"GET", KIND + b"\r\n"),
        (b"GET", KIND.replace(b"4\r\n\r\nkind", b"0\r\n\r\n") + b"\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nEVIL"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nEVIL"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nX: EVIL\r\n\r\n"),
    ],
)
async def test_bytes_behind_an_answer_are_nobodys(request_method: bytes, answer: bytes) -> None:
    """The answer itself stands; what came with it must not become the next visitor's."""
    async with a_stage(once(answer), idle=60) as (tool, door):
        first = await door.ask(request_method + b" / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 ")
        assert b"EVIL" not in first
        await until(lambda: tool.open == 0 and door.upstream.open_connections == 0)
        second = await door.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert second.endswith(b"\r\n\r\nkind")
        assert tool.connections == 2
        assert not door.errors


@pytest.mark.parametrize("answer", [OK_LINE + b"Content-Length: 8\r\n\r\nha", CHUNKED + b"2\r\nha\r\n"])
async def test_bytes_behind_a_streamed_answer_are_nobodys(answer: bytes) -> None:
    go = asyncio.Event()
    rest = b"lf and more" if b"Length" in answer else b"6\r\nlf and\r\n0\r\n\r\n"
    body = b"half and" if b"Length" in answer else b"2\r\nha\r\n6\r\nlf and\r\n0\r\n\r\n"

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(answer)
        await go.wait()
        await peer.send(rest + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL")
        await peer.rest()

    async with a_stage(play) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(GET_MORE)
        await visitor.head()
        await visitor.until(b"ha")
        go.set()
        assert b"ha" + await visitor.exactly(len(body) - body.index(b"ha") - 2) == body[body.index(b"ha") :]
        await until(lambda: tool.open == 0 and door.upstream.open_connections == 0)
        assert not door.errors
        await visitor.close()


async def test_bytes_on_an_idle_connection_end_it() -> None:
    speak = asyncio.Event()

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(KIND)
        if tool.connections == 1:
            await speak.wait()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL")
        await peer.rest()

    async with a_stage(play) as (tool, door):
        await door.ask(GET)
        assert door.upstream.idle_connections == 1
        speak.set()
        await until(lambda: tool.open == 0 and door.upstream.open_connections == 0)
        assert door.upstream.idle_connections == 0
        answer = await door.ask(GET)
        assert answer.endswith(b"kind")


async def test_a_tool_that_speaks_before_it_is_asked_is_not_heard() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await peer.send(KIND)
        await peer.rest()

    async with a_tool(play) as (tool, address):
        pool = Pool(address, ssl_context=None, timeout=5, connect_timeout=5, limit=1, most_tunnels=1, idle=5)
        connection = await pool.connect()
        await until(lambda: pool.open == 0)
        assert isinstance(connection.error, UpstreamNonsense)
        await until(lambda: tool.open == 0)
