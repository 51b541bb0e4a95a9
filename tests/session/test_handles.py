"""How long a handle is good, and that its token comes of the same refreshes as the visitor's own requests'."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import websockets

from oauth_proxy.demo.faults import Fault
from oauth_proxy.demo.people import EDITOR, STUDIO_ACCOUNT
from oauth_proxy.session import handles
from oauth_proxy.settings import Member
from tests.session.test_ended import closes
from tests.support.browser import Visitor
from tests.support.proxy import STUDIO, Stage, replica
from tests.support.sessions import bearer, new_cookie_line, refreshes, signed_in
from tests.support.tool import until
from tests.support.tool_api import asked, handle_of, token, with_tool_api, works
from tests.support.units import DAY, HOUR
from tests.test_admin import end, told


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with with_tool_api() as plain:
        yield plain


@pytest.fixture
async def cookie(stage: Stage, visitor: Visitor) -> str:
    return await signed_in(stage, visitor)


@pytest.fixture
async def handle(stage: Stage, cookie: str) -> str:
    return await handle_of(stage, cookie)


@asynccontextmanager
async def socket_of(stage: Stage, cookie: str) -> AsyncIterator[websockets.ClientConnection]:
    """A WebSocket of the visitor's that is open."""
    headers = {"Cookie": cookie.removeprefix("Cookie: ")}
    url = f"ws://localhost:{stage.port}/clock"
    async with websockets.connect(url, additional_headers=headers, port=stage.listens_on) as socket:
        await socket.recv()
        yield socket


async def status(stage: Stage, handle: str) -> int:
    return (await asked(stage, handle)).status


async def test_200_asks_at_expiry_make_one_token_call_and_the_visitors_next_request_brings_the_successor(
    stage: Stage, cookie: str, handle: str
) -> None:
    before = await token(stage, handle)
    stage.clock.advance(HOUR + 1)
    given = set(await asyncio.gather(*(token(stage, handle) for _ in range(200))))
    assert refreshes(stage) == 1
    [fresh] = given
    assert fresh != before
    assert await works(stage, fresh)
    answer = await stage.ask("/echo", cookie)
    assert bearer(answer) == f"Bearer {fresh}"
    assert bearer(await stage.ask("/echo", new_cookie_line(answer))) == f"Bearer {fresh}"
    assert refreshes(stage) == 1


async def test_asks_of_tools_and_requests_of_the_visitor_wait_for_the_same_refresh(
    stage: Stage, cookie: str, handle: str
) -> None:
    stage.clock.advance(HOUR)
    tokens, answers = await asyncio.gather(
        asyncio.gather(*(token(stage, handle) for _ in range(20))),
        asyncio.gather(*(stage.ask("/echo", cookie) for _ in range(20))),
    )
    assert {f"Bearer {each}" for each in tokens} == {bearer(answer) for answer in answers}
    assert refreshes(stage) == 1


async def test_a_handle_is_good_for_whom_a_rule_fits_that_is_new_in_the_file(
    stage: Stage, handle: str, cookie: str
) -> None:
    for role, expected in (("admin", 200), ("owner", 401)):
        stage.clock.advance(1)
        rules = [Member("account", STUDIO_ACCOUNT, (role,))]
        access = stage.settings.access.model_copy(update={"allow": rules})
        stage.proxy.obey(stage.settings.model_copy(update={"access": access}))
        assert await status(stage, handle) == expected


async def test_a_tool_that_hangs_up_spends_no_refresh_token(stage: Stage, handle: str) -> None:
    stage.frameio.faults.plan("token", Fault.HANG, 1)
    stage.clock.advance(HOUR)
    asking = asyncio.create_task(asked(stage, handle))
    await stage.frameio.faults.hanging(1)
    asking.cancel()
    stage.frameio.faults.release()
    assert await works(stage, await token(stage, handle))
    assert refreshes(stage) == 1


async def test_a_session_that_outlives_its_tokens_has_a_living_one_whenever_its_tool_asks(
    visitor: Visitor,
) -> None:
    async with with_tool_api(session={"idle": "7d"}) as stage:
        handle = await handle_of(stage, await signed_in(stage, visitor))
        for count in range(1, 30):
            stage.clock.advance(HOUR)
            assert await works(stage, await token(stage, handle))
            assert refreshes(stage) == count


@pytest.mark.parametrize("how", ["signed out", "revoked", "lifetime", "grant ended", "demoted", "demoted unasked"])
async def test_a_handle_is_worth_nothing_once_its_session_is_over(visitor: Visitor, how: str) -> None:
    session = {"lifetime": "1h", "idle": "1h"} if how == "lifetime" else {}
    async with with_tool_api(session=session, access={**STUDIO, "recheck": "1m"}) as stage:
        handle = await handle_of(stage, await signed_in(stage, visitor))
        await token(stage, handle)
        match how:
            case "signed out":
                await visitor.get(f"{stage.url}/oauth2/sign_out")
            case "revoked":
                assert (await told(stage, end(stage, EDITOR.email)))["known"]
            case "lifetime":
                stage.clock.advance(HOUR)
            case "grant ended":
                stage.frameio.revoke_all(EDITOR)
                stage.clock.advance(HOUR)
            case "demoted":
                stage.frameio.change_email(EDITOR, "editor@elsewhere.example.org")
                stage.clock.advance(61)
                assert (await visitor.get(f"{stage.url}/echo")).status == 403
            case _:
                stage.frameio.change_email(EDITOR, "editor@elsewhere.example.org")
                stage.clock.advance(61)
        assert await status(stage, handle) == 401
        assert refreshes(stage) == (how == "grant ended")


