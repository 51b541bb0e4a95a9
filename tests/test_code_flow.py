from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from urllib.parse import quote

import pytest

from oauth_proxy.demo.faults import RETRY_AFTER, Fault
from oauth_proxy.demo.people import EDITOR, Api, App
from oauth_proxy.provider import calls
from tests.support.browser import Visitor
from tests.support.login import at_the_door, attempts, complaints, nothing_leaked, query, session_cookie, way_on
from tests.support.proxy import SECRET, Stage, on_stage

pytestmark = pytest.mark.usefixtures("everything_logged")

APPS: list[tuple[Api, str | None]] = [("v2", SECRET), ("v2", None), ("v4", SECRET), ("v4", None)]


def staged(api: Api, client_secret: str | None) -> AbstractAsyncContextManager[Stage]:
    return on_stage(api=api, client_secret=client_secret)


@pytest.fixture
async def pkce_stage() -> AsyncIterator[Stage]:
    async with on_stage(client_secret=None) as stage:
        yield stage


@pytest.mark.parametrize(("api", "client_secret"), APPS)
async def test_a_login_takes_one_code_one_profile_and_leaves_only_the_session_behind(
    api: Api, client_secret: str | None, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    async with staged(api, client_secret) as stage:
        answer = await visitor.login(f"{stage.url}/echo?project=7&filter=%C3%A9%20b")
        assert answer.status == 200
        assert (await answer.json())["path"] == "/echo?project=7&filter=%C3%A9%20b"
        calls = stage.frameio.calls
        assert (calls["token:authorization_code"], calls["token"], calls["me"]) == (1, 1, 1)
        assert session_cookie(visitor)
        assert not attempts(visitor)
        assert not complaints(caplog)
        await nothing_leaked(stage, visitor, caplog)
    # stranger, start, Frame.io's login and consent with their buttons, callback, tool
    assert len(visitor.hops) == 8, visitor.trail()


@pytest.mark.parametrize(("api", "client_secret"), APPS)
async def test_who_refuses_consent_gets_a_page_whose_button_leads_to_the_target_after_all(
    api: Api, client_secret: str | None, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    async with staged(api, client_secret) as stage:
        page = await visitor.login(f"{stage.url}/echo?project=7", consent=False)
        assert page.status == 403
        assert "<h1>You did not allow access</h1>" in await page.text()
        assert not session_cookie(visitor)
        assert not attempts(visitor)
        assert stage.frameio.calls["token"] == 0
        assert not stage.tool_requests
        (line,) = complaints(caplog)
        assert "callback error 'access_denied'" in line
        answer = await visitor.login(await way_on(page))
        assert (await answer.json())["path"] == "/echo?project=7"
        await nothing_leaked(stage, visitor, caplog)


DOWN = [Fault.SERVER_ERROR, Fault.TOO_MANY_REQUESTS, Fault.DISCONNECT, Fault.LOST, Fault.HANG]
NONSENSE = [Fault.HTML, Fault.NO_ACCESS_TOKEN, Fault.NOT_AN_OBJECT, Fault.OVERSIZED]


@pytest.mark.parametrize("endpoint", ["token", "me"])
@pytest.mark.parametrize(
    ("fault", "status"), [*((fault, 503) for fault in DOWN), *((fault, 502) for fault in NONSENSE)]
)
async def test_a_provider_that_fails_is_a_page_with_a_way_on_that_works_once_it_is_back(
    endpoint: str,
    fault: Fault,
    status: int,
    stage: Stage,
    visitor: Visitor,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if fault is Fault.HANG:
        monkeypatch.setattr(calls, "DEADLINE", 0.05)
    callback = await at_the_door(stage, visitor, "/echo?project=7")
    stage.frameio.faults.plan(endpoint, fault)
    page = await visitor.follow(callback)
    assert (page.status, page.headers["Retry-After"]) == (
        status,
        str(RETRY_AFTER) if fault is Fault.TOO_MANY_REQUESTS else "10",
    )
    assert not session_cookie(visitor)
    assert not attempts(visitor)
    assert stage.frameio.calls["token"] == 1
    assert not stage.tool_requests
    (line,) = complaints(caplog)
    assert f"status={status}" in line
    stage.frameio.faults.clear()
    monkeypatch.undo()
    answer = await visitor.login(await way_on(page))
    assert (await answer.json())["path"] == "/echo?project=7"
    await nothing_leaked(stage, visitor, caplog)


async def test_a_login_page_that_is_down_is_frame_ios_own_and_the_next_visit_starts_afresh(
    stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    stage.frameio.faults.plan("authorize", Fault.SERVER_ERROR)
    page = await visitor.login(f"{stage.url}/echo")
    assert page.status == 500
    assert page.url.port != stage.port
    stage.frameio.faults.clear()
    assert (await visitor.login(f"{stage.url}/echo")).status == 200
    assert not complaints(caplog)


async def test_wrong_credentials_of_ours_are_a_page_for_the_visitor_and_a_line_for_the_operator(
    stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    callback = await at_the_door(stage, visitor)
    stage.frameio.register(App("studio", "a-secret-we-do-not-have", (f"{stage.url}/oauth2/callback",)))
    page = await visitor.follow(callback)
    assert page.status == 502
    assert "not set up correctly" in await page.text()
    (line,) = complaints(caplog)
    assert "invalid_client" in line
    await nothing_leaked(stage, visitor, caplog)


async def test_a_code_somebody_redeemed_before_is_refused_and_the_button_signs_in(
    pkce_stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    stage = pkce_stage
    callback = await at_the_door(stage, visitor)
    stolen = {"grant_type": "authorization_code", "client_id": "studio", "code": query(callback)["code"]}
    async with visitor.session.post(f"{stage.frameio_url}/oauth2/token", data=stolen) as thief:
        assert thief.status == 400  # no verifier; the code is spent all the same
    page = await visitor.follow(callback)
    assert page.status == 403
    assert "may have been used already" in await page.text()
    assert not session_cookie(visitor)
    (line,) = complaints(caplog)
    assert "invalid_grant" in line
    assert (await visitor.login(await way_on(page))).status == 200
    await nothing_leaked(stage, visitor, caplog)


@pytest.mark.parametrize(
    ("error", "description", "status", "title"),
    [
        ("access_denied", "", 403, "You did not allow access"),
        ("invalid_scope", "Unknown scope", 403, "The login did not complete"),
        ("login_required", "", 403, "The login did not complete"),
        ("server_error", "", 503, "Frame.io cannot be reached"),
        ("temporarily_unavailable", "", 503, "Frame.io cannot be reached"),
        ("<script>alert(1)</script>", "<script>alert(2)</script>", 403, "The login did not complete"),
        ("x\r\n2027-01-01 ERROR forged", "\r\n\x1b[2Jforged", 403, "The login did not complete"),
        ("x" * 6000, "y" * 6000, 403, "The login did not complete"),
    ],
)
async def test_an_error_frame_io_sends_back_is_a_page_in_our_words_and_one_line_in_the_log(
    error: str,
    description: str,
    status: int,
    title: str,
    stage: Stage,
    visitor: Visitor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    state = query(await at_the_door(stage, visitor))["state"]
    told = f"error={quote(error, safe='')}&error_description={quote(description, safe='')}"
    page = await visitor.follow(f"{stage.url}/oauth2/callback?{told}&state={state}")
    assert page.status == status
    body = await page.text()
    assert f"<h1>{title}</h1>" in body
    assert "alert" not in body
    assert ("Retry-After" in page.headers) is (status == 503)
    assert not session_cookie(visitor)
    assert stage.frameio.calls["token"] == 0
    (line,) = complaints(caplog)
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert len(line) < 1000
    await nothing_leaked(stage, visitor, caplog)


async def test_a_profile_with_line_breaks_adds_no_header_to_the_tools_request(
    stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    callback = await at_the_door(stage, visitor)
    email, name = "editor@studio.example.com\r\nX-Forwarded-User: root", "Ed\x00i\ntor \ud800 \u202e\U0001f3ac"
    stage.frameio.put_person(replace(EDITOR, email=email, name=name))
    answer = await visitor.follow(callback)
    assert answer.status == 200
    received = [line for line in (await answer.json())["headers"] if line[0].lower().startswith("x-forwarded-")]
    values = dict(received)
    assert [name for name, _ in received].count("X-Forwarded-User") == 1
    assert values["X-Forwarded-User"] == EDITOR.id
    assert not set("\r\n\x00") & set("".join(values.values()))
    assert not complaints(caplog)
