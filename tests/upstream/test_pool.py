"""Which connection a request gets: reuse, expiry, limits, retries, timeouts, and the ways to reach a tool."""

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from oauth_proxy.errors import ProxyError, UpstreamTimeout, UpstreamUnreachable
from oauth_proxy.upstream.pool import Address, Pool
from tests.upstream.stage import Peer, Play, Tool, a_door, a_stage, a_tool, saying, until

GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 2\r\n\r\nhi"


def dying(after: int) -> Play:
    """A tool whose connections answer so often, and hang up on the next request without a word."""

    async def play(tool: Tool, peer: Peer) -> None:
        for _ in range(after):
            await tool.asked(peer)
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await tool.asked(peer)

    return play


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"])
async def test_a_stale_connection_is_replaced_once_without_a_word(method: bytes) -> None:
    async with a_stage(dying(1)) as (tool, door):
        for _ in range(3):
            answer = await door.ask(GET.replace(b"GET", method))
            assert answer.startswith(b"HTTP/1.1 200 ")
        assert (tool.connections, len(tool.heads)) == (3, 5)


async def test_a_body_in_hand_is_sent_again_with_its_request() -> None:
    async with a_stage(dying(1)) as (tool, door):
        await door.ask(GET)
        answer = await door.ask(b"PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert tool.connections == 2


@pytest.mark.parametrize("method", [b"POST", b"PATCH"])
async def test_what_might_be_done_twice_is_not_sent_twice(method: bytes) -> None:
    async with a_stage(dying(1)) as (tool, door):
        await door.ask(GET)
        answer = await door.ask(GET.replace(b"GET", method))
        assert answer.startswith(b"HTTP/1.1 502 ")
        assert len(tool.heads) == 2


async def test_a_body_that_was_streamed_is_not_sent_twice() -> None:
    async with a_stage(dying(1)) as (tool, door):
        await door.ask(GET)
        visitor = await door.visitor()
        await visitor.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
        assert (await visitor.head()).startswith(b"HTTP/1.1 502 ")
        assert len(tool.heads) == 2
        visitor.hang_up()


async def test_a_fresh_connection_that_dies_is_not_tried_again() -> None:
    async with a_stage(dying(0)) as (tool, door):
        assert (await door.ask(GET)).startswith(b"HTTP/1.1 502 ")
        assert len(tool.heads) == 1


async def test_an_answer_that_has_begun_is_not_asked_for_again() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(OK)
        await tool.asked(peer)
        await peer.send(b"H")

    async with a_stage(play) as (tool, door):
        await door.ask(GET)
        assert (await door.ask(GET)).startswith(b"HTTP/1.1 502 ")
        assert len(tool.heads) == 2


@pytest.mark.parametrize(
    "line",
    [b"HTTP/1.1 200 OK\r\nConnection: close", b"HTTP/1.0 200 OK", b"HTTP/1.1 200 OK\r\nConnection: x, Close"],
)
async def test_a_connection_that_the_tool_wants_closed_is_not_kept(line: bytes) -> None:
    async with a_stage(saying(OK.replace(b"HTTP/1.1 200 OK", line))) as (tool, door):
        for _ in range(2):
            assert (await door.ask(GET)).endswith(b"hi")
        assert tool.connections == 2
        await until(lambda: tool.open == 0)


async def test_http_1_0_may_keep_its_connection() -> None:
    answer = OK.replace(b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive")
    async with a_stage(saying(answer)) as (tool, door):
        for _ in range(2):
            assert (await door.ask(GET)).startswith(b"HTTP/1.1 200 OK\r\n")
        assert tool.connections == 1


async def test_an_idle_connection_expires() -> None:
    async with a_stage(saying(OK), idle=0.1) as (tool, door):
        await door.ask(GET)
        assert door.upstream.idle_connections == 1
        await until(lambda: tool.open == 0)
        assert (door.upstream.open_connections, door.upstream.idle_connections) == (0, 0)
        assert not door.errors


async def test_an_idle_connection_that_the_tool_closes_is_forgotten() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(OK)

    async with a_stage(play) as (tool, door):
        for _ in range(3):
            assert (await door.ask(GET)).endswith(b"hi")
            await until(lambda: door.upstream.open_connections == 0)
        assert tool.connections == 3


async def test_the_connection_used_last_is_used_next() -> None:
    together = asyncio.Barrier(2)

    async def play(tool: Tool, peer: Peer) -> None:
        name = b"%d" % tool.connections
        while True:
            if b"/together" in await tool.asked(peer):
                await together.wait()
            await peer.send(OK.replace(b"hi", b"c" + name))

    async with a_stage(play) as (_, door):
        await asyncio.gather(*(door.ask(GET.replace(b"/ ", b"/together ")) for _ in range(2)))
        assert door.upstream.idle_connections == 2
        names = {(await door.ask(GET))[-2:] for _ in range(5)}
        assert len(names) == 1


async def test_requests_beyond_the_limit_wait_and_those_beyond_that_are_503() -> None:
    go = asyncio.Event()

    async def play(tool: Tool, peer: Peer) -> None:
        while True:
            await tool.asked(peer)
            await go.wait()
            await peer.send(OK)

    async with a_stage(play, limit=2) as (tool, door):
        asking = [asyncio.create_task(door.ask(GET)) for _ in range(4)]
        await until(lambda: door.upstream.waiting == 2 and tool.open == 2)
        assert (await door.ask(GET)).startswith(b"HTTP/1.1 503 ")
        go.set()
        answers = await asyncio.gather(*asking)
        assert all(answer.endswith(b"hi") for answer in answers)
        assert (tool.connections, door.upstream.waiting) == (2, 0)


async def test_a_place_in_the_queue_times_out_as_504() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await peer.rest()

    async with a_stage(play, limit=1, timeout=0.2) as (_, door):
        listener = await door.visitor()
        await listener.send(GET)
        await listener.until(b"data: 1")
        assert (await door.ask(GET)).startswith(b"HTTP/1.1 504 ")
        assert door.upstream.waiting == 0
        listener.hang_up()
        await until(lambda: door.upstream.open_connections == 0)


async def test_who_leaves_the_queue_leaves_the_place_to_the_next() -> None:
    go = asyncio.Event()

    async def play(tool: Tool, peer: Peer) -> None:
        while True:
            await tool.asked(peer)
            await go.wait()
            await peer.send(OK)

    async with a_stage(play, limit=2) as (tool, door):
        first = [asyncio.create_task(door.ask(GET)) for _ in range(2)]
        await until(lambda: tool.open == 2)
        leaver = await door.visitor()
        await leaver.send(GET)
        await until(lambda: door.upstream.waiting == 1)
        last = asyncio.create_task(door.ask(GET))
        await until(lambda: door.upstream.waiting == 2)
        leaver.hang_up()
        await until(lambda: door.upstream.waiting == 1)
        go.set()
        answers = await asyncio.gather(*first, last)
        assert all(answer.endswith(b"hi") for answer in answers)
        assert tool.connections == 2


async def test_a_dead_connection_makes_room_for_whoever_waits() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        if tool.connections > 1:
            await peer.send(OK)
            await peer.rest()
        await until(lambda: len(waiting()) == 1)

    def waiting() -> list[int]:
        return [1] * doors[0].upstream.waiting

    doors = []
    async with a_stage(play, limit=1) as (tool, door):
        doors.append(door)
        first = asyncio.create_task(door.ask(GET.replace(b"GET", b"POST")))
        await until(lambda: tool.open == 1)
        second = asyncio.create_task(door.ask(GET))
        assert (await first).startswith(b"HTTP/1.1 502 ")
        assert (await second).endswith(b"hi")


async def test_what_one_visitor_left_behind_is_not_given_to_the_next() -> None:
    """A visitor who leaves just when the answer has come in: its connection is clean, its body nobody's."""

    async def play(tool: Tool, peer: Peer) -> None:
        for number in range(2):
            await tool.asked(peer)
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbody %d" % number)

    async with a_tool(play) as (tool, address):
        pool = Pool(address, ssl_context=None, timeout=5, connect_timeout=5, limit=1, idle=5)
        first = await pool.connect()
        await first.ask(b"GET /0 HTTP/1.1\r\n\r\n")
        await until(lambda: first.complete)
        pool.give_back(first)
        second = pool.at_rest()
        assert second is first
        answer = second.ask(b"GET /1 HTTP/1.1\r\n\r\n")
        assert not answer.done()
        await answer
        assert second.take() == [b"body 1"]
        pool.close()
        await until(lambda: tool.open == 0)


async def test_nobody_listening_is_502(unused_tcp_port: int) -> None:
    async with a_door(Address("127.0.0.1", unused_tcp_port)) as door:
        for _ in range(3):
            assert (await door.ask(GET)).startswith(b"HTTP/1.1 502 ")
        assert {type(error) for error in door.errors} == {UpstreamUnreachable}
        assert f"127.0.0.1:{unused_tcp_port}" in door.errors[0].cause
        assert door.upstream.open_connections == 0


async def test_a_name_that_does_not_exist_is_502() -> None:
    async with a_door(Address("no-such-host.invalid", 80)) as door:
        assert (await door.ask(GET)).startswith(b"HTTP/1.1 502 ")


async def test_no_first_byte_in_time_is_504() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.rest()

    async with a_stage(play, timeout=0.1) as (tool, door):
        assert (await door.ask(GET)).startswith(b"HTTP/1.1 504 ")
        assert [type(error) for error in door.errors] == [UpstreamTimeout]
        await until(lambda: tool.open == 0 and door.upstream.open_connections == 0)


async def test_a_body_that_stops_coming_is_cut() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(OK[:-1])
        await peer.rest()

    async with a_stage(play, timeout=0.1) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(GET)
        await visitor.head()
        assert await visitor.exactly(1) == b"h"
        with pytest.raises(ConnectionResetError):
            await visitor.rest()
        await until(lambda: tool.open == 0)
        await visitor.close()


async def test_a_body_that_keeps_coming_may_take_longer_than_the_timeout() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(OK[:-2].replace(b": 2", b": 8"))
        for _ in range(8):
            await asyncio.sleep(0.05)
            await peer.send(b"x")

    async with a_stage(play, timeout=0.2) as (_, door):
        assert (await door.ask(GET)).endswith(b"xxxxxxxx")


async def test_an_event_stream_may_be_silent_for_longer_than_the_timeout() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\ndata: 1\n\n")
        await asyncio.sleep(0.4)
        await peer.send(b"data: 2\n\n")

    async with a_stage(play, timeout=0.1) as (_, door):
        assert (await door.ask(GET)).endswith(b"data: 2\n\n\r\n0\r\n\r\n")


async def test_a_tool_behind_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "tool.sock")
    async with a_tool(saying(OK), unix=path) as (tool, address), a_door(address) as door:
        for _ in range(2):
            assert (await door.ask(GET)).endswith(b"hi")
        assert tool.connections == 1
    async with a_door(Address(unix=str(tmp_path / "none.sock"))) as door:
        assert (await door.ask(GET)).startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(("name", "trusted", "status"), [
    ("localhost", True, b"200"), ("other.example", True, b"502"), ("localhost", False, b"502"),
])  # fmt: skip
async def test_a_tool_behind_tls_shows_a_certificate_for_its_name(name: str, trusted: bool, status: bytes) -> None:
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(serving)
    trusting = ssl.create_default_context()
    if trusted:
        authority.configure_trust(trusting)
    async with a_tool(saying(OK), tls=serving) as (_, address), a_door(address, ssl_context=trusting) as door:
        for _ in range(2):
            assert (await door.ask(GET)).startswith(b"HTTP/1.1 " + status)


async def test_a_connection_that_is_never_made_is_504() -> None:
    """A TLS handshake that the other side does not answer."""

    async def play(tool: Tool, peer: Peer) -> None:
        await peer.rest()

    async with a_tool(play) as (_, address):
        deaf = Address(address.host, address.port, tls=True)
        async with a_door(deaf, connect_timeout=0.1) as door:
            assert (await door.ask(GET)).startswith(b"HTTP/1.1 504 ")
            assert [type(error) for error in door.errors] == [UpstreamTimeout]
            assert isinstance(door.errors[0], ProxyError)