async def test_who_signs_out_while_a_refresh_is_on_its_way_is_signed_out(
    stage: Stage, visitor: Visitor, handle: str
) -> None:
    stage.frameio.faults.plan("token", Fault.HANG, 1)
    stage.clock.advance(HOUR)
    asking = asyncio.create_task(asked(stage, handle))
    await stage.frameio.faults.hanging(1)
    leaving = asyncio.create_task(visitor.get(f"{stage.url}/oauth2/sign_out"))
    await until(lambda: stage.proxy.memory.sizes["ends"] > 0)
    stage.frameio.faults.release()
    assert (await asking).status == 401
    await leaving


async def test_a_handle_is_good_for_idle_after_the_last_request_and_asking_is_not_use(
    stage: Stage, cookie: str, handle: str
) -> None:
    for _ in range(23):
        stage.clock.advance(HOUR)
        await token(stage, handle)
    stage.clock.advance(HOUR - 1)
    await token(stage, handle)
    stage.clock.advance(1)
    assert await status(stage, handle) == 401
    assert (await stage.ask("/echo", cookie)).status == 401, "the cookie is no better"


async def test_a_handle_is_good_while_something_of_its_session_is_open_and_for_idle_after_that(
    stage: Stage, cookie: str, handle: str
) -> None:
    async with socket_of(stage, cookie):
        for _ in range(3):
            stage.clock.advance(DAY + 1)
            await stage.proxy.look()
            assert await works(stage, await token(stage, handle))
    await until(lambda: not list(stage.proxy.open_exchanges.sessions()))
    stage.clock.advance(DAY - 1)
    await token(stage, handle)
    stage.clock.advance(1)
    assert await status(stage, handle) == 401


async def test_a_grant_that_ends_when_a_tool_asks_ends_what_the_session_has_open(
    stage: Stage, cookie: str, handle: str
) -> None:
    async with socket_of(stage, cookie) as socket:
        stage.frameio.revoke_all(EDITOR)
        stage.clock.advance(HOUR)
        assert await status(stage, handle) == 401
        with pytest.raises(websockets.ConnectionClosedError):
            await closes(socket)


async def test_while_frameio_is_away_the_token_is_told_as_long_as_it_is_good_and_then_when_to_ask_again(
    stage: Stage, handle: str
) -> None:
    before = await token(stage, handle)
    stage.frameio.faults.plan("token", Fault.SERVER_ERROR)
    stage.clock.advance(HOUR - 30)
    assert await token(stage, handle) == before
    stage.clock.advance(30)
    answer = await asked(stage, handle)
    assert answer.status == 503
    assert int(answer.get("Retry-After") or 0) > 0
    assert json.loads(answer.body)["error"].startswith("provider_")
    stage.frameio.faults.clear()
    stage.clock.advance(60)
    assert await works(stage, await token(stage, handle))


async def test_after_a_restart_without_a_store_a_handle_waits_for_its_visitors_next_request(
    stage: Stage, cookie: str, handle: str
) -> None:
    stage.clock.advance(HOUR)
    async with replica(stage) as restarted:
        answer = await asked(restarted, handle)
        assert (answer.status, answer.get("Retry-After")) == (503, "5")
        new = await handle_of(restarted, cookie)
        for each in (handle, new):
            assert await works(stage, await token(restarted, each))
        assert refreshes(stage) == 1


async def test_a_handle_whose_visitor_does_not_come_back_after_a_restart_ends_after_idle(
    stage: Stage, handle: str
) -> None:
    async with replica(stage) as restarted:
        stage.clock.advance(DAY - 1)
        assert await status(restarted, handle) == 503
        stage.clock.advance(1)
        assert await status(restarted, handle) == 401


async def test_what_the_memory_of_handles_has_no_room_for_is_found_in_the_others(
    monkeypatch: pytest.MonkeyPatch, visitor: Visitor
) -> None:
    monkeypatch.setattr(handles, "_REMEMBERED", 1)
    async with with_tool_api() as stage:
        cookie = await signed_in(stage, visitor)
        handle = await handle_of(stage, cookie)
        stage.clock.advance(HOUR)
        await token(stage, handle)
        async with Visitor() as other:
            await handle_of(stage, await signed_in(stage, other, "Reviewer"))
        assert await works(stage, await token(stage, handle))
        assert await handle_of(stage, cookie) != handle, "the other one's is remembered in its place"
