"""Who somebody is, read after each refresh and on a clock of its own, and what happens when that fails."""

import asyncio
from pathlib import Path
from typing import Literal

import pytest

from oauth_proxy.demo.faults import Fault
from oauth_proxy.demo.people import EDITOR, STUDIO_ACCOUNT
from oauth_proxy.settings import Member
from tests.support.browser import Visitor
from tests.support.crowd import Alive, living_only
from tests.support.proxy import A_MONTH, STUDIO, WANTED, on_stage, replica
from tests.support.sessions import bearer, refreshes, settled, signed_in
from tests.support.units import DAY, HOUR

FAILURES = [Fault.SERVER_ERROR, Fault.TOO_MANY_REQUESTS, Fault.DISCONNECT, Fault.HTML, Fault.NOT_AN_OBJECT]


@pytest.mark.parametrize("fault", FAILURES)
@pytest.mark.parametrize("left", [30, 0])
async def test_five_of_five_who_wait_for_a_refresh_whose_profile_call_fails_reach_the_tool_with_a_living_token(
    visitor: Visitor, fault: Fault, left: int
) -> None:
    alive = Alive()
    async with on_stage(tool=living_only(alive), access=STUDIO) as stage:
        alive.stage = stage
        cookie = await signed_in(stage, visitor)
        stage.frameio.faults.plan("me", fault)
        stage.frameio.faults.delay("token", 0.05)
        stage.clock.advance(HOUR - left)
        answers = await asyncio.gather(*(stage.ask(f"/{n}", cookie) for n in range(5)))
        assert [answer.status for answer in answers] == [200] * 5
        assert all(answer.all("Set-Cookie") for answer in answers)
        assert refreshes(stage) == 1
        stage.frameio.faults.clear()
        stage.frameio.change_email(EDITOR, "editor@elsewhere.example.org")
        asked = stage.frameio.calls["me"]
        for _ in range(20):  # nobody asks for anything meanwhile
            stage.clock.advance(1)
            await stage.proxy.look()
            await stage.proxy.refresher.close()
        assert stage.frameio.calls["me"] == asked + 1, "by itself, and once it is known no more"
        assert (await stage.ask("/", cookie)).status == 403
        assert refreshes(stage) == 1


