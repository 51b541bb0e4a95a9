"""What is counted of the requests for one tool, and what nobody counts twice."""

from collections.abc import Callable

import pytest

from oauth_proxy.endings import SESSION_OVER, STOPPING, Ending
from oauth_proxy.telemetry import Traffic
from oauth_proxy.upstream import relay
from oauth_proxy.upstream.pool import Address
from tests.support.messages import CHUNKED, GET, OK, OK_LINE
from tests.support.proxy import free_port
from tests.support.tool import Door, Peer, Play, Tool, a_door, a_stage, saying, until
from tests.support.websocket import HANDSHAKE, SWITCH

EVENTS = OK_LINE + b"Content-Type: text/event-stream\r\n\r\ndata: 1\n\n"


def ends(traffic: Traffic) -> dict[str, int]:
    """How requests ended early, where any did."""
    return {kind: number for kind, number in (traffic.errors | traffic.abandoned).items() if number}


def closed(traffic: Traffic) -> dict[str, float]:
    """How many streams of each kind have ended."""
    return {kind: durations.buckets()[0][-1][1] for kind, durations in traffic.streams.items()}


async def hang_up(tool: Tool, peer: Peer) -> None:
    await tool.asked(peer)


async def say_nothing(tool: Tool, peer: Peer) -> None:
    await tool.asked(peer)
    await peer.rest()


@pytest.mark.parametrize(
    ("play", "kind"),
    [
        (hang_up, "hung_up"),
        (say_nothing, "timeout"),
        (saying(b"nonsense\r\n\r\n"), "nonsense"),
        (saying(OK_LINE + b"Content-Length: 9\r\n\r\nhalf"), "cut_short"),
    ],
)
async def test_each_way_in_which_a_tool_fails_is_counted_once(play: Play, kind: str) -> None:
    async with a_stage(play, timeout=0.2) as (_, door):
        visitor = await door.visitor()
        await visitor.send(GET)
        await visitor.ends()
        assert ends(door.upstream.traffic) == {kind: 1}
        assert door.upstream.traffic.requests == ({200: 1} if kind == "cut_short" else {})
        await visitor.close()


async def test_a_tool_that_is_not_there_or_has_no_room_is_counted() -> None:
    async with a_door(Address("127.0.0.1", free_port())) as door:
        await door.ask(GET)
        assert ends(door.upstream.traffic) == {"unreachable": 1}
    async with a_stage(say_nothing, limit=1) as (tool, door):
        visitors = [await door.visitor() for _ in range(3)]
        for visitor in visitors:
            await visitor.send(GET)
        await until(lambda: ends(door.upstream.traffic) == {"busy": 1} and tool.open == 1)
        assert door.upstream.waiting == 1
        for visitor in visitors:
            await visitor.close()


async def test_answers_are_counted_by_status_with_the_time_until_they_began() -> None:
    async with a_stage(saying(OK)) as (_, door):
        for _ in range(3):
            await door.ask(GET)
        traffic = door.upstream.traffic
        buckets, seconds = traffic.starts.buckets()
        assert (traffic.requests, buckets[-1], ends(traffic)) == ({200: 3}, ("+Inf", 3), {})
        assert seconds > 0


def leave(visitor: Peer, door: Door) -> None:
    visitor.hang_up()


def cancel(ending: Ending) -> Callable[[Peer, Door], None]:
    def end(visitor: Peer, door: Door) -> None:
        for task in list(door.tasks):
            task.cancel(ending)

    return end


@pytest.mark.parametrize(
    ("end", "reason"),
    [(leave, "visitor_left"), (cancel(SESSION_OVER), "session_over"), (cancel(STOPPING), "stopping")],
)
@pytest.mark.parametrize("answer", [None, CHUNKED + b"4\r\nhalf\r\n"])
async def test_a_request_that_ends_early_by_us_or_its_visitor_is_no_error_of_the_tools(
    end: Callable[[Peer, Door], None], reason: str, answer: bytes | None
) -> None:
    async with a_stage(saying(answer) if answer else say_nothing) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(GET)
        if answer:
            await visitor.until(b"half")
        await until(lambda: bool(tool.heads))
        end(visitor, door)
        await until(lambda: bool(ends(door.upstream.traffic)))
        assert ends(door.upstream.traffic) == {reason: 1}
        await visitor.close()


async def test_a_visitor_who_takes_nothing_is_no_error_of_the_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "STALL", 0.1)
    async with a_stage(saying(OK_LINE + b"Content-Length: 99999999\r\n\r\n" + bytes(20_000_000))) as (_, door):
        visitor = await door.visitor()
        await visitor.send(GET)
        await until(lambda: bool(ends(door.upstream.traffic)))
        assert ends(door.upstream.traffic) == {"visitor_too_slow": 1}
        visitor.hang_up()


async def test_websockets_and_event_streams_have_lifetimes_also_where_the_visitor_just_leaves() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        head = await tool.asked(peer)
        await peer.send(SWITCH if b"Upgrade" in head else EVENTS)
        await peer.rest()

    async with a_stage(play) as (_, door):
        traffic = door.upstream.traffic
        feed, socket = await door.visitor(), await door.visitor()
        await feed.send(GET)
        await feed.until(b"data: 1\n\n")
        await socket.send(HANDSHAKE)
        await socket.head()
        assert closed(traffic) == {"websocket": 0, "events": 0}
        feed.hang_up()
        socket.hang_up()
        await until(lambda: closed(traffic) == {"websocket": 1, "events": 1})
        assert traffic.requests == {200: 1, 101: 1}
