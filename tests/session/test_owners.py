"""Failures have an owner: one visitor's trouble is nobody else's, and only Frame.io being away concerns all."""

import asyncio
from typing import Any, Literal

import pytest

from oauth_proxy.demo import faults
from oauth_proxy.demo.faults import RETRY_AFTER, Fault
from tests.support.browser import NAVIGATING, Visitor
from tests.support.crowd import crowd, statuses
from tests.support.login import complaints
from tests.support.proxy import A_MONTH, Stage, on_stage
from tests.support.sessions import bearer, refreshes, signed_in
from tests.support.units import HOUR

LONG: dict[str, Any] = {"session": A_MONTH}
ENDS = ["invalid_grant", "invalid_token", "access_denied", "ride_AdobeID_acct_actreq", "ride_AdobeID_acct_terms"]
PAUSES = ["temporarily_unavailable", "invalid_client", "invalid_request", "server_error", "x" * 4000, "ri\u202ede"]


def refusing(monkeypatch: pytest.MonkeyPatch, error: str, status: int = 400) -> Fault:
    """The fault by which the token endpoint answers with this error."""
    monkeypatch.setitem(faults.ERRORS, Fault.ACTION_REQUIRED, (status, error))
    return Fault.ACTION_REQUIRED


@pytest.mark.parametrize("error", ["ride_AdobeID_acct_actreq", "temporarily_unavailable"])
async def test_one_visitor_whose_refreshes_are_refused_leaves_480_of_480_requests_of_twenty_others_alone(
    monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    async with on_stage(**LONG) as stage:
        troubled, *others = await crowd(stage, 21)
        fault = refusing(monkeypatch, error)
        stage.frameio.faults.plan("token:refresh_token", fault, person=troubled.person)
        found, theirs = [], set()
        for _ in range(24):
            stage.clock.advance(HOUR)
            theirs.add((await troubled.ask(stage)).status)
            found += await statuses(stage, others)
        assert found == [200] * 480
        assert theirs == ({401} if error.startswith("ride_") else {502})
        assert refreshes(stage) == 480 + (1 if error.startswith("ride_") else 24)


@pytest.mark.parametrize("api", ["v2", "v4"])
async def test_one_visitor_who_is_over_the_limit_of_the_api_leaves_480_of_480_requests_of_others_alone(
    api: Literal["v2", "v4"],
) -> None:
    async with on_stage(api=api, frameio={"calls_per_minute": 3}, **LONG) as stage:
        busy, *others = await crowd(stage, 21)
        found, theirs = [], []
        for _ in range(24):
            stage.clock.advance(HOUR)
            stage.frameio.faults.plan("me", Fault.TOO_MANY_REQUESTS, 1, person=busy.person)
            theirs.append((await busy.ask(stage)).status)
            found += await statuses(stage, others)
        assert found == [200] * 480
        assert theirs == [200] * 24, "their own tokens are new, and who they are is known from before"
        assert refreshes(stage) == 21 * 24


async def test_the_limit_that_somebody_uses_up_by_themselves_stops_nobody_else(visitor: Visitor) -> None:
    async with on_stage(frameio={"calls_per_minute": 5}, access={"bearer": "true"}, **LONG) as stage:
        busy, *others = await crowd(stage, 5)
        for _ in range(12):
            stage.clock.advance(HOUR)
            token = bearer(await busy.ask(stage))
            last = 0
            for _ in range(10):
                async with visitor.session.get(
                    f"{stage.frameio_url}/v2/me", headers={"Authorization": token}
                ) as me:
                    last = me.status
            assert last == 429
            assert (await stage.ask("/echo", f"Authorization: {token}")).status == 503, "their program, too"
            assert (await busy.ask(stage)).status == 200
            assert await statuses(stage, others) == [200] * 4


async def test_a_429_of_ones_own_is_honoured_and_the_profile_asked_again_after_it(
    stage: Stage, visitor: Visitor
) -> None:
    cookie = await signed_in(stage, visitor)
    stage.frameio.faults.plan("me", Fault.TOO_MANY_REQUESTS, 1)
    stage.clock.advance(HOUR)
    bearer(await stage.ask("/echo", cookie))
    asked = stage.frameio.calls["me"]
    stage.clock.advance(RETRY_AFTER - 1)
    bearer(await stage.ask("/echo", cookie))
    await stage.proxy.look()
    assert stage.frameio.calls["me"] == asked
    stage.clock.advance(1)
    bearer(await stage.ask("/echo", cookie))
    assert stage.frameio.calls["me"] == asked + 1


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.DISCONNECT])
async def test_frame_io_away_for_three_is_asked_by_one_probe_at_a_time_and_the_first_success_serves_all(
    fault: Fault,
) -> None:
    async with on_stage(**LONG) as stage:
        people = await crowd(stage, 20)
        stage.clock.advance(HOUR)
        stage.frameio.faults.plan("token:refresh_token", fault)
        for each in people[:3]:
            assert (await each.ask(stage)).status == 503
        assert set(await statuses(stage, people)) == {503}
        assert refreshes(stage) == 3
        for probes, wait in enumerate([1, 2, 4, 8], start=1):
            stage.clock.advance(wait - 0.1)
            assert set(await statuses(stage, people)) == {503}
            stage.clock.advance(0.1)
            for _ in range(3):
                assert set(await statuses(stage, people)) == {503}
            assert refreshes(stage) == 3 + probes
        stage.frameio.faults.clear()
        stage.clock.advance(16)
        assert 200 in await statuses(stage, people), "one of them is the probe"
        assert await statuses(stage, people) == [200] * 20
        assert refreshes(stage) == 3 + 4 + 20


