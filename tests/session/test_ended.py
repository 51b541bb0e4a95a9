"""What ends a session, and what its end reaches."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import websockets
from aiohttp import ClientPayloadError

from oauth_proxy.demo.people import EDITOR
from oauth_proxy.identity import Identity, Session, Tokens
from oauth_proxy.session import Ended, Journal
from tests.cast import WANTED, Clock, Stage, on_stage
from tests.session.test_refresh import signed_in
from tests.visitor import Visitor

DAY = 86_400.0


def a_session(name: str, created: float) -> Session:
    return Session(name, Identity("U1", "A@b.example"), Tokens("t", created, created + 60), created, created)


async def test_an_end_is_remembered_as_long_as_the_session_could_have_lasted_and_no_longer() -> None:
    clock = Clock(1000.0)
    ended = Ended(100.0, clock)
    first, second = a_session("first", 1000.0), a_session("second", 1000.0)
    await ended.end(first)
    clock.advance(99)
    assert ended.has(first)
    assert not ended.has(second)
    clock.advance(2)
    await ended.end(second)
    assert len(ended._at) == 1


async def test_what_a_journal_holds_survives_a_restart_and_is_followed(tmp_path: Path) -> None:
    path, clock = tmp_path / "ended.jsonl", Clock(1000.0)
    mine, theirs = Ended(100.0, clock, Journal(path)), Ended(100.0, clock, Journal(path))
    await mine.end(a_session("one", 990.0))
    await theirs.follow()
    assert theirs.has(a_session("one", 990.0))
    assert not theirs.has(a_session("two", 990.0))
    Journal(path).end_user("a@B.example", 1000.0)
    await theirs.follow()
    assert len(theirs.known()) == 2
    assert theirs.has(a_session("two", 990.0))
    assert not theirs.has(a_session("three", 1001.0)), "a session begun after that is another matter"
    again = Ended(100.0, clock, Journal(path))
    await again.follow()
    assert again.has(a_session("one", 990.0))


@pytest.mark.parametrize(
    "damage", [b"nonsense\n", b"[1]\n", b"{}\n", b"\xff\n", b'["session x", "y"]\n', b'["half']
)
async def test_a_damaged_line_of_a_journal_costs_that_line_only(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "ended.jsonl"
    path.write_bytes(b'["session one", 1000]\n' + damage)
    ended = Ended(100.0, Clock(1000.0), Journal(path))
    await ended.follow()
    assert ended.has(a_session("one", 990.0))


async def test_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "ended.jsonl"
    path.write_bytes(b'["session one", ')
    ended = Ended(100.0, Clock(1000.0), Journal(path))
    await ended.follow()
    assert not ended.known()
    with path.open("ab") as file:
        file.write(b"1000]\n")
    await ended.follow()


async def test_a_journal_of_ends_that_are_long_past_is_read_and_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "ended.jsonl"
    path.write_bytes(b'["session one", 1000]\n["session two", 1001]\n')
    ended = Ended(100.0, Clock(5000.0), Journal(path))
    await ended.follow()
    assert not ended.known()


async def test_a_journal_that_cannot_be_read_is_complained_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await Ended(100.0, Clock(), Journal(tmp_path)).follow()
    assert "cannot be read" in caplog.text


async def test_a_journal_that_cannot_be_written_keeps_nobody_signed_in(
    visitor: Visitor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "folder" / "ended.jsonl"
    path.parent.mkdir()
    async with on_stage(session={"revocations": str(path)}) as stage:
        cookie = await signed_in(stage, visitor)
        path.parent.rmdir()
        assert (await stage.ask("/oauth2/sign_out", cookie, WANTED)).status == 200
        assert (await stage.ask("/echo", cookie)).status == 401
    assert "until the next restart" in caplog.text


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await true():  # noqa: ASYNC110 another process's file has no event to wait for
            await asyncio.sleep(0.05)


async def refused(stage: Stage, cookie: str) -> bool:
    return (await stage.ask("/oauth2/userinfo", cookie)).status == 401


async def closes(socket: websockets.ClientConnection) -> None:
    """Whatever still comes, it ends."""
    async with asyncio.timeout(10):
        async for _ in socket:
            pass


async def test_a_users_sessions_end_from_outside_and_stay_ended_after_a_restart(
    visitor: Visitor, tmp_path: Path
) -> None:
    path = tmp_path / "ended.jsonl"
    async with on_stage(session={"revocations": str(path)}) as stage:
        cookie = await signed_in(stage, visitor)
        async with Visitor() as other:
            theirs = await signed_in(stage, other, "Reviewer")
        Journal(path).end_user("Editor@studio.example.com", stage.clock.now)
        await until(lambda: refused(stage, cookie))
        assert (await stage.ask("/echo", theirs)).status == 200
        keys, clock = stage.keys, stage.clock
    async with on_stage(session={"revocations": str(path), "secret": keys}, clock=clock) as stage:
        await until(lambda: refused(stage, cookie))
        assert (await stage.ask("/oauth2/userinfo", theirs)).status == 200


@pytest.fixture
async def open_socket(stage: Stage, visitor: Visitor) -> AsyncIterator[websockets.ClientConnection]:
    cookie = await signed_in(stage, visitor)
    headers = {"Cookie": cookie.removeprefix("Cookie: ")}
    async with websockets.connect(f"ws://localhost:{stage.port}/clock", additional_headers=headers) as socket:
        await socket.recv()
        yield socket


async def test_a_websocket_ends_when_its_session_is_signed_out(
    stage: Stage, visitor: Visitor, open_socket: websockets.ClientConnection
) -> None:
    async with Visitor() as other:
        await signed_in(stage, other, "Reviewer")
        await other.get(f"{stage.url}/oauth2/sign_out")
    await open_socket.recv()
    await visitor.get(f"{stage.url}/oauth2/sign_out")
    with pytest.raises(websockets.ConnectionClosedError):
        await closes(open_socket)


async def test_a_websocket_ends_when_the_lifetime_does_and_not_before(
    stage: Stage, open_socket: websockets.ClientConnection
) -> None:
    stage.clock.advance(7 * DAY - 60)
    for _ in range(3):
        await open_socket.recv()
    stage.clock.advance(61)
    with pytest.raises(websockets.ConnectionClosedError):
        await closes(open_socket)


async def test_an_event_stream_ends_with_its_session(stage: Stage, visitor: Visitor) -> None:
    await signed_in(stage, visitor)
    async with visitor.session.get(f"{stage.url}/feed", headers={"Accept": "text/event-stream"}) as feed:
        await feed.content.readany()
        await visitor.get(f"{stage.url}/oauth2/sign_out")
        async with asyncio.timeout(10):
            with pytest.raises((ClientPayloadError, ConnectionError)):
                await feed.content.read()


async def test_an_ended_grant_reaches_open_streams(
    stage: Stage, visitor: Visitor, open_socket: websockets.ClientConnection
) -> None:
    stage.frameio.revoke_all(EDITOR)
    stage.clock.advance(3600)
    answer = await stage.ask("/echo", visitor.cookie_line(stage.url))
    assert json.loads(answer.body)["error"] == "sign_in_required"
    with pytest.raises(websockets.ConnectionClosedError):
        await closes(open_socket)
