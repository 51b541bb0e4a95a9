"""Programs with a token of their own, through the whole proxy: who gets in, and what Frame.io is asked for it."""

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets

from oauth_proxy import bearers
from oauth_proxy.bearers import Bearers
from oauth_proxy.demo.faults import Fault
from oauth_proxy.demo.people import EDITOR, GUEST
from oauth_proxy.requests import Request
from tests.support.browser import NAVIGATING, Visitor
from tests.support.login import complaints
from tests.support.proxy import RawAnswer, Stage, on_stage
from tests.support.tool import until

ON: dict[str, Any] = {"access": {"bearer": "true"}}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with on_stage(**ON) as stage:
        yield stage


@pytest.fixture
async def behind_a_proxy() -> AsyncIterator[Stage]:
    async with on_stage(**ON, trusted_proxies=["127.0.0.1"], auth_request_from=["127.0.0.1"]) as stage:
        yield stage


def bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


def wrong() -> str:
    return bearer(f"fio-u-{secrets.token_urlsafe(48)}")


def seen(answer: RawAnswer) -> dict[str, str]:
    """The headers that reached the tool."""
    assert answer.status == 200, answer.body
    return dict(json.loads(answer.body)["headers"])


def refused(answer: RawAnswer, status: int, error: str) -> bool:
    """Whether this is a program's refusal: JSON, whatever it accepts, and neither a cookie nor a redirect."""
    assert answer.status == status, answer.body
    assert answer.get("Content-Type") == "application/json; charset=utf-8"
    assert answer.get("X-OAuth-Proxy") == "answer"
    assert answer.get("Location") is None
    assert answer.all("Set-Cookie") == []
    assert "login_url" not in json.loads(answer.body)
    return bool(json.loads(answer.body)["error"] == error)


async def test_a_developer_token_reaches_the_tool_with_whose_it_is(stage: Stage) -> None:
    token = stage.frameio.developer_token(EDITOR)
    answer = await stage.ask("/echo", bearer(token), "X-Forwarded-User: forged")
    assert seen(answer)["Authorization"] == f"Bearer {token}"
    assert seen(answer)["X-Forwarded-User"] == EDITOR.id
    assert seen(answer)["X-Forwarded-Email"] == EDITOR.email
    assert answer.all("Set-Cookie") == []
    assert stage.frameio.calls == {"me": 1}


async def test_an_access_token_of_a_v4_login_gets_in_too(visitor: Visitor) -> None:
    async with on_stage(api="v4", **ON) as stage:
        login = await visitor.login(f"{stage.url}/echo")
        authorization = dict((await login.json())["headers"])["Authorization"]
        answer = await stage.ask("/echo", f"Authorization: {authorization}")
        assert seen(answer)["Authorization"] == authorization
        assert seen(answer)["X-Forwarded-Email"] == EDITOR.email


async def test_where_it_is_not_switched_on_a_token_is_struck_and_its_bearer_a_stranger() -> None:
    async with on_stage(access={"public": ["/echo/open"]}) as stage:
        line = bearer(stage.frameio.developer_token(EDITOR))
        answer = await stage.ask("/echo", line)
        assert (answer.status, json.loads(answer.body)["error"]) == (401, "sign_in_required")
        assert (await stage.ask("/echo", line, *NAVIGATING)).status == 302
        assert "Authorization" not in seen(await stage.ask("/echo/open", line))
        assert not stage.frameio.calls


async def test_a_session_s_cookie_decides_alone(stage: Stage, visitor: Visitor) -> None:
    await visitor.login(f"{stage.url}/echo")
    calls = stage.frameio.calls["me"]
    cookie, guest = visitor.cookie_line(stage.url), stage.frameio.developer_token(GUEST)
    for line in (bearer(guest), wrong(), "Authorization: Bearer", bearer(f"{guest}\r\n{bearer(guest)}")):
        headers = seen(await stage.ask("/echo", cookie, line))
        assert headers["X-Forwarded-Email"] == EDITOR.email
        assert guest not in headers["Authorization"]
    stranger = await stage.ask("/echo", "Cookie: oauth_proxy=1.garbled", bearer(guest))
    assert json.loads(stranger.body)["error"] == "sign_in_required"
    assert stage.frameio.calls["me"] == calls


