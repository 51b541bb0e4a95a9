import asyncio
import json

import pytest

from oauth_proxy.demo.faults import Fault
from oauth_proxy.demo.people import EDITOR
from oauth_proxy.session import refresh
from oauth_proxy.upstream import routes
from tests.support.browser import NAVIGATING, Visitor
from tests.support.proxy import Stage, free_port, on_stage
from tests.support.sessions import bearer, new_cookie_line, refreshes, signed_in
from tests.support.units import HOUR

DOWN = [
    Fault.SERVER_ERROR,
    Fault.TOO_MANY_REQUESTS,
    Fault.DISCONNECT,
    Fault.HTML,
    Fault.NO_ACCESS_TOKEN,
    Fault.NOT_AN_OBJECT,
    Fault.OVERSIZED,
]


async def test_200_parallel_requests_with_an_expired_token_make_one_token_call_and_all_get_through(
    stage: Stage, visitor: Visitor
) -> None:
    cookie = await signed_in(stage, visitor)
    before = bearer(await stage.ask("/echo", cookie))
    stage.clock.advance(HOUR + 1)
    answers = await asyncio.gather(*(stage.ask(f"/echo?{n}", cookie) for n in range(200)))
    assert refreshes(stage) == 1
    assert {bearer(answer) for answer in answers} != {before}
    assert len({bearer(answer) for answer in answers}) == 1
    assert all(answer.all("Set-Cookie") for answer in answers)
    after = bearer(await stage.ask("/echo", new_cookie_line(answers[0])))
    assert after == bearer(answers[-1])
    assert refreshes(stage) == 1


async def test_a_token_is_refreshed_shortly_before_it_runs_out_and_not_earlier(
    stage: Stage, visitor: Visitor
) -> None:
    cookie = await signed_in(stage, visitor)
    stage.clock.advance(HOUR - 120)
    answer = await stage.ask("/echo", cookie)
    assert refreshes(stage) == 0
    stage.clock.advance(70)
    assert bearer(await stage.ask("/echo", cookie)) != bearer(answer)
    assert refreshes(stage) == 1


async def test_a_late_request_with_the_old_cookie_gets_the_successor_without_another_call(
    stage: Stage, visitor: Visitor
) -> None:
    old = await signed_in(stage, visitor)
    stage.clock.advance(HOUR)
    first = await stage.ask("/echo", old)
    for _ in range(3):
        stage.clock.advance(900)
        late = await stage.ask("/echo", old)
        assert bearer(late) == bearer(first)
        assert late.all("Set-Cookie")
    assert refreshes(stage) == 1


async def test_an_old_cookie_long_after_is_served_by_the_newest_refresh_token_never_by_its_own(
    stage: Stage, visitor: Visitor
) -> None:
    old = await signed_in(stage, visitor)
    for count in range(1, 6):
        stage.clock.advance(HOUR)
        bearer(await stage.ask("/echo", old))
        assert refreshes(stage) == count


async def test_an_answer_without_a_new_refresh_token_keeps_the_old_one(visitor: Visitor) -> None:
    async with on_stage(frameio={"rotate": False}) as stage:
        cookie = await signed_in(stage, visitor)
        for count in range(1, 4):
            stage.clock.advance(HOUR)
            answer = await stage.ask("/echo", cookie)
            bearer(answer)
            cookie = new_cookie_line(answer)
            assert refreshes(stage) == count


async def test_invalid_grant_ends_the_session_and_the_cookie(stage: Stage, visitor: Visitor) -> None:
    cookie = await signed_in(stage, visitor)
    stage.frameio.revoke_all(EDITOR)
    stage.clock.advance(HOUR)
    answer = await stage.ask("/echo", cookie, *NAVIGATING)
    assert answer.status == 302
    assert "/oauth2/start" in (answer.get("Location") or "")
    assert "Max-Age=0" in (answer.get("Set-Cookie") or "")
    assert (await stage.ask("/echo", cookie)).status == 401
    assert refreshes(stage) == 1, "what the provider has ended is not asked for again"


