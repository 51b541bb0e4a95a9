"""How we close a tunnel ourselves: with a Close frame to whoever stands between two frames, and within seconds."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close

from oauth_proxy.endings import SESSION_OVER, STOPPING
from oauth_proxy.upstream import ends
from oauth_proxy.upstream.frames import MOST, close_frame
from oauth_proxy.upstream.pool import Address
from tests.support.tool import Door, Peer, Tool, a_door, a_stage, until
from tests.support.websocket import HANDSHAKE, SWITCH

OURS = close_frame(STOPPING, masked=False)
OURS_MASKED = len(OURS) + 4
ANSWER = b"\x88\x80mask"
"""What a visitor answers, masked and without a code."""


async def listen(tool: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in tool:
            await tool.send(message)


class Listener:
    """A tool of the `websockets` package that keeps the Close frames it gets."""

    def __init__(self) -> None:
        self.got: list[Close | None] = []

    async def serve(self, tool: ServerConnection) -> None:
        await listen(tool)
        self.got.append(tool.protocol.close_rcvd)


@pytest.fixture
def slow_to_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for the time to be up fails the test."""
    monkeypatch.setattr(ends, "FRAME_ENDS", 3600.0)
    monkeypatch.setattr(ends, "ANSWER", 3600.0)


@pytest.fixture
def quick_to_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "FRAME_ENDS", 0.1)
    monkeypatch.setattr(ends, "ANSWER", 0.1)


def stop(door: Door) -> None:
    door.upstream.close_tunnels(STOPPING)


def end_the_session(door: Door) -> None:
    for task in list(door.tasks):
        task.cancel(SESSION_OVER)


def stop_repeatedly(door: Door) -> None:
    for _ in range(3):
        stop(door)
        end_the_session(door)


async def gone(door: Door) -> None:
    await until(lambda: door.upstream.tunnels == 0 and not door.tasks)


@pytest.mark.usefixtures("slow_to_cut")
@pytest.mark.parametrize(
    ("end", "told"), [(stop, STOPPING), (end_the_session, SESSION_OVER), (stop_repeatedly, STOPPING)]
)
async def test_both_sides_of_quiet_tunnels_are_told_why_and_the_request_is_answered(
    end: Callable[[Door], None], told: tuple[int, str]
) -> None:
    tool = Listener()
    async with serve(tool.serve, "127.0.0.1", 0) as server:
        address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
        async with a_door(address) as door:
            visitors = [await connect(f"ws://127.0.0.1:{door.port}/ws", proxy=None) for _ in range(20)]
            for visitor in visitors:
                await visitor.send("a message in deflated frames" * 9)
                await visitor.recv()
            end(door)
            for visitor in visitors:
                with pytest.raises(ConnectionClosed):
                    await visitor.recv()
                assert visitor.protocol.close_rcvd == Close(*told)
            await gone(door)
            await until(lambda: len(tool.got) == 20)
            assert tool.got == [Close(*told)] * 20
            assert len(door.answers) == 20