async def test_a_public_path_asks_nobody_and_gets_no_token() -> None:
    async with on_stage(access={"bearer": "true", "public": ["/echo"]}) as stage:
        assert "Authorization" not in seen(await stage.ask("/echo", wrong()))
        assert not stage.frameio.calls


@pytest.mark.parametrize("lines", [[], NAVIGATING, ["Accept: text/html"]])
async def test_a_wrong_token_is_a_401_and_never_a_login(stage: Stage, lines: list[str]) -> None:
    answer = await stage.ask("/echo", wrong(), *lines)
    assert refused(answer, 401, "token_refused")
    assert answer.get("WWW-Authenticate") == 'Bearer realm="frameio-oauth-proxy", error="invalid_token"'
    assert not stage.tool_requests


async def test_a_token_that_may_not_read_its_profile_is_refused(stage: Stage) -> None:
    token = stage.frameio.developer_token(EDITOR)
    stage.frameio.grants[0].access_scope = ("asset.read",)
    assert refused(await stage.ask("/echo", bearer(token)), 401, "token_refused")


@pytest.mark.parametrize(
    "lines",
    [
        ["Authorization: Bearer"],
        ["Authorization: bearer "],
        ["Authorization: Bearer\tgood"],
        ["Authorization: Bearer good good"],
        ["Authorization: Bearer good, Bearer good"],
        ["Authorization: Bearer g%6fod"],
        ['Authorization: Bearer "good"'],
        ["Authorization: Bearer gööd"],
        ["Authorization: Bearer =good"],
        [bearer("g" * 8193)],
        ["Authorization: Bearer good", "Authorization: Bearer good"],
        ["Authorization: Basic Zzpn", "Authorization: Bearer good"],
        ["Authorization: Bearer good", "authorization: Basic Zzpn", "Accept: text/html"],
    ],
)
async def test_credentials_that_are_not_exactly_one_token_are_a_400(stage: Stage, lines: list[str]) -> None:
    answer = await stage.ask("/echo", *lines)
    assert refused(answer, 400, "token_malformed")
    assert answer.get("WWW-Authenticate") == 'Bearer realm="frameio-oauth-proxy", error="invalid_request"'
    assert not stage.frameio.calls
    assert not stage.tool_requests


@pytest.mark.parametrize("line", ["Authorization: Basic Zzpn", "Authorization: Bearers good", "X-A: Bearer good"])
async def test_other_credentials_are_a_stranger_s(stage: Stage, line: str) -> None:
    assert (await stage.ask("/echo", line, *NAVIGATING)).status == 302
    assert json.loads((await stage.ask("/echo", line)).body)["error"] == "sign_in_required"


@pytest.mark.parametrize("scheme", ["bearer ", "BEARER ", "Bearer   "])
async def test_the_scheme_is_read_in_any_case(stage: Stage, scheme: str) -> None:
    token = stage.frameio.developer_token(EDITOR)
    headers = seen(await stage.ask("/echo", f"Authorization: {scheme}{token}"))
    assert headers["Authorization"] == f"Bearer {token}"


async def test_who_is_not_allowed_is_a_403_in_json(visitor: Visitor) -> None:
    async with on_stage(access={"bearer": "true", "allow": [{"email": "*@studio.example.com"}]}) as stage:
        line = bearer(stage.frameio.developer_token(GUEST))
        for path in ("/echo", "/oauth2/auth"):
            assert refused(await stage.ask(path, line, *NAVIGATING), 403, "not_allowed")
        assert not stage.tool_requests


async def test_front_proxies_and_userinfo_are_told_as_for_a_session(behind_a_proxy: Stage) -> None:
    token = behind_a_proxy.frameio.developer_token(EDITOR)
    auth = await behind_a_proxy.ask("/oauth2/auth", bearer(token))
    assert (auth.status, auth.get("X-Auth-Request-User")) == (202, EDITOR.id)
    assert auth.get("X-Auth-Request-Access-Token") == token
    info = json.loads((await behind_a_proxy.ask("/oauth2/userinfo", bearer(token))).body)
    assert (info["email"], info["expires_at"]) == (EDITOR.email, behind_a_proxy.clock.now + 60)
    assert refused(await behind_a_proxy.ask("/oauth2/auth", wrong()), 401, "token_refused")