@pytest.mark.parametrize("fault", DOWN)
async def test_a_provider_that_fails_ends_nothing(stage: Stage, visitor: Visitor, fault: Fault) -> None:
    cookie = await signed_in(stage, visitor)
    stage.frameio.faults.plan("token", fault)
    stage.clock.advance(HOUR - 30)
    going_on = await stage.ask("/echo", cookie)
    assert bearer(going_on)
    stage.clock.advance(31)
    waiting = await stage.ask("/echo", cookie)
    assert waiting.status in (502, 503)
    assert int(waiting.get("Retry-After") or 0) > 0
    assert json.loads(waiting.body)["error"].startswith("provider_")
    page = await stage.ask("/echo", cookie, *NAVIGATING)
    assert page.status in (502, 503)
    assert b"<h1" in page.body
    assert not page.all("Set-Cookie")
    stage.frameio.faults.clear()
    stage.clock.advance(60)
    assert bearer(await stage.ask("/echo", cookie)) != bearer(going_on)


async def test_retries_back_off_and_are_shared(stage: Stage, visitor: Visitor) -> None:
    cookie = await signed_in(stage, visitor)
    stage.frameio.faults.plan("token", Fault.SERVER_ERROR)
    stage.clock.advance(HOUR)
    for _ in range(3):
        answers = await asyncio.gather(*(stage.ask("/echo", cookie) for _ in range(20)))
        assert {answer.status for answer in answers} == {503}
    assert refreshes(stage) == 1
    calls = []
    for _ in range(8):
        stage.clock.advance(16)
        await stage.ask("/echo", cookie)
        calls.append(refreshes(stage))
    assert calls[0] == 2
    assert calls[-1] < 9, "the pause grows"


async def test_the_proxy_serves_while_the_provider_hangs_as_long_as_the_token_lives(
    stage: Stage, visitor: Visitor
) -> None:
    cookie = await signed_in(stage, visitor)
    stage.frameio.faults.plan("token", Fault.HANG)
    stage.clock.advance(HOUR - 30)
    answer = await stage.ask("/echo", cookie)
    assert bearer(answer)
    stage.frameio.faults.release()


async def test_a_visitor_who_hangs_up_does_not_cancel_the_refresh_others_wait_for(
    stage: Stage, visitor: Visitor
) -> None:
    cookie = await signed_in(stage, visitor)
    stage.frameio.faults.plan("token", Fault.HANG, 1)
    stage.clock.advance(HOUR)
    _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(f"GET /echo HTTP/1.1\r\nHost: localhost:{stage.port}\r\n{cookie}\r\n\r\n".encode())
    await stage.frameio.faults.hanging(1)
    waiting = asyncio.create_task(stage.ask("/echo", cookie))
    writer.transport.abort()
    stage.frameio.faults.release()
    assert bearer(await waiting)
    assert refreshes(stage) == 1


async def test_a_grant_that_ended_is_not_asked_about_again_though_the_visitor_had_hung_up(
    stage: Stage, visitor: Visitor
) -> None:
    cookie = await signed_in(stage, visitor)
    stage.frameio.grants[-1].revoked = True
    stage.frameio.faults.plan("token", Fault.HANG, 1)
    stage.clock.advance(HOUR)
    _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(f"GET /echo HTTP/1.1\r\nHost: localhost:{stage.port}\r\n{cookie}\r\n\r\n".encode())
    await stage.frameio.faults.hanging(1)
    writer.transport.abort()
    assert (await stage.ask("/echo")).status == 401, "so the hang-up, which was sent before, has been noticed"
    stage.frameio.faults.release()
    assert (await stage.ask("/echo", cookie)).status == 401
    assert refreshes(stage) == 1


