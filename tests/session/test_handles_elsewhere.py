"""A handle at another process than that which gave it out: a replica, or the same proxy after a restart."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oauth_proxy.demo.people import EDITOR
from tests.session.test_handles import socket_of, status
from tests.support.browser import Visitor
from tests.support.proxy import Stage, replica
from tests.support.sessions import bearer, new_cookie_line, refreshes, signed_in
from tests.support.tool_api import handle_of, token, with_tool_api, works
from tests.support.units import DAY, HOUR
from tests.test_admin import end, told


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A proxy whose store is a file."""
    async with with_tool_api(session={"store": f"sqlite:{tmp_path}/sessions.db"}) as lasting:
        yield lasting


@pytest.fixture
async def cookie(stage: Stage, visitor: Visitor) -> str:
    return await signed_in(stage, visitor)


@pytest.fixture
async def handle(stage: Stage, cookie: str) -> str:
    return await handle_of(stage, cookie)


async def test_a_refreshed_sessions_handle_is_good_at_once_after_a_restart(stage: Stage, handle: str) -> None:
    stage.clock.advance(HOUR)
    newest = await token(stage, handle)
    async with replica(stage) as restarted:
        assert await token(restarted, handle) == newest
        assert refreshes(stage) == 1


async def test_after_a_restart_idle_goes_on_from_the_last_request_before_it(stage: Stage, handle: str) -> None:
    stage.clock.advance(DAY - HOUR)
    await token(stage, handle)
    async with replica(stage) as restarted:
        await token(restarted, handle)
        stage.clock.advance(HOUR)
        assert await status(restarted, handle) == 401


@pytest.mark.parametrize("refreshed", [True, False])
@pytest.mark.parametrize("how", ["signed out", "revoked"])
async def test_what_was_ended_before_a_restart_is_over_after_it(
    stage: Stage, visitor: Visitor, handle: str, refreshed: bool, how: str
) -> None:
    if refreshed:
        stage.clock.advance(HOUR)
        await token(stage, handle)
    if how == "signed out":
        await visitor.get(f"{stage.url}/oauth2/sign_out")
    else:
        await told(stage, end(stage, EDITOR.email))
    async with replica(stage) as restarted:
        assert await status(restarted, handle) == 401


async def test_two_replicas_that_are_asked_at_expiry_make_one_token_call(
    stage: Stage, cookie: str, handle: str
) -> None:
    async with replica(stage) as other:
        assert await handle_of(other, cookie)
        stage.clock.advance(HOUR)
        asks = [token(each, handle) for each in (stage, other) for _ in range(20)]
        [fresh] = set(await asyncio.gather(*asks))
        assert refreshes(stage) == 1
        assert await works(stage, fresh)
        assert bearer(await other.ask("/echo", cookie)) == f"Bearer {fresh}"


async def test_an_end_at_one_replica_is_heard_of_at_the_other(
    stage: Stage, visitor: Visitor, cookie: str, handle: str
) -> None:
    async with replica(stage) as other:
        await handle_of(other, cookie)
        await token(other, handle)
        await visitor.get(f"{stage.url}/oauth2/sign_out")
        await other.proxy.look()
        assert await status(other, handle) == 401


async def test_use_at_one_replica_is_use_at_the_other(stage: Stage, cookie: str, handle: str) -> None:
    async with replica(stage) as other:
        for _ in range(3):
            stage.clock.advance(DAY / 2)
            answer = await other.ask("/echo", cookie)
            cookie = new_cookie_line(answer)
            await other.proxy.sessions.close()
        assert await works(stage, await token(stage, handle))
        async with socket_of(other, cookie):
            for _ in range(4):
                stage.clock.advance(DAY / 2)
                await other.proxy.look()
                await other.proxy.sessions.close()
            assert await works(stage, await token(stage, handle))


async def test_no_refresh_token_is_used_again_however_long_a_socket_stays_open(
    tmp_path: Path, visitor: Visitor
) -> None:
    """The visitor's cookie is from the start, and only the tool has had the tokens refreshed since."""
    session = {"store": f"sqlite:{tmp_path}/sessions.db", "idle": "10m"}
    async with with_tool_api(session=session, access={"recheck": "5h"}) as stage:
        cookie = await signed_in(stage, visitor)
        handle = await handle_of(stage, cookie)
        async with socket_of(stage, cookie):
            stage.clock.advance(HOUR)
            await stage.proxy.look()
            newest = await token(stage, handle)
            for _ in range(30):
                stage.clock.advance(60)
                await stage.proxy.look()
                await stage.proxy.sessions.close()
        async with replica(stage) as restarted:
            assert await token(restarted, handle) == newest
            assert bearer(await restarted.ask("/echo", cookie)) == f"Bearer {newest}"
        assert refreshes(stage) == 1
        assert await works(stage, newest)