@pytest.mark.usefixtures("slow_to_cut")
async def test_both_sides_are_told_through_tls(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    tool, (serving, trusting) = Listener(), tls
    async with serve(tool.serve, "127.0.0.1", 0, ssl=serving) as server:
        address = Address("localhost", server.sockets[0].getsockname()[1], tls=True)
        async with a_door(address, ssl_context=trusting, tls=serving) as door:
            async with connect(f"wss://localhost:{door.port}/ws", ssl=trusting, proxy=None) as visitor:
                await visitor.send("hello")
                await visitor.recv()
                stop(door)
                with pytest.raises(ConnectionClosed):
                    await visitor.recv()
                assert visitor.protocol.close_rcvd == Close(*STOPPING)
            await until(lambda: tool.got == [Close(*STOPPING)])
            await gone(door)


class Raw:
    """A tunnel between bare sockets: a visitor, and the tool's end of it."""

    def __init__(self, door: Door, visitor: Peer, tool: Peer) -> None:
        self.door = door
        self.visitor = visitor
        self.tool = tool


@asynccontextmanager
async def a_tunnel() -> AsyncIterator[Raw]:
    met: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(SWITCH)
        met.set_result(peer)
        await over.wait()

    async with a_stage(play) as (_, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE)
        await visitor.head()
        try:
            yield Raw(door, visitor, await met)
        finally:
            over.set()
            await visitor.close()


async def crossed(by: Peer, to: Peer, data: bytes) -> None:
    await by.send(data)
    assert await to.exactly(len(data)) == data


@pytest.mark.usefixtures("slow_to_cut")
@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 303])
async def test_the_tools_frame_comes_to_its_end_then_ours_follows_and_nothing_else(cut: int) -> None:
    frame = b"\x82\x7e" + (300).to_bytes(2, "big") + b"\x88" * 300
    async with a_tunnel() as raw:
        await crossed(raw.tool, raw.visitor, b"\x82\x01a" + frame[:cut])
        stop(raw.door)
        assert len(await raw.tool.exactly(OURS_MASKED)) == OURS_MASKED
        await raw.tool.send(frame[cut:] + b"\x82\x01b\x82\x05half")
        assert await raw.visitor.exactly(304 - cut) == frame[cut:]
        assert await raw.visitor.exactly(len(OURS)) == OURS
        await raw.visitor.send(ANSWER)
        assert await raw.visitor.ends()
        await raw.tool.send(b"!\x88\x00")
        assert await raw.tool.ends()
        await gone(raw.door)


