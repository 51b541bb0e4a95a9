"""An ordinary exchange: what of a request reaches the tool, and what of an answer reaches the visitor."""

import asyncio

import pytest

from oauth_proxy.errors import BadRequest
from oauth_proxy.upstream.outgoing import header_lines, request_head
from tests.support.messages import GET, OK
from tests.support.tool import Peer, Tool, a_stage, saying, until


async def test_a_request_reaches_the_tool_byte_for_byte() -> None:
    async with a_stage(saying(OK)) as (tool, door):
        await door.ask(
            b"PATCH /a%2F..//b?x=%zz&&y HTTP/1.1\r\nHost: a.example\r\nX-One: 1\r\nx-ONE:  2 \r\n"
            b"X-Latin: \xe9\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
    assert tool.heads == [
        b"PATCH /a%2F..//b?x=%zz&&y HTTP/1.1\r\nHost: a.example\r\nX-One: 1\r\nx-ONE: 2\r\n"
        b"X-Latin: \xe9\r\nContent-Length: 0\r\n\r\n"
    ]


async def test_an_answer_reaches_the_visitor_byte_for_byte() -> None:
    answer = (
        b"HTTP/1.1 299 Quite \xe9 Fine\r\nServer:   tool\r\nset-cookie: a=1\r\nSET-COOKIE: b=2\r\ndate: then\r\n"
        b"Content-Length: 2\r\nX-Empty:\r\n"
    )
    async with a_stage(saying(answer + b"\r\nhi")) as (_, door):
        assert await door.ask(GET) == answer + b"Connection: close\r\n\r\nhi"


async def test_hop_by_hop_lines_and_those_that_connection_names_stay_behind() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nDate: now\r\nConnection: X-Mine, keep-alive\r\nKeep-Alive: timeout=5\r\nX-Mine: 1\r\n"
        b"Proxy-Connection: a\r\nTrailer: b\r\nTE: c\r\nUpgrade: h2c\r\nX-Yours: 2\r\nContent-Length: 2\r\n\r\nhi"
    )
    async with a_stage(saying(answer)) as (_, door):
        expected = (
            b"HTTP/1.1 200 OK\r\nDate: now\r\nX-Yours: 2\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
        )
        assert await door.ask(GET) == expected


async def test_connection_cannot_name_the_length_away() -> None:
    answer = b"HTTP/1.1 200 OK\r\nDate: now\r\nConnection: Content-Length\r\nContent-Length: 2\r\n\r\nhi"
    async with a_stage(saying(answer)) as (_, door):
        assert b"\r\nContent-Length: 2\r\n" in await door.ask(GET)


async def test_the_proxys_own_lines_come_after_the_tools() -> None:
    async with a_stage(saying(OK), added=[(b"Set-Cookie", b"s=1"), (b"Set-Cookie", b"s=2")]) as (_, door):
        head = (await door.ask(GET)).partition(b"\r\n\r\n")[0]
    ours = b"Cache-Control: private\r\nSet-Cookie: s=1\r\nSet-Cookie: s=2\r\nConnection: close"
    assert head.endswith(b"Content-Length: 2\r\n" + ours)


async def test_a_missing_date_is_added_and_nothing_else() -> None:
    async with a_stage(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")) as (_, door):
        head = (await door.ask(GET)).partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]]
    assert names == [b"Content-Length", b"Date", b"Connection"]


@pytest.mark.parametrize(
    ("status", "request_method", "lengths", "kept"),
    [
        (b"204 No Content", b"GET", b"", b""),
        (b"204 No Content", b"DELETE", b"Content-Length: 0\r\n", b""),
        (b"304 Not Modified", b"GET", b"Content-Length: 9\r\n", b"Content-Length: 9\r\n"),
        (b"304 Not Modified", b"GET", b"Transfer-Encoding: chunked\r\n", b""),
        (b"200 OK", b"HEAD", b"Content-Length: 9\r\n", b"Content-Length: 9\r\n"),
        (b"200 OK", b"HEAD", b"Transfer-Encoding: chunked\r\n", b""),
        (b"200 OK", b"HEAD", b"", b""),
    ],
)
async def test_an_answer_without_a_body_ends_with_its_head(
    status: bytes, request_method: bytes, lengths: bytes, kept: bytes
) -> None:
    answer = b"HTTP/1.1 " + status + b"\r\nDate: now\r\n" + lengths + b"\r\n"
    async with a_stage(saying(answer)) as (_, door):
        visitor = await door.visitor()
        for _ in range(3):
            await visitor.send(request_method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert await visitor.head() == b"HTTP/1.1 " + status + b"\r\nDate: now\r\n" + kept + b"\r\n"
        await visitor.close()


async def test_a_chunked_answer_is_chunked_anew_without_extensions_and_trailers() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: Chunked\r\n\r\n"
        b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n"
    )
    async with a_stage(saying(answer)) as (_, door):
        assert await door.ask(GET) == (
            b"HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            b"5\r\nabcde\r\n0\r\n\r\n"
        )