async def test_two_visitors_whose_refreshes_fail_open_nothing_however_often(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with on_stage(**LONG) as stage:
        people = await crowd(stage, 4)
        for each in people[:2]:
            stage.frameio.faults.plan("token:refresh_token", Fault.SERVER_ERROR, person=each.person)
        stage.clock.advance(HOUR)
        for _ in range(20):
            stage.clock.advance(31)
            assert await statuses(stage, people[:2]) == [503, 503]
        assert await statuses(stage, people[2:]) == [200, 200]
        assert "a fault of ours" not in caplog.text


@pytest.mark.parametrize("error", ENDS)
async def test_what_only_the_visitor_can_mend_ends_their_session_and_leads_them_to_the_login(
    stage: Stage, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    cookie = await signed_in(stage, visitor)
    stage.frameio.faults.plan("token:refresh_token", refusing(monkeypatch, error))
    stage.clock.advance(HOUR - 30)
    answers = await asyncio.gather(stage.ask("/echo?a=1", cookie, *NAVIGATING), stage.ask("/echo", cookie))
    navigated, fetched = answers
    assert navigated.status == 302
    assert (navigated.get("Location") or "").startswith(f"{stage.url}/oauth2/start?rd=")
    assert fetched.status == 401
    for answer in answers:
        assert "Max-Age=0" in (answer.get("Set-Cookie") or "")
    assert (await stage.ask("/echo", cookie)).status == 401
    assert refreshes(stage) == 1
    stage.frameio.faults.clear()
    assert (await visitor.login(f"{stage.url}/echo")).status == 200


@pytest.mark.parametrize("status", [400, 401, 403, 422])
@pytest.mark.parametrize("error", PAUSES)
async def test_what_says_nothing_of_the_grant_pauses_one_session_and_is_quoted_in_the_log(
    stage: Stage, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    error: str, status: int,
) -> None:  # fmt: skip
    cookie = await signed_in(stage, visitor)
    async with Visitor() as second:
        other = await signed_in(stage, second, "Reviewer")
    stage.frameio.faults.plan("token:refresh_token", refusing(monkeypatch, error, status), 2)
    stage.clock.advance(HOUR - 30)
    bearer(await stage.ask("/echo", cookie))
    stage.clock.advance(30)
    for _ in range(3):
        paused = await stage.ask("/echo", cookie)
        assert paused.status in (502, 503)
        assert int(paused.get("Retry-After") or 0) > 0
    assert refreshes(stage) == 2
    bearer(await stage.ask("/echo", other))
    [line, *_] = [line for line in complaints(caplog) if "tokens not refreshed" in line]
    assert f"answered {status}: " in line
    assert error.partition("\u202e")[0][:200] in line
    assert "\u202e" not in line
    stage.clock.advance(60)
    bearer(await stage.ask("/echo", cookie))
