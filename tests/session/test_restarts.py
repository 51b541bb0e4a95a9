"""A restart between a refresh and the next request: with a store nobody notices, without one some are lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from oauth_proxy.demo.faults import Fault
from tests.support.browser import Visitor
from tests.support.crowd import crowd, statuses
from tests.support.proxy import WANTED, Stage, on_stage, replica
from tests.support.redis import BINARY
from tests.support.sessions import bearer, new_cookie_line, refreshes, signed_in
from tests.support.units import HOUR

STORES = ["sqlite", pytest.param("redis", marks=pytest.mark.skipif(not BINARY.exists(), reason="no redis-server"))]


@dataclass
class Restarting:
    """A stage seen through one proxy at a time, each the successor of the one before."""

    first: Stage
    now: Stage
    stack: AsyncExitStack

    async def again(self) -> Stage:
        """Another process in the place of the present one."""
        await self.stack.aclose()
        self.now = await self.stack.enter_async_context(replica(self.first))
        return self.now


@pytest.fixture
async def restarting(store: str) -> AsyncIterator[Restarting]:
    session = {"store": store, "lifetime": "30d", "idle": "30d"}
    async with on_stage(session=session) as stage, AsyncExitStack() as stack:
        yield Restarting(stage, await stack.enter_async_context(replica(stage)), stack)


def spent_twice(stage: Stage) -> list[str]:
    """Refresh tokens that were sent more than once."""
    sent = [each.form.get("refresh_token", "") for each in stage.frameio.token_requests]
    return [token for token in set(sent) - {""} if sent.count(token) > 1]


def is_revoked(stage: Stage) -> bool:
    return stage.frameio.grants[-1].revoked


@pytest.mark.parametrize("store", STORES, indirect=True)
async def test_the_old_cookie_of_a_refreshed_session_is_good_after_a_restart(
    restarting: Restarting, visitor: Visitor
) -> None:
    old = await signed_in(restarting.first, visitor)
    for count in range(1, 4):
        restarting.first.clock.advance(HOUR - 30)
        served = bearer(await restarting.now.ask("/echo", old))
        await restarting.again()
        answers = await asyncio.gather(*(restarting.now.ask("/echo", old) for _ in range(10)))
        assert {bearer(answer) for answer in answers} == {served}
        assert all(answer.all("Set-Cookie") for answer in answers)
        restarting.first.clock.advance(31)
        assert refreshes(restarting.first) == count
    assert not spent_twice(restarting.first)
    assert not is_revoked(restarting.first)


@pytest.mark.parametrize("store", STORES, indirect=True)
async def test_who_hangs_up_during_a_refresh_just_before_a_restart_keeps_the_session(
    restarting: Restarting, visitor: Visitor
) -> None:
    stage, cookie = restarting.now, await signed_in(restarting.first, visitor)
    stage.frameio.faults.plan("token", Fault.HANG, 1)
    stage.clock.advance(HOUR)
    _, writer = await asyncio.open_connection("127.0.0.1", stage.listens_on)
    writer.write(f"GET /echo HTTP/1.1\r\nHost: localhost:{stage.port}\r\n{cookie}\r\n\r\n".encode())
    await stage.frameio.faults.hanging(1)
    writer.transport.abort()
    stopping = asyncio.create_task(restarting.again())
    await asyncio.sleep(0.05)
    stage.frameio.faults.release()
    assert bearer(await (await stopping).ask("/echo", cookie))
    assert refreshes(stage) == 1
    assert not is_revoked(stage)


@pytest.mark.parametrize("store", STORES, indirect=True)
async def test_who_signed_out_stays_out_after_restarts_and_others_stay_in(restarting: Restarting) -> None:
    people = await crowd(restarting.first, 6)
    for each in people[:3]:
        await restarting.now.ask("/oauth2/sign_out", each.cookie, WANTED)
    for _ in range(2):
        assert await statuses(await restarting.again(), people) == [401] * 3 + [200] * 3
        restarting.first.clock.advance(29 * 60)


@pytest.mark.parametrize("store", ["cookie"], indirect=True)
async def test_without_a_store_an_old_cookie_ends_its_session_at_frame_io_and_the_new_one_does_not(
    restarting: Restarting,
) -> None:
    late, other = await crowd(restarting.first, 2)
    restarting.first.clock.advance(HOUR)
    old = late.cookie
    assert await statuses(restarting.now, [late, other]) == [200, 200]
    stage = await restarting.again()
    assert await statuses(stage, [late, other]) == [200, 200]
    assert (await stage.ask("/echo", old)).status == 401, "only the process that is gone knew the new tokens"
    assert await statuses(stage, [other]) == [200]


@pytest.mark.parametrize("store", STORES, indirect=True)
async def test_a_visitor_of_two_proxies_with_one_store_is_refreshed_once_whoever_is_asked(store: str) -> None:
    session = {"store": store, "lifetime": "30d", "idle": "30d"}
    async with on_stage(session=session) as a, replica(a) as b:
        people = await crowd(a, 10)
        for count in range(1, 5):
            a.clock.advance(HOUR)
            asked = [stage.ask("/echo", each.cookie) for each in people for stage in (a, b)]
            answers = await asyncio.gather(*asked)
            for number, each in enumerate(people):
                one, other = answers[2 * number : 2 * number + 2]
                assert bearer(one) == bearer(other)
                each.cookie = new_cookie_line(one if count % 2 else other)
            assert refreshes(a) == 10 * count
        assert not spent_twice(a)