@pytest.mark.usefixtures("slow_to_cut")
async def test_a_long_frame_under_way_goes_on_with_back_pressure_and_ours_comes_right_after_it() -> None:
    size = 40 * 1_048_576
    async with a_tunnel() as raw:
        sending = asyncio.create_task(raw.tool.send(b"\x82\x7f" + size.to_bytes(8, "big") + bytes(size)))
        await raw.visitor.exactly(10)
        stop(raw.door)
        for _ in range(40):
            assert not any(await raw.visitor.exactly(size // 40))
        assert await raw.visitor.exactly(len(OURS)) == OURS
        await sending
        await raw.visitor.send(ANSWER)
        assert await raw.visitor.ends()


@pytest.mark.usefixtures("slow_to_cut")
async def test_a_message_of_several_frames_may_be_open() -> None:
    async with a_tunnel() as raw:
        await crossed(raw.tool, raw.visitor, b"\x01\x05begin")
        await crossed(raw.visitor, raw.tool, b"\x01\x85mask" + b"begin")
        stop(raw.door)
        assert await raw.visitor.exactly(len(OURS)) == OURS
        await raw.visitor.send(b"\x80\x83mask" + b"end" + ANSWER)
        assert await raw.visitor.ends()
        assert len(await raw.tool.exactly(OURS_MASKED)) == OURS_MASKED
        await raw.tool.send(b"\x88\x00")
        assert await raw.tool.ends()


@pytest.mark.usefixtures("quick_to_cut")
async def test_a_frame_of_the_tools_that_does_not_end_is_cut_and_no_frame_of_ours_is_in_it() -> None:
    async with a_tunnel() as raw:
        await crossed(raw.tool, raw.visitor, b"\x82\x05half")
        stop(raw.door)
        assert await raw.visitor.ends()
        await gone(raw.door)


@pytest.mark.usefixtures("slow_to_cut")
async def test_from_a_visitor_in_the_middle_of_a_frame_no_more_is_passed_on_and_the_tool_is_cut() -> None:
    async with a_tunnel() as raw:
        await crossed(raw.visitor, raw.tool, b"\x82\x85maskhal")
        end_the_session(raw.door)
        assert await raw.visitor.exactly(2) == b"\x88\x0f"
        await raw.visitor.send(b"f!" + b"\x82\x81maska" + ANSWER)
        assert await raw.tool.ends()
        await gone(raw.door)


@pytest.mark.usefixtures("slow_to_cut")
async def test_nothing_that_a_visitor_sends_after_the_end_reaches_the_tool() -> None:
    async with a_tunnel() as raw:
        stop(raw.door)
        await raw.visitor.send(b"\x82\x81maska" * 1000)
        assert (await raw.tool.exactly(OURS_MASKED))[0] == OURS[0]
        await raw.tool.send(b"\x88\x00")
        assert await raw.tool.ends()
        await raw.visitor.send(ANSWER)
        await gone(raw.door)


@pytest.mark.usefixtures("slow_to_cut")
async def test_where_the_tool_closes_already_the_visitor_gets_no_second_close() -> None:
    async with a_tunnel() as raw:
        await crossed(raw.tool, raw.visitor, b"\x88\x02\x03\xe8")
        stop(raw.door)
        assert len(await raw.tool.exactly(OURS_MASKED)) == OURS_MASKED
        assert await raw.tool.ends()
        await raw.visitor.send(ANSWER)
        assert await raw.visitor.ends()
        await gone(raw.door)


@pytest.mark.usefixtures("slow_to_cut")
async def test_where_the_visitor_closes_already_the_tool_gets_no_second_close() -> None:
    async with a_tunnel() as raw:
        await crossed(raw.visitor, raw.tool, ANSWER)
        stop(raw.door)
        assert await raw.visitor.rest() == OURS
        await raw.tool.send(b"\x88\x00")
        assert await raw.tool.ends()
        await gone(raw.door)


@pytest.mark.usefixtures("quick_to_cut")
async def test_a_visitor_who_does_not_answer_is_cut_and_so_is_a_tool() -> None:
    async with a_tunnel() as raw:
        stop(raw.door)
        assert await raw.visitor.exactly(len(OURS)) == OURS
        await raw.visitor.send(b"\x82\x81maska")
        assert await raw.visitor.ends()
        await gone(raw.door)
        assert len(await raw.tool.rest()) == OURS_MASKED


@pytest.mark.usefixtures("slow_to_cut")
async def test_a_tool_that_hangs_up_leaves_the_visitor_time_to_answer() -> None:
    async with a_tunnel() as raw:
        stop(raw.door)
        raw.tool.hang_up()
        await until(lambda: raw.door.upstream.tunnels == 0)
        assert await raw.visitor.exactly(len(OURS)) == OURS
        assert raw.door.tasks
        await raw.visitor.send(ANSWER)
        assert await raw.visitor.ends()
        await gone(raw.door)


@pytest.mark.usefixtures("slow_to_cut")
@pytest.mark.parametrize("leaver", ["visitor", "tool"])
async def test_who_leaves_in_the_middle_of_the_tools_last_frame_ends_the_tunnel(leaver: str) -> None:
    async with a_tunnel() as raw:
        await crossed(raw.tool, raw.visitor, b"\x82\x05half")
        stop(raw.door)
        (raw.visitor if leaver == "visitor" else raw.tool).hang_up()
        await until(lambda: not raw.door.tasks)
        if leaver == "tool":
            assert await raw.visitor.ends()
        else:
            await raw.tool.send(b"!\x88\x00")
            assert len(await raw.tool.rest()) == OURS_MASKED
        await gone(raw.door)


@pytest.mark.usefixtures("quick_to_cut")
@pytest.mark.parametrize("deaf", ["visitor", "tool"])
async def test_a_side_that_reads_nothing_is_cut_when_the_time_is_up(deaf: str) -> None:
    """Frames wait for it, in our buffers and the system's; the other side is paused."""
    mask = b"" if deaf == "visitor" else b"mask"
    frame = bytes((0x82, 0x7E | (0x80 if mask else 0))) + (60_000).to_bytes(2, "big") + mask + bytes(60_000)

    async def shout(peer: Peer) -> None:
        with suppress(ConnectionError):
            while True:
                peer.writer.write(frame)
                await peer.writer.drain()

    async with a_tunnel() as raw:
        speaker = raw.tool if deaf == "visitor" else raw.visitor
        shouting = asyncio.create_task(shout(speaker))
        await asyncio.sleep(0.3)
        assert raw.door.upstream.tunnels == 1
        stop(raw.door)
        await gone(raw.door)
        speaker.hang_up()
        await shouting


@pytest.mark.usefixtures("slow_to_cut")
async def test_a_visitor_whose_frames_the_tool_does_not_read_can_still_answer() -> None:
    frame = b"\x82\xfe" + (60_000).to_bytes(2, "big") + b"mask" + bytes(60_000)
    answered = asyncio.Event()

    async def shout(visitor: Peer) -> None:
        while not answered.is_set():
            await visitor.send(frame)
        await visitor.send(ANSWER)

    async with a_tunnel() as raw:
        shouting = asyncio.create_task(shout(raw.visitor))
        await asyncio.sleep(0.3)
        stop(raw.door)
        assert await raw.visitor.exactly(len(OURS)) == OURS
        answered.set()
        await shouting
        assert await raw.visitor.ends()
        raw.tool.hang_up()
        await gone(raw.door)


@pytest.mark.usefixtures("slow_to_cut")
async def test_a_half_closed_tunnel_and_one_that_is_cancelled_without_a_reason_are_cut() -> None:
    async with a_tunnel() as raw:
        raw.visitor.writer.write_eof()
        assert await raw.tool.ends()
        stop(raw.door)
        assert await raw.visitor.ends()
        await gone(raw.door)
    async with a_tunnel() as raw:
        for task in list(raw.door.tasks):
            task.cancel()
        assert await raw.visitor.ends()
        assert await raw.tool.ends()
        await gone(raw.door)


@pytest.mark.usefixtures("slow_to_cut")
async def test_what_is_opened_after_the_stop_is_closed_at_once() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        stop(door)
        await peer.send(SWITCH + b"\x82\x01a\x82")
        await asyncio.sleep(0.05)
        await peer.send(b"\x01b")
        await peer.rest()

    async with a_stage(play) as (_, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE + b"\x82\x81maska")
        await visitor.head()
        assert await visitor.exactly(6) == b"\x82\x01a\x82\x01b"
        assert await visitor.exactly(len(OURS)) == OURS
        await visitor.send(ANSWER)
        assert await visitor.ends()
        await visitor.close()


class JammedLine:
    """Nobody's turn comes until `move`."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def join(self, go_on: Callable[[], object]) -> None:
        self.waiting.append(go_on)

    def move(self) -> None:
        [go_on] = self.waiting
        self.waiting.clear()
        go_on()


async def test_many_small_frames_wait_for_a_turn_before_more_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    line = JammedLine()
    monkeypatch.setattr(ends, "line", lambda: line)
    many = b"\x82\x00" * (MOST * 2 + 1)
    async with a_tunnel() as raw:
        await crossed(raw.tool, raw.visitor, many)
        await raw.tool.send(b"\x82\x01a")
        more = asyncio.create_task(raw.visitor.exactly(3))
        for _ in range(2):
            await asyncio.sleep(0.05)
            assert not more.done()
            line.move()
        assert await more == b"\x82\x01a"
        assert not line.waiting


@pytest.mark.usefixtures("slow_to_cut")
async def test_a_flood_of_small_frames_is_followed_to_its_end() -> None:
    flood = b"\x82\x00" * 200_000
    async with a_tunnel() as raw:
        sending = asyncio.create_task(raw.tool.send(flood))
        assert await raw.visitor.exactly(len(flood)) == flood
        await sending
        stop(raw.door)
        assert await raw.visitor.exactly(len(OURS)) == OURS
        await raw.visitor.send(ANSWER)
        assert await raw.visitor.ends()