async def test_a_good_answer_is_believed_for_a_minute(stage: Stage) -> None:
    line = bearer(stage.frameio.developer_token(EDITOR))
    assert (await stage.ask("/echo", line)).status == 200
    stage.frameio.revoke_all(EDITOR)
    stage.clock.advance(59.9)
    assert (await stage.ask("/echo", line)).status == 200
    assert stage.frameio.calls["me"] == 1
    stage.clock.advance(0.1)
    assert refused(await stage.ask("/echo", line), 401, "token_refused")
    assert stage.frameio.calls["me"] == 2


async def test_the_tool_is_told_anew_until_when_an_answer_is_believed() -> None:
    async with on_stage(**ON, headers={"X-Until": "{expires_at}"}) as stage:
        line = bearer(stage.frameio.developer_token(EDITOR))
        for _ in range(2):
            assert seen(await stage.ask("/echo", line))["X-Until"] == str(int(stage.clock.now) + 60)
            stage.clock.advance(60)


async def test_a_wrong_token_is_not_asked_about_again_for_half_a_minute(stage: Stage) -> None:
    line = wrong()
    for _ in range(30):
        assert refused(await stage.ask("/echo", line), 401, "token_refused")
    assert stage.frameio.calls["me"] == 1
    stage.clock.advance(30)
    assert refused(await stage.ask("/echo", line), 401, "token_refused")
    assert stage.frameio.calls["me"] == 2


async def test_tokens_that_begin_alike_are_told_apart(stage: Stage) -> None:
    token = stage.frameio.developer_token(EDITOR)
    assert (await stage.ask("/echo", bearer(token))).status == 200
    for other in (token[:-1], f"{token}x", f"{token}=", token.swapcase()):
        assert refused(await stage.ask("/echo", bearer(other)), 401, "token_refused")
    assert (
        seen(await stage.ask("/echo", bearer(stage.frameio.developer_token(GUEST))))["X-Forwarded-User"]
        == GUEST.id
    )


def once_all_have_come(stage: Stage, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Frame.io answer when so many requests with a token have come to the proxy, and no sooner."""
    stage.frameio.faults.plan("me", Fault.HANG)
    original, come = Bearers.session, 0

    async def counted(self: Bearers, request: Request) -> Any:
        nonlocal come
        come += 1
        if come == count:
            asyncio.get_running_loop().call_soon(stage.frameio.faults.clear)
        return await original(self, request)

    monkeypatch.setattr(Bearers, "session", counted)


async def test_200_requests_with_one_new_token_are_one_question(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = bearer(stage.frameio.developer_token(EDITOR))
    once_all_have_come(stage, 200, monkeypatch)
    answers = await asyncio.gather(*(stage.ask("/echo", line) for _ in range(200)))
    assert {seen(answer)["X-Forwarded-User"] for answer in answers} == {EDITOR.id}
    assert stage.frameio.calls["me"] == 1
    assert stage.tool_requests["/echo"] == 200


async def test_200_requests_with_one_wrong_token_are_one_question_and_one_failure(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = wrong()
    once_all_have_come(stage, 200, monkeypatch)
    answers = await asyncio.gather(*(stage.ask("/echo", line) for _ in range(200)))
    assert all(refused(answer, 401, "token_refused") for answer in answers)
    assert stage.frameio.calls["me"] == 1
    assert (await stage.ask("/echo", bearer(stage.frameio.developer_token(EDITOR)))).status == 200


async def hanging_up(stage: Stage, line: str) -> asyncio.StreamWriter:
    """The connection of a request that has begun and can be hung up on."""
    _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(f"GET /echo HTTP/1.1\r\nHost: localhost:{stage.port}\r\n{line}\r\n\r\n".encode())
    return writer


async def waiting(stage: Stage, number: int) -> None:
    """Return once so many requests wait for Frame.io's word on their tokens."""
    await until(lambda: stage.proxy.bearers.waiting == number)


async def test_who_hangs_up_takes_the_answer_from_nobody_else(stage: Stage) -> None:
    line = bearer(stage.frameio.developer_token(EDITOR))
    stage.frameio.faults.plan("me", Fault.HANG)
    first = await hanging_up(stage, line)
    await waiting(stage, 1)
    second = asyncio.create_task(stage.ask("/echo", line))
    await waiting(stage, 2)
    first.close()
    await waiting(stage, 1)
    stage.frameio.faults.clear()
    assert (await second).status == 200
    assert stage.frameio.calls["me"] == 1


async def test_who_hangs_up_leaves_no_work_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bearers, "_AT_ONCE", 1)
    async with on_stage(**ON) as stage:
        stage.frameio.faults.plan("me", Fault.HANG, times=1)
        caller = await hanging_up(stage, wrong())
        async with asyncio.timeout(10):
            await stage.frameio.faults.hanging(1)
        caller.close()
        await waiting(stage, 0)
        monkeypatch.setattr(bearers, "_PATIENCE", 1.0)
        assert (await stage.ask("/echo", bearer(stage.frameio.developer_token(EDITOR)))).status == 200