async def test_a_profile_that_never_comes_holds_up_nobody_for_longer_than_a_moment(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oauth_proxy.session.flights.PATIENCE", 0.05)
    async with on_stage(access=STUDIO) as stage:
        cookie = await signed_in(stage, visitor)
        stage.frameio.change_email(EDITOR, "editor@elsewhere.example.org")
        stage.frameio.faults.plan("me", Fault.HANG)
        stage.clock.advance(HOUR)
        for _ in range(3):
            bearer(await stage.ask("/echo", cookie))
        assert refreshes(stage) == 1
        stage.frameio.faults.clear()
        await stage.proxy.refresher.close()
        assert (await stage.ask("/echo", cookie)).status == 403


async def test_a_demotion_counts_after_an_hour_without_any_refresh(visitor: Visitor) -> None:
    async with on_stage(api="v4", frameio={"access_lifetime": DAY}, access=STUDIO) as stage:
        cookie = await signed_in(stage, visitor)
        stage.frameio.change_email(EDITOR, "editor@elsewhere.example.org")
        asked = stage.frameio.calls["me"]
        stage.clock.advance(HOUR - 1)
        bearer(await stage.ask("/echo", cookie))
        assert stage.frameio.calls["me"] == asked
        stage.clock.advance(1)
        answers = await asyncio.gather(*(stage.ask(f"/echo?{n}", cookie) for n in range(20)))
        assert {answer.status for answer in answers} == {403}
        assert stage.frameio.calls["me"] == asked + 1
        assert refreshes(stage) == 0


async def test_access_recheck_says_how_often_and_is_asked_with_the_present_token(visitor: Visitor) -> None:
    async with on_stage(api="v4", access={"recheck": "5m"}, session={"lifetime": "7d"}) as stage:
        cookie = await signed_in(stage, visitor)
        asked = stage.frameio.calls["me"]
        for count in range(1, 6):
            stage.clock.advance(300)
            bearer(await stage.ask("/echo", cookie))
            assert stage.frameio.calls["me"] == asked + count
        assert refreshes(stage) == 0


async def test_a_recheck_that_fails_leaves_who_they_were_and_is_repeated(visitor: Visitor) -> None:
    async with on_stage(api="v4", frameio={"access_lifetime": DAY}, access=STUDIO) as stage:
        cookie = await signed_in(stage, visitor)
        stage.frameio.change_email(EDITOR, "editor@elsewhere.example.org")
        stage.frameio.faults.plan("me", Fault.SERVER_ERROR, 1)
        stage.clock.advance(HOUR)
        bearer(await stage.ask("/echo", cookie))
        stage.clock.advance(1)
        assert (await stage.ask("/echo", cookie)).status == 403


async def test_a_profile_that_is_read_during_a_refresh_is_not_forgotten_when_that_lands(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oauth_proxy.session.flights.PATIENCE", 0.05)
    async with on_stage(access={**STUDIO, "recheck": "10m"}) as stage:
        cookie = await signed_in(stage, visitor)
        stage.clock.advance(HOUR - 30)
        stage.frameio.faults.plan("token", Fault.HANG, 1)
        stage.frameio.change_email(EDITOR, "new@studio.example.com")
        assert b"new@studio" in (await stage.ask("/echo", cookie)).body
        stage.frameio.faults.plan("me", Fault.SERVER_ERROR)
        stage.frameio.faults.release()
        await stage.proxy.refresher.close()
        assert b"new@studio" in (await stage.ask("/echo", cookie)).body
        assert refreshes(stage) == 1


async def test_a_recheck_that_finds_the_grant_dead_ends_the_session(visitor: Visitor) -> None:
    async with on_stage(api="v4", frameio={"access_lifetime": DAY}) as stage:
        cookie = await signed_in(stage, visitor)
        stage.frameio.revoke_all(EDITOR)
        bearer(await stage.ask("/echo", cookie))
        stage.clock.advance(HOUR)
        assert (await stage.ask("/echo", cookie)).status == 401
        assert refreshes(stage) == 1


async def test_a_recheck_that_finds_the_token_alone_dead_refreshes_it(visitor: Visitor) -> None:
    async with on_stage(api="v4", frameio={"access_lifetime": DAY}, session=A_MONTH) as stage:
        cookie = await signed_in(stage, visitor)
        first = bearer(await stage.ask("/echo", cookie))
        for grant in stage.frameio.grants:  # as after a night in which the machine was paused, and its clocks
            grant.access_expires = stage.clock.wall()
        stage.clock.advance(HOUR)
        assert bearer(await stage.ask("/echo", cookie)) != first
        assert refreshes(stage) == 1
        stage.clock.advance(HOUR)
        assert (await stage.ask("/echo", cookie)).status == 200
        assert refreshes(stage) == 1


@pytest.mark.parametrize("older", [False, True], ids=["the processes since", "the processes of before"])
@pytest.mark.parametrize("api", ["v2", "v4"])
async def test_a_rule_that_is_new_in_the_file_is_asked_about_before_it_refuses_anybody(
    visitor: Visitor, api: Literal["v2", "v4"], older: bool, tmp_path: Path
) -> None:
    store = {"store": f"sqlite:{tmp_path}/sessions.db"}
    rules = [Member("account", STUDIO_ACCOUNT, ("admin",) if api == "v2" else ("owner", "admin"))]
    async with on_stage(api=api, session=store, access=STUDIO) as stage, Visitor() as second:
        editor, reviewer = await signed_in(stage, visitor), await signed_in(stage, second, "Reviewer")
        async with replica(stage, access=stage.settings.access.model_copy(update={"allow": rules})) as anew:
            if older:
                assert (await stage.ask("/echo", editor)).status == 200, "so that its cookie is known"
                stage.proxy.obey(anew.settings)
                anew = stage
            stage.frameio.faults.plan("me", Fault.SERVER_ERROR, 1)
            assert (await anew.ask("/echo", editor)).status == 503
            anew.clock.advance(2)
            assert (await anew.ask("/echo", editor)).status == 200
            assert (await anew.ask("/echo", editor)).status == 200, "also with the cookie of before"
            assert (await anew.ask("/echo", reviewer)).status == 403
            asked = stage.frameio.calls["me"]
            assert (await anew.ask("/echo", editor)).status == 200
            assert stage.frameio.calls["me"] == asked
            await settled(anew)
        assert [grant.revoked for grant in stage.frameio.grants] == [False, api == "v2"]


async def test_who_signs_out_before_a_new_rule_was_asked_about_has_signed_out(visitor: Visitor) -> None:
    rules = [Member("account", STUDIO_ACCOUNT, ("admin",))]
    async with on_stage(access=STUDIO) as stage:
        cookie = await signed_in(stage, visitor)
        access = stage.settings.access.model_copy(update={"allow": rules})
        frameio = stage.settings.frameio.model_copy(update={"revoke_url": None})
        async with replica(stage, access=access, frameio=frameio) as anew:
            await anew.ask("/oauth2/sign_out", cookie, WANTED)
            await settled(anew)
            assert not stage.frameio.grants[-1].revoked
            assert (await anew.ask("/echo", cookie)).status == 401
