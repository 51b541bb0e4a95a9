"""The machine's clock is set back or forward: nobody is lost, nobody is revived, and dates are right."""

import json
from pathlib import Path

import pytest

from oauth_proxy.demo.faults import Fault
from tests.support.browser import Visitor
from tests.support.crowd import crowd, statuses
from tests.support.proxy import A_MONTH, WANTED, Clock, Stage, on_stage, replica
from tests.support.sessions import bearer, new_cookie_line, refreshes, signed_in
from tests.support.units import HOUR

STEPS = [-HOUR, HOUR]


async def revoke(stage: Stage, user: str) -> None:
    assert await stage.proxy.watch.end_user(user) is None


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_of_the_clock_loses_nobody_and_revives_nobody(step: float) -> None:
    async with on_stage() as stage:
        people = await crowd(stage, 6)
        await stage.ask("/oauth2/sign_out", people[0].cookie, WANTED)
        await revoke(stage, people[1].person.id)
        stage.clock.wrong += step
        assert await statuses(stage, people) == [401] * 2 + [200] * 4
        await revoke(stage, people[2].person.email)
        await stage.ask("/oauth2/sign_out", people[3].cookie, WANTED)
        assert await statuses(stage, people) == [401] * 4 + [200] * 2
        for _ in range(3):
            stage.clock.advance(HOUR)
            assert await statuses(stage, people) == [401] * 4 + [200] * 2
        stage.clock.wrong -= step
        assert await statuses(stage, people) == [401] * 4 + [200] * 2
        assert refreshes(stage) == 2 * 3


@pytest.mark.parametrize("step", STEPS)
async def test_a_refresh_that_failed_before_a_step_is_repeated_as_soon_as_without_one(
    stage: Stage, visitor: Visitor, step: float
) -> None:
    cookie = await signed_in(stage, visitor)
    stage.frameio.faults.plan("token", Fault.SERVER_ERROR, 1)
    stage.clock.advance(HOUR)
    assert (await stage.ask("/echo", cookie)).status == 503
    stage.clock.wrong += step
    assert (await stage.ask("/echo", cookie)).status == 503
    stage.clock.advance(1)
    bearer(await stage.ask("/echo", cookie))
    assert refreshes(stage) == 2


@pytest.mark.parametrize("step", STEPS)
async def test_tokens_run_out_when_they_did_before_a_step(stage: Stage, visitor: Visitor, step: float) -> None:
    cookie = await signed_in(stage, visitor)
    stage.clock.wrong += step
    stage.clock.advance(HOUR - 61)
    bearer(await stage.ask("/echo", cookie))
    assert refreshes(stage) == 0
    stage.clock.advance(1)
    bearer(await stage.ask("/echo", cookie))
    assert refreshes(stage) == 1


@pytest.mark.parametrize("step", [0.0, *STEPS])
async def test_a_tool_and_userinfo_are_told_an_expiry_that_is_right_by_the_machines_clock(
    visitor: Visitor, step: float
) -> None:
    headers = {"Authorization": "Bearer {access_token}", "X-Expires": "{expires_at}"}
    async with on_stage(headers=headers) as stage:
        stage.clock.wrong = step
        cookie = await signed_in(stage, visitor)
        answer = await stage.ask("/echo", cookie)
        assert int(dict(json.loads(answer.body)["headers"])["X-Expires"]) == stage.clock.wall() + HOUR
        for wrong in (step, 0.0, 2 * step):
            stage.clock.wrong = wrong
            told = json.loads((await stage.ask("/oauth2/userinfo", cookie)).body)["expires_at"]
            assert told == stage.clock.wall() + HOUR


@pytest.mark.parametrize("step", STEPS)
async def test_after_a_step_and_a_restart_a_store_loses_nobody_and_revives_nobody(
    tmp_path: Path, step: float
) -> None:
    session = {**A_MONTH, "store": f"sqlite:{tmp_path}/sessions.db"}
    async with on_stage(session=session) as stage:
        people = await crowd(stage, 4)
        await stage.ask("/oauth2/sign_out", people[0].cookie, WANTED)
        await stage.proxy.look()
        stage.clock.wrong += step
        async with replica(stage) as restarted:
            assert await statuses(restarted, people) == [401] + [200] * 3
            await revoke(restarted, people[1].person.id)
            await stage.proxy.look()
            for each in (stage, restarted):
                assert await statuses(each, people) == [401] * 2 + [200] * 2
            stage.clock.advance(HOUR - 30)
            for each in (restarted, stage, restarted):
                assert await statuses(each, people) == [401] * 2 + [200] * 2
        assert sum(grant.revoked for grant in stage.frameio.grants) == 1, "who signed out"


async def test_a_session_sealed_an_hour_ahead_is_a_strangers_without_a_store_and_good_with_one(
    tmp_path: Path, visitor: Visitor
) -> None:
    for store, expected in (("cookie", 401), (f"sqlite:{tmp_path}/sessions.db", 200)):
        clock = Clock()
        clock.wrong = HOUR
        async with on_stage(session={"store": store}, clock=clock) as ahead:
            async with Visitor() as somebody:
                cookie = await signed_in(ahead, somebody)
            await ahead.proxy.look()
            clock.wrong = 0.0
            async with replica(ahead) as right:
                for _ in range(2):  # the second one finds the cookie opened
                    assert (await right.ask("/echo", cookie)).status == expected, store
            assert (await ahead.ask("/echo", cookie)).status == 200


async def test_a_step_changes_nothing_of_idle_and_lifetime(visitor: Visitor) -> None:
    async with on_stage(session={"idle": "2h", "lifetime": "3h"}) as stage:
        cookie = await signed_in(stage, visitor)
        for step in STEPS:
            stage.clock.wrong += step
            stage.clock.advance(HOUR)
            answer = await stage.ask("/echo", cookie)
            assert answer.status == 200
            cookie = new_cookie_line(answer)
        stage.clock.wrong = -HOUR
        stage.clock.advance(HOUR)
        assert (await stage.ask("/echo", cookie)).status == 401
        async with Visitor() as second:
            idle = await signed_in(stage, second, "Reviewer")
        stage.clock.wrong = HOUR
        stage.clock.advance(2 * HOUR)
        assert (await stage.ask("/echo", idle)).status == 401
