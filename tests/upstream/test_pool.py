"""Which connection a request gets: reuse, expiry, limits and the queue."""

import asyncio
from math import inf

import pytest

from oauth_proxy.errors import HungUp
from oauth_proxy.upstream.pool import Address, Pool
from tests.support.messages import GET, OK, POST
from tests.support.tool import Peer, Play, Tool, a_stage, a_tool, saying, until
from tests.support.units import PATIENCE


def a_pool(address: Address, *, limit: int = 1) -> Pool:
    """Connections to a tool, which are kept for four seconds where it does not say otherwise."""
    return Pool(address, ssl_context=None, timeout=5, connect_timeout=5, limit=limit, most_tunnels=1, idle=4)


def waiting(go: asyncio.Event) -> Play:
    """A tool that answers whoever asks once `go` is set."""

    async def play(tool: Tool, peer: Peer) -> None:
        while True:
            await tool.asked(peer)
            await go.wait()
            await peer.send(OK)

    return play


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


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ([b"timeout=75"], 74),
        ([b"timeout=75, max=100"], 74),
        ([b"max=100 ,  Timeout = 9"], 8),
        ([b'timeout="9"'], 8),
        ([b"timeout=2"], 1),
        ([b"timeout=0000000000000000000007"], 6),
        ([b"timeout=300"], 299),
        ([b"timeout=3600"], 300),
        ([b"timeout=" + b"9" * 20_000], 300),
        ([b"timeout=60", b"timeout=10"], 9),
        ([b"timeout=10", b"timeout=60"], 9),
        ([b"timeout=60, timeout=10"], 9),
        ([b"timeout=60", b"max=3"], 59),
        ([b"timeout=60", b"nonsense"], 59),
        ([b"max=100"], 4),
        ([b"timeout"], 4),
        ([b"timeout="], 4),
        ([b"timeout=-1"], 4),
        ([b"timeout=9.5"], 4),
        ([b"timeout=9s"], 4),
        ([b"timeout=9 9"], 4),
        ([b"timeout=0x9"], 4),
        ([b"timeout=\xb2"], 4),
        ([b"xtimeout=9"], 4),
        ([b"timeout=" + b"0" * 20_000 + b"x"], 4),
        ([b""], 4),
        ([], 4),
    ],
)
async def test_an_idle_connection_is_kept_for_as_long_as_the_tool_says_less_a_second(
    lines: list[bytes], kept: float
) -> None:
    fields = b"".join(b"Keep-Alive: %b\r\n" % line for line in lines)
    async with a_stage(saying(OK.replace(b"Date", fields + b"Date"))) as (_, door):
        answer = await door.ask(GET)
        assert (answer[:12], answer[-2:], b"timeout" in answer) == (b"HTTP/1.1 200", b"hi", False)
    async with a_tool(saying(OK.replace(b"Date", fields + b"Date"))) as (tool, address):
        pool = a_pool(address)
        connection = await pool.connect()
        await connection.ask(GET)
        await until(lambda: connection.complete)
        pool.give_back(connection, "")
        left = round(connection.deadline - asyncio.get_running_loop().time(), 6)  # a difference of floats
        assert kept - 1 < left <= kept
        pool.close()
        await until(lambda: tool.open == 0)


@pytest.mark.parametrize("seconds", [b"0", b"000", b"1"])
async def test_a_connection_that_the_tool_does_not_keep_for_more_than_a_second_is_not_kept(seconds: bytes) -> None:
    answer = OK.replace(b"Date", b"Connection: keep-alive\r\nKeep-Alive: timeout=%b\r\nDate" % seconds)
    async with a_stage(saying(answer)) as (tool, door):
        for _ in range(2):
            assert (await door.ask(GET)).endswith(b"hi")
        assert tool.connections == 2
        await until(lambda: tool.open == 0)


async def test_a_connection_is_used_again_after_longer_than_the_default_where_the_tool_keeps_it() -> None:
    answers = iter([OK.replace(b"Date", b"Keep-Alive: timeout=60\r\nDate"), OK, OK])

    async def play(tool: Tool, peer: Peer) -> None:
        while True:
            await tool.asked(peer)
            await peer.send(next(answers))

    async with a_stage(play, idle=0.2) as (tool, door):
        await door.ask(GET)
        await asyncio.sleep(0.5)
        await door.ask(GET)  # to this one it does not say how long
        assert tool.connections == 1
        await until(lambda: tool.open == 0)
        await door.ask(GET)
        assert tool.connections == 2