async def test_a_guesser_is_slowed_down_and_what_is_known_to_be_good_is_not(stage: Stage) -> None:
    known = bearer(stage.frameio.developer_token(EDITOR))
    assert (await stage.ask("/echo", known)).status == 200
    for _ in range(10):
        assert refused(await stage.ask("/echo", wrong()), 401, "token_refused")
    slowed = await stage.ask("/echo", wrong(), *NAVIGATING)
    assert refused(slowed, 429, "too_many_wrong_tokens")
    assert slowed.get("Retry-After") == "6"
    assert stage.frameio.calls["me"] == 11
    assert (await stage.ask("/echo", known)).status == 200
    stage.clock.advance(6)
    assert refused(await stage.ask("/echo", wrong()), 401, "token_refused")
    assert refused(await stage.ask("/echo", wrong()), 429, "too_many_wrong_tokens")
    stage.clock.advance(6)
    assert (await stage.ask("/echo", bearer(stage.frameio.developer_token(GUEST)))).status == 200


async def test_a_guesser_never_locks_out_a_token_that_was_good_before(stage: Stage) -> None:
    token = stage.frameio.developer_token(EDITOR)
    assert (await stage.ask("/echo", bearer(token))).status == 200
    for _ in range(30):
        stage.clock.advance(61)  # what was known of it has to be asked anew
        for _ in range(25):
            await stage.ask("/echo", wrong())
        assert refused(await stage.ask("/echo", wrong()), 429, "too_many_wrong_tokens")
        assert (await stage.ask("/echo", bearer(token))).status == 200
    stage.frameio.revoke_all(EDITOR)
    stage.clock.advance(60)
    assert refused(await stage.ask("/echo", bearer(token)), 401, "token_refused")
    stage.clock.advance(30)
    assert refused(await stage.ask("/echo", wrong()), 401, "token_refused")
    for _ in range(25):
        await stage.ask("/echo", wrong())
    assert refused(await stage.ask("/echo", bearer(token)), 429, "too_many_wrong_tokens"), "it is as any other now"