async def test_an_answer_that_ends_with_its_connection_is_chunked_for_the_visitor() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(b"HTTP/1.0 200 OK\r\nDate: now\r\n\r\nabc")

    async with a_stage(play) as (tool, door):
        visitor = await door.visitor()
        for _ in range(2):
            await visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert await visitor.head() == b"HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n"
            assert await visitor.until(b"0\r\n\r\n") == b"3\r\nabc\r\n0\r\n\r\n"
        await visitor.close()
        assert tool.connections == 2


async def test_a_visitor_with_http_1_0_gets_no_chunks() -> None:
    answer = b"HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    async with a_stage(saying(answer)) as (_, door):
        request = b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
        assert await door.ask(request) == b"HTTP/1.1 200 OK\r\nDate: now\r\nConnection: close\r\n\r\nabc"


async def test_a_visitor_with_http_1_0_may_keep_the_connection() -> None:
    async with a_stage(saying(OK)) as (_, door):
        visitor = await door.visitor()
        for _ in range(2):
            await visitor.send(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            assert (await visitor.head()).endswith(b"Content-Length: 2\r\nConnection: keep-alive\r\n\r\n")
            assert await visitor.exactly(2) == b"hi"
        await visitor.close()


async def test_pipelined_requests_are_answered_in_order() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        while True:
            path = (await tool.asked(peer)).split(b" ")[1]
            await peer.send(b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    async with a_stage(play) as (tool, door):
        many = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(200))
        answer = await door.ask(many + GET.replace(b"/ ", b"/last "))
        bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK")[1:]]
        assert bodies == [b"/%d" % number for number in range(200)] + [b"/last"]
        assert tool.connections == 1


async def test_interim_answers_are_for_the_proxy_alone() -> None:
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
    async with a_stage(saying(answer)) as (tool, door):
        assert await door.ask(GET) == OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        assert await door.ask(GET) == OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        assert tool.connections == 1


async def test_a_head_may_come_byte_by_byte() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        for byte in OK:
            await peer.send(bytes([byte]))
            await asyncio.sleep(0)

    async with a_stage(play) as (_, door):
        assert await door.ask(GET) == OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


async def test_events_arrive_one_by_one() -> None:
    go = asyncio.Event()

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Type: text/event-stream\r\n\r\n")
        for number in range(3):
            await go.wait()
            go.clear()
            await peer.send(b"data: %d\n\n" % number)

    async with a_stage(play) as (_, door):
        visitor = await door.visitor()
        await visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await visitor.head()
        for number in range(3):
            go.set()
            assert await visitor.until(b"\n\n\r\n") == b"9\r\ndata: %d\n\n\r\n" % number
        assert await visitor.until(b"0\r\n\r\n") == b"0\r\n\r\n"
        await visitor.close()


@pytest.mark.parametrize("value", [b"a\r\nX-Forged: 1", b"a\nX-Forged: 1", b"a\rb", b"a\0b"])
async def test_a_line_that_would_become_two_does_not_get_out(value: bytes) -> None:
    with pytest.raises(BadRequest):
        header_lines([(b"Host", b"a"), (b"X-Name", value)])
    with pytest.raises(BadRequest):
        request_head("GET", b"/" + value, b"Host: a\r\n", b"")


async def test_connections_are_reused_and_counted() -> None:
    async with a_stage(saying(OK)) as (tool, door):
        for _ in range(5):
            await door.ask(GET)
        assert (tool.connections, door.upstream.open_connections, door.upstream.idle_connections) == (1, 1, 1)
        await door.upstream.close()
        await until(lambda: tool.open == 0)
        assert door.upstream.open_connections == 0
