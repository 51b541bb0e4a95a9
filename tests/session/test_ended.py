"""What ends a session, and what its end reaches."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import websockets

from oauth_proxy.demo.people import EDITOR
from tests.support.browser import Visitor
from tests.support.proxy import Stage
from tests.support.sessions import signed_in
from tests.support.units import DAY, HOUR, PATIENCE


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await true():  # noqa: ASYNC110 another process's file has no event to wait for
            await asyncio.sleep(0.05)


async def refused(stage: Stage, cookie: str) -> bool:
    return (await stage.ask("/oauth2/userinfo", cookie)).status == 401


async def closes(socket: websockets.ClientConnection) -> None:
    """Whatever still comes, it ends."""
    async with asyncio.timeout(PATIENCE):
        async for _ in socket:
            pass


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
        async with asyncio.timeout(PATIENCE):
            assert (await feed.content.read()).endswith(b": session ended\n\n")


async def test_an_ended_grant_reaches_open_streams(
    stage: Stage, visitor: Visitor, open_socket: websockets.ClientConnection
) -> None:
    stage.frameio.revoke_all(EDITOR)
    stage.clock.advance(HOUR)
    answer = await stage.ask("/echo", visitor.cookie_line(stage.url))
    assert json.loads(answer.body)["error"] == "sign_in_required"
    with pytest.raises(websockets.ConnectionClosedError):
        await closes(open_socket)