async def test_who_no_longer_fits_the_rules_is_out_after_the_next_refresh(visitor: Visitor) -> None:
    async with on_stage(access={"allow": [{"email": "*@studio.example.com"}]}) as stage:
        cookie = await signed_in(stage, visitor)
        stage.frameio.change_email(EDITOR, "editor@elsewhere.example.org")
        assert (await stage.ask("/echo", cookie)).status == 200
        stage.clock.advance(HOUR)
        assert (await stage.ask("/echo", cookie)).status == 403


async def test_a_profile_that_could_not_be_read_after_a_refresh_is_read_soon_after(visitor: Visitor) -> None:
    async with on_stage(access={"allow": [{"email": "*@studio.example.com"}]}) as stage:
        cookie = await signed_in(stage, visitor)
        stage.frameio.change_email(EDITOR, "editor@elsewhere.example.org")
        stage.frameio.faults.plan("me", Fault.SERVER_ERROR, 1)
        stage.clock.advance(HOUR - 30)
        first = await stage.ask("/echo", cookie)
        assert bearer(first)
        stage.clock.advance(2)
        assert (await stage.ask("/echo", cookie)).status == 403
        assert refreshes(stage) == 1


async def test_who_lost_the_account_is_out_after_the_next_refresh(stage: Stage, visitor: Visitor) -> None:
    cookie = await signed_in(stage, visitor)
    stage.frameio.remove_person(EDITOR)
    stage.clock.advance(HOUR)
    assert (await stage.ask("/echo", cookie)).status == 401


async def test_without_a_refresh_token_the_session_lasts_as_long_as_its_access_token(visitor: Visitor) -> None:
    async with on_stage(app={"scopes": ["account.read"]}) as stage:
        cookie = await signed_in(stage, visitor)
        stage.clock.advance(HOUR - 1)
        assert (await stage.ask("/echo", cookie)).status == 200
        stage.clock.advance(1)
        assert (await stage.ask("/echo", cookie)).status == 401
        assert refreshes(stage) == 0


async def test_tokens_of_minutes_are_refreshed_in_their_last_tenth(visitor: Visitor) -> None:
    async with on_stage(frameio={"access_lifetime": 100}) as stage:
        cookie = await signed_in(stage, visitor)
        stage.clock.advance(85)
        await stage.ask("/echo", cookie)
        assert refreshes(stage) == 0
        stage.clock.advance(6)
        await stage.ask("/echo", cookie)
        assert refreshes(stage) == 1


async def test_the_proxy_starts_and_serves_what_needs_no_login_while_the_provider_is_down() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    away = dict.fromkeys(("authorize_url", "token_url", "api_url", "revoke_url"), nowhere)
    async with on_stage(app=away, access={"public": ["GET /healthz"]}) as stage:
        assert (await stage.ask("/healthz")).status == 200
        assert (await stage.ask("/oauth2/sign_in", *NAVIGATING)).status == 200
        assert (await stage.ask("/echo", *NAVIGATING)).status == 302


async def test_who_may_no_longer_read_their_profile_is_out_after_the_next_refresh(
    stage: Stage, visitor: Visitor
) -> None:
    cookie = await signed_in(stage, visitor)
    stage.frameio.faults.plan("me", Fault.FORBIDDEN)
    stage.clock.advance(HOUR)
    assert (await stage.ask("/echo", cookie)).status == 401
    assert refreshes(stage) == 1


async def test_memory_of_successors_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "_REMEMBERED", 2)
    monkeypatch.setattr(routes, "_REMEMBERED_BYTES", 3500)
    async with on_stage() as stage:
        cookies = []
        for _ in range(4):
            async with Visitor() as somebody:
                cookies.append(await signed_in(stage, somebody))
        stage.clock.advance(HOUR)
        for cookie in cookies:
            bearer(await stage.ask("/echo", cookie))
        assert stage.proxy.refresher.sizes == {"newest": 2, "owed": 0, "tended": 0}
        assert 0 < stage.proxy.upstreams.remembered <= 2