async def test_a_tool_that_closes_directly_after_its_response_without_a_word_costs_no_post(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As uWSGI's http-socket. Between its response and its close, the next request could be on its way."""
    monkeypatch.setattr("oauth_proxy.upstream.pool.QUIET", 3600.0)

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(OK)
        await peer.reader.read(1)  # in the moment in which we would send the next one
        peer.hang_up()

    async with a_stage(play) as (tool, door):
        for _ in range(20):
            assert (await door.ask(POST + b"Connection: close\r\nContent-Length: 0\r\n\r\n")).endswith(b"hi")
        assert (tool.connections, door.errors) == (20, [])


async def test_a_tool_that_no_longer_keeps_its_connections_costs_one_post(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was seen to keep them, and then it hangs up on each second request."""
    monkeypatch.setattr("oauth_proxy.upstream.pool.TRIED_AGAIN", 3600.0)

    async def play(tool: Tool, peer: Peer) -> None:
        while True:
            await tool.asked(peer)
            await peer.send(OK)
            if len(tool.heads) > 1:
                await peer.reader.read(1)
                peer.hang_up()
                return

    async with a_stage(play) as (_, door):
        asked = POST + b"Connection: close\r\nContent-Length: 0\r\n\r\n"
        await door.ask(asked)
        await asyncio.sleep(0.2)  # more than QUIET
        for _ in range(20):
            await door.ask(asked)
        assert len(door.errors) == 1


async def test_posts_share_a_connection_once_the_tool_has_kept_one_for_a_moment() -> None:
    async with a_stage(saying(OK)) as (tool, door):
        asked = POST + b"Connection: close\r\nContent-Length: 0\r\n\r\n"
        await door.ask(asked)
        await asyncio.sleep(0.2)  # more than QUIET
        for _ in range(20):
            assert (await door.ask(asked)).endswith(b"hi")
        assert tool.connections == 1


async def test_connections_are_kept_for_half_of_what_the_tool_keeps_them() -> None:
    """As gunicorn's threads, which close after two seconds and do not say so."""
    ended_by_us: list[bool] = []

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(OK)
        if tool.connections == 1:
            await asyncio.sleep(0.5)
        else:
            ended_by_us.append(await peer.ends())

    async with a_stage(play, idle=3600) as (_, door):
        await door.ask(GET)
        await until(lambda: door.upstream.open_connections == 0)
        await door.ask(GET)
        assert door.upstream.idle_connections == 1
        await until(lambda: ended_by_us == [True])


def hanging_up_on_old(tool_keeps: float) -> Play:
    """A tool that hangs up on a request at `/444`, and on one on a connection that was idle for longer."""

    async def play(tool: Tool, peer: Peer) -> None:
        now = asyncio.get_running_loop().time
        ready = inf
        while b"/444" not in await tool.asked(peer) and now() < ready + tool_keeps:
            await peer.send(OK)
            ready = now()

    return play


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_a_request_that_the_tool_hangs_up_on_costs_nobody_else_their_connections(method: bytes) -> None:
    async with a_stage(hanging_up_on_old(3600)) as (tool, door):
        await door.ask(GET)
        await asyncio.sleep(0.15)  # more than QUIET, and half of it is less
        asked = GET.replace(b"GET / ", b"%b /444 " % method).replace(b"Host", b"Content-Length: 0\r\nHost")
        assert (await door.ask(asked)).startswith(b"HTTP/1.1 502 ")
        await until(lambda: door.upstream.open_connections == 0)
        before = tool.connections
        for _ in range(5):
            assert (await door.ask(GET)).endswith(b"hi")
        assert tool.connections == before + 1


async def test_of_posts_on_connections_that_the_tool_closes_meanwhile_one_is_lost() -> None:
    async with a_stage(hanging_up_on_old(0.25)) as (tool, door):
        asked = POST + b"Connection: close\r\nContent-Length: 0\r\n\r\n"
        await door.ask(asked)
        for _ in range(4):
            await asyncio.sleep(0.3)
            await door.ask(asked)
        assert [type(error) for error in door.errors] == [HungUp]
        assert (tool.connections, door.upstream.open_connections) == (4, 1)  # the new take the places of the old


async def test_a_get_that_is_answered_on_a_new_connection_shows_that_the_tool_closes_old_ones() -> None:
    async with a_stage(hanging_up_on_old(0.25), idle=3600) as (tool, door):
        await door.ask(GET)
        await asyncio.sleep(0.3)
        assert (await door.ask(GET)).endswith(b"hi")
        assert (tool.connections, door.upstream.idle_connections) == (2, 1)
        await until(lambda: door.upstream.idle_connections == 0)  # an hour before its time


async def test_a_connection_is_not_used_when_its_time_is_over_but_nobody_has_closed_it_yet() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(OK)
        if tool.connections == 1:
            await asyncio.sleep(0.3)  # so the next ones are kept for 0.15 s
        else:
            await peer.ends()

    async with a_stage(play) as (tool, door):
        await door.ask(GET)
        await until(lambda: door.upstream.open_connections == 0)
        await door.ask(GET)
        await asyncio.sleep(0.2)
        await door.ask(GET)
        assert tool.connections == 3


async def test_a_tool_that_was_started_anew_gets_its_connections_kept_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("oauth_proxy.upstream.pool.TRIED_AGAIN", 0.0)

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(OK)
        if tool.connections > 1:
            await tool.asked(peer)
            await peer.send(OK)

    async with a_stage(play) as (tool, door):
        await door.ask(GET)
        await until(lambda: door.upstream.open_connections == 0)
        async with asyncio.timeout(PATIENCE):
            while not door.upstream.idle_connections:
                await door.ask(GET)
        connections = tool.connections
        await door.ask(GET)
        assert tool.connections == connections


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_a_connection_that_the_tool_closes_before_the_time_it_said_is_not_used(method: bytes) -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(OK.replace(b"Date", b"Keep-Alive: timeout=60\r\nDate"))
        await closing.wait()

    closing = asyncio.Event()
    async with a_stage(play) as (tool, door):
        await door.ask(GET)
        await asyncio.sleep(0.2)
        closing.set()
        while tool.open:  # noqa: ASYNC110 - no event is set when its socket is closed
            await asyncio.sleep(0)
        request = GET.replace(b"GET", method).replace(b"Host", b"Content-Length: 0\r\nHost")
        assert (await door.ask(request)).endswith(b"hi")
        assert (tool.connections, len(tool.heads), door.errors) == (2, 2, [])


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

    async with a_stage(waiting(go), limit=2) as (tool, door):
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

    async with a_stage(waiting(go), limit=2) as (tool, door):
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
        pool = a_pool(address)
        first = await pool.connect()
        await first.ask(b"GET /0 HTTP/1.1\r\n\r\n")
        await until(lambda: first.complete)
        pool.give_back(first, "")
        second = pool.at_rest("", is_repeatable=True)
        assert second is first
        answer = second.ask(b"GET /1 HTTP/1.1\r\n\r\n")
        assert not answer.done()
        await answer
        assert second.take() == [b"body 1"]
        pool.close()
        await until(lambda: tool.open == 0)


@pytest.mark.parametrize("promised", ["a connection", "a place"])
async def test_what_was_promised_to_a_request_that_went_away_goes_to_the_next(promised: str) -> None:
    """The promise is made in the same moment as the request goes: it has not seen it yet."""
    async with a_tool(saying(OK)) as (_, address):
        pool = a_pool(address, limit=2)
        busy = [await pool.connect() for _ in range(2)]
        for connection in busy:
            await connection.ask(GET)
        first, second = (asyncio.create_task(pool.connect()) for _ in range(2))
        await until(lambda: pool.waiting == 2)
        if promised == "a connection":
            pool.give_back(busy[0], "")
        else:
            busy[0].abort()
            await asyncio.sleep(0)  # in which the loop reports it lost
        assert pool.waiting == 1
        first.cancel()
        await asyncio.wait({first})
        assert first.cancelled()
        given = await second
        assert (given is busy[0]) == (promised == "a connection")
        pool.close()
        await until(lambda: pool.open == 0)


async def test_a_connection_that_dies_on_its_way_to_the_next_request_is_replaced() -> None:
    async with a_tool(saying(OK)) as (_, address):
        pool = a_pool(address)
        first = await pool.connect()
        await first.ask(GET)
        waiting = asyncio.create_task(pool.connect())
        await until(lambda: pool.waiting == 1)
        pool.give_back(first, "")
        first.abort()
        second = await waiting
        assert second is not first
        await until(lambda: pool.open == 1)
        pool.close()
        await until(lambda: pool.open == 0)