async def test_a_burst_of_guesses_comes_through_no_further(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    once_all_have_come(stage, 200, monkeypatch)
    answers = await asyncio.gather(*(stage.ask("/echo", wrong()) for _ in range(200)))
    statuses = [answer.status for answer in answers]
    assert set(statuses) == {401, 429}
    assert stage.frameio.calls["me"] == statuses.count(401) <= 26


async def test_good_tokens_are_never_counted(stage: Stage) -> None:
    for _ in range(30):
        assert (await stage.ask("/echo", bearer(stage.frameio.developer_token(EDITOR)))).status == 200


async def test_each_client_is_slowed_down_for_itself(behind_a_proxy: Stage) -> None:
    async def ask(address: str) -> int:
        return (await behind_a_proxy.ask("/echo", wrong(), f"X-Forwarded-For: {address}")).status

    for number in range(10):
        assert await ask(f"203.0.113.7, 10.0.0.{number}, 198.51.100.1") == 401
    assert await ask("198.51.100.1") == 429
    assert await ask("198.51.100.2") == 401
    for number in range(10):
        assert await ask(f"2001:db8:0:1:{number}::1") == 401
    assert await ask("2001:db8:0:1:ffff::1") == 429
    assert await ask("2001:db8:0:2::1") == 401
    for _ in range(10):
        assert await ask("::ffff:192.0.2.1") == 401
    assert await ask("192.0.2.1") == 429
    assert await ask("::ffff:192.0.2.2") == 401


async def test_a_client_cannot_be_another_by_saying_so(stage: Stage) -> None:
    for number in range(10):
        assert (await stage.ask("/echo", wrong(), f"X-Forwarded-For: 198.51.100.{number}")).status == 401
    assert (await stage.ask("/echo", wrong(), "X-Forwarded-For: 198.51.100.10")).status == 429


@pytest.mark.parametrize(
    ("fault", "status", "error", "wait"),
    [
        (Fault.SERVER_ERROR, 503, "provider_away", "10"),
        (Fault.TOO_MANY_REQUESTS, 503, "provider_busy", "7"),
        (Fault.DISCONNECT, 503, "provider_away", "10"),
        (Fault.HTML, 502, "provider_nonsense", "10"),
        (Fault.OVERSIZED, 502, "provider_nonsense", "10"),
    ],
)
async def test_an_outage_is_nobody_s_failure(
    stage: Stage, fault: Fault, status: int, error: str, wait: str
) -> None:
    known, unknown = (bearer(stage.frameio.developer_token(EDITOR)) for _ in range(2))
    assert (await stage.ask("/echo", known)).status == 200
    stage.frameio.faults.plan("me", fault)
    for _ in range(12):
        answer = await stage.ask("/echo", unknown, *NAVIGATING)
        assert refused(answer, status, error)
        assert answer.get("Retry-After") == wait
    assert (await stage.ask("/echo", known)).status == 200
    stage.frameio.faults.clear()
    if fault is Fault.TOO_MANY_REQUESTS:
        assert stage.frameio.calls["me"] == 2, "who was asked for patience is not asked about again before"
        stage.clock.advance(float(wait))
    assert (await stage.ask("/echo", unknown)).status == 200


async def test_a_provider_that_never_answers_is_given_up_on(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bearers, "_PATIENCE", 0.05)
    line = bearer(stage.frameio.developer_token(EDITOR))
    stage.frameio.faults.plan("me", Fault.HANG)
    assert refused(await stage.ask("/echo", line), 503, "provider_unavailable")
    stage.frameio.faults.clear()
    monkeypatch.undo()
    assert (await stage.ask("/echo", line)).status == 200


@pytest.fixture
def little_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bearers, "_REMEMBERED", 3)


@pytest.mark.usefixtures("little_is_remembered")
async def test_strangers_cannot_make_the_memory_grow(behind_a_proxy: Stage) -> None:
    stage, first = behind_a_proxy, bearer(behind_a_proxy.frameio.developer_token(EDITOR))
    assert (await stage.ask("/echo", first)).status == 200
    for number in range(20):
        assert (await stage.ask("/echo", wrong(), f"X-Forwarded-For: 198.51.100.{number}")).status == 401
    assert (await stage.ask("/echo", first)).status == 200
    assert stage.frameio.calls["me"] == 21, "what is known to be good is not pushed out by what is wrong"
    for _ in range(3):
        assert (await stage.ask("/echo", bearer(stage.frameio.developer_token(GUEST)))).status == 200
    assert (await stage.ask("/echo", first)).status == 200
    assert stage.frameio.calls["me"] == 25
    full, empty = ("good", "wrong", "proven", "clients"), ("busy", "unanswered", "asked", "rechecked")
    assert stage.proxy.bearers.sizes == dict.fromkeys(full, 3) | dict.fromkeys(empty, 0)


async def test_a_websocket_may_bring_a_token(stage: Stage) -> None:
    headers = {"Authorization": f"Bearer {stage.frameio.developer_token(EDITOR)}"}
    async with websockets.connect(f"ws://localhost:{stage.port}/clock", additional_headers=headers) as socket:
        assert await socket.recv()
    with pytest.raises(websockets.InvalidStatus) as wrongly:
        await websockets.connect(
            f"ws://localhost:{stage.port}/clock", additional_headers={"Authorization": "Bearer wrong"}
        )
    assert wrongly.value.response.status_code == 401


async def test_no_token_is_in_the_log_or_in_an_answer_of_ours(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "oauth_proxy")
    good, bad = stage.frameio.developer_token(EDITOR), "fio-u-wrong-and-not-to-be-seen"
    assert (await stage.ask("/echo", bearer(good))).status == 200
    told = [await stage.ask("/echo", line) for line in (bearer(bad), f"{bearer(bad)} {good}")]
    stage.frameio.faults.plan("me", Fault.SERVER_ERROR)
    told.append(await stage.ask("/echo", bearer(f"{bad}-again")))
    assert [answer.status for answer in told] == [401, 400, 503]
    assert len(complaints(caplog)) == 3
    shown = [str(answer) for answer in told] + [str(vars(record)) for record in caplog.records]
    assert not [text for text in shown if "fio-u-" in text]
