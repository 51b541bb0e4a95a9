import json
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.browser import NAVIGATING, Visitor
from tests.support.proxy import WANTED, Stage, on_stage
from tests.support.units import DAY, HOUR


@pytest.fixture
async def cookie(stage: Stage, visitor: Visitor) -> str:
    await visitor.login(f"{stage.url}/echo")
    return visitor.cookie_line(stage.url)


@pytest.fixture
async def behind_a_proxy() -> AsyncIterator[Stage]:
    async with on_stage(auth_request_from=["127.0.0.1"]) as stage:
        yield stage


async def test_auth_answers_202_401_and_403(stage: Stage, visitor: Visitor, cookie: str) -> None:
    assert (await stage.ask("/oauth2/auth")).status == 401
    answer = await stage.ask("/oauth2/auth", cookie)
    assert (answer.status, answer.body) == (202, b"")
    assert answer.get("X-Auth-Request-User") == "3b7c1a52-94de-4f08-a6b3-c1d2e3f40516"
    assert answer.get("X-Auth-Request-Email") == "editor@studio.example.com"
    assert answer.get("X-Auth-Request-Preferred-Username") == "Editor"
    async with on_stage(access={"allow": [{"email": "*@elsewhere.example.org"}]}) as strict, Visitor() as other:
        await other.login(f"{strict.url}/oauth2/start?rd=/oauth2/userinfo")
        assert (await strict.ask("/oauth2/auth", other.cookie_line(strict.url))).status == 403


async def test_auth_tells_the_token_to_a_trusted_front_proxy_only(
    stage: Stage, cookie: str, behind_a_proxy: Stage, visitor: Visitor
) -> None:
    untrusted = await stage.ask("/oauth2/auth", cookie)
    assert untrusted.get("Authorization") is None
    assert untrusted.get("X-Auth-Request-Access-Token") is None
    await visitor.login(f"{behind_a_proxy.url}/echo")
    trusted = await behind_a_proxy.ask("/oauth2/auth", visitor.cookie_line(behind_a_proxy.url))
    token = trusted.get("X-Auth-Request-Access-Token")
    assert trusted.get("Authorization") == f"Bearer {token}"
    async with visitor.session.get(
        f"{behind_a_proxy.frameio_url}/v2/me", headers={"Authorization": f"Bearer {token}"}
    ) as me:
        assert me.status == 200


async def test_auth_tells_no_token_to_a_front_proxy_that_is_trusted_with_addresses_only(visitor: Visitor) -> None:
    async with on_stage(trusted_proxies=["127.0.0.1"]) as stage:
        await visitor.login(f"{stage.url}/echo")
        answer = await stage.ask("/oauth2/auth", visitor.cookie_line(stage.url))
        assert answer.status == 202
        assert answer.get("Authorization") is None
        assert answer.get("X-Auth-Request-Access-Token") is None


async def test_auth_leaves_no_count_of_logins_with_somebody_who_may_not_enter(visitor: Visitor) -> None:
    async with on_stage(access={"allow": [{"email": "*@elsewhere.example.org"}]}) as stage:
        await visitor.login(f"{stage.url}/oauth2/start?rd=/oauth2/sign_in")
        answer = await stage.ask("/oauth2/auth", visitor.cookie_line(stage.url))
        assert answer.status == 403
        gone = {line.partition("=")[0] for line in answer.all("Set-Cookie") if "Max-Age=0" in line}
        assert gone == {"oauth_proxy", "oauth_proxy-tries"}


async def test_auth_asks_for_the_session_and_nothing_else(stage: Stage) -> None:
    for line in (
        "X-Forwarded-Uri: /healthz",
        "X-Original-URL: /healthz",
        "X-Original-URI: /healthz",
        "X-Forwarded-Method: OPTIONS",
        "User-Agent: kube-probe/1.31",
        "User-Agent: GoogleHC/1.0",
        "Authorization: Bearer fio-u-whatever",
    ):
        assert (await stage.ask("/oauth2/auth", line)).status == 401


async def test_auth_carries_the_refreshed_cookie(stage: Stage, cookie: str) -> None:
    stage.clock.advance(HOUR)
    answer = await stage.ask("/oauth2/auth", cookie)
    assert answer.status == 202
    assert answer.all("Set-Cookie")


async def test_userinfo_says_who_and_never_a_token(stage: Stage, cookie: str) -> None:
    answer = await stage.ask("/oauth2/userinfo", cookie)
    assert answer.status == 200
    assert json.loads(answer.body) == {
        "id": "3b7c1a52-94de-4f08-a6b3-c1d2e3f40516",
        "email": "editor@studio.example.com",
        "name": "Editor",
        "account_id": "5f2b1c7e-8d34-4a6f-9b01-2c3d4e5f6071",
        "expires_at": stage.clock.now + 3600,
        "session_expires_at": stage.clock.now + 7 * DAY,
        "idle_expires_at": stage.clock.now + DAY,
        "now": stage.clock.now,
    }
    assert (await stage.ask("/oauth2/userinfo")).status == 401


async def test_a_login_in_another_window_ends_at_a_page_that_says_who_is_signed_in(stage: Stage) -> None:
    async with Visitor() as visitor:
        page = await visitor.login(f"{stage.url}/oauth2/start?rd=/oauth2/signed_in")
    assert (page.status, page.url.path) == (200, "/oauth2/signed_in")
    assert "editor@studio.example.com" in (await page.text()).replace("<wbr>", "")


async def test_a_stranger_is_not_told_that_they_are_signed_in_but_how_to_be(stage: Stage) -> None:
    page = await stage.ask("/oauth2/signed_in", *NAVIGATING)
    assert page.status == 401
    assert f"?rd=http%3A%2F%2Flocalhost%3A{stage.port}%2Foauth2%2Fsigned_in" in page.body.decode()


async def test_who_may_not_enter_is_told_so_at_the_end_of_a_login_in_another_window() -> None:
    async with on_stage(access={"allow": [{"email": "*@elsewhere.example.org"}]}) as stage, Visitor() as visitor:
        page = await visitor.login(f"{stage.url}/oauth2/start?rd=/oauth2/signed_in")
        assert page.status == 403
        assert "%2Foauth2%2Fsigned_in&amp;switch=1" in await page.text()


async def test_every_answer_of_ours_is_marked_and_not_stored(stage: Stage, cookie: str) -> None:
    for path in ("start", "callback", "sign_in", "signed_in", "sign_out", "auth", "userinfo", "nothing", ""):
        for lines in ([], [cookie], [cookie, *NAVIGATING]):
            answer = await stage.ask(f"/oauth2/{path}", *lines)
            assert answer.get("Cache-Control") == "no-store", path
            assert answer.get("X-OAuth-Proxy"), path
            assert answer.get("X-Request-Id"), path


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("HEAD", "start", "GET, POST"),
        ("POST", "callback", "GET"),
        ("HEAD", "callback", "GET"),
        ("DELETE", "sign_out", "GET, POST"),
        ("POST", "auth", "GET, HEAD"),
        ("PUT", "userinfo", "GET, HEAD"),
    ],
)
async def test_a_route_of_ours_answers_its_own_methods_only(
    stage: Stage, method: str, path: str, allow: str
) -> None:
    answer = await stage.ask(f"/oauth2/{path}", method=method)
    assert (answer.status, answer.get("Allow")) == (405, allow)


@pytest.mark.parametrize(
    "path",
    [
        "/oauth2/",
        "/oauth2/x",
        "/oauth2//auth",
        "/oauth2/auth/",
        "/oauth2/%61uth/..",
        "/oauth2/./auth",
        "/oauth2/%2e/auth",
    ],
)
async def test_what_is_no_route_of_ours_is_404_and_never_reaches_the_tool(
    stage: Stage, cookie: str, path: str
) -> None:
    assert (await stage.ask(path, cookie)).status == 404
    assert set(stage.tool_requests) == {"/echo"}


async def test_the_sign_in_page_leads_to_the_login_and_back_to_its_target(stage: Stage, visitor: Visitor) -> None:
    page = await visitor.get(f"{stage.url}/oauth2/sign_in?rd=/echo%3Fa=b")
    assert page.status == 200
    text = await page.text()
    start = text.partition('href="')[2].partition("/oauth2/start")[2].partition('"')[0].replace("&amp;", "&")
    answer = await visitor.login(f"{stage.url}/oauth2/start{start}")
    assert (await answer.json())["path"] == "/echo?a=b"


@pytest.mark.parametrize(
    ("query", "line", "target"),
    [
        ("?rd=/echo/a", None, "/echo/a"),
        ("?rd=//evil.com&rd=/echo/b", None, "/echo/b"),
        ("?rd=https://evil.com/", "X-Auth-Request-Redirect: /echo/c", "/echo/c"),
        ("", "X-Auth-Request-Redirect: /echo/d", "/echo/d"),
        ("?rd=https://evil.com/", "X-Auth-Request-Redirect: //evil.com", "/"),
        ("", None, "/"),
    ],
)
async def test_the_first_safe_candidate_is_the_target(
    stage: Stage, visitor: Visitor, query: str, line: str | None, target: str
) -> None:
    started = await stage.ask(f"/oauth2/start{query}", *NAVIGATING, *([line] if line else []))
    assert started.status == 302
    for value in started.all("Set-Cookie"):
        name, _, content = value.partition(";")[0].partition("=")
        visitor.cookies.update_cookies({name: content})
    answer = await visitor.login(started.get("Location") or "")
    assert answer.url.raw_path_qs == target


async def test_start_sends_people_only(stage: Stage) -> None:
    answer = await stage.ask("/oauth2/start?rd=/x", "Sec-Fetch-Mode: cors", "Accept: */*")
    assert answer.status == 401
    assert not answer.all("Set-Cookie")
    assert json.loads(answer.body)["login_url"].endswith("%2Fx")


async def test_switching_asks_frame_io_who_it_is_once_more(stage: Stage) -> None:
    plain = await stage.ask("/oauth2/start", *NAVIGATING)
    switching = await stage.ask("/oauth2/start?switch=1", *NAVIGATING)
    assert "prompt" not in parse_qs(urlsplit(plain.get("Location") or "").query)
    assert parse_qs(urlsplit(switching.get("Location") or "").query)["prompt"] == ["login"]


async def test_attempts_are_capped_and_the_oldest_is_dropped(stage: Stage) -> None:
    kept: dict[str, str] = {}
    order: list[str] = []
    for _ in range(40):
        stage.clock.advance(1)
        line = "Cookie: " + "; ".join(f"{name}={value}" for name, value in kept.items())
        answer = await stage.ask("/oauth2/start", *NAVIGATING, line)
        for cookie in answer.all("Set-Cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            if "Max-Age=0" in cookie:
                assert name == order.pop(0)
                del kept[name]
            else:
                order.append(name)
                kept[name] = value
    assert len(kept) == 24
    assert sum(map(len, (*kept.keys(), *kept.values()))) < 8192


async def test_sign_out_goes_where_it_is_safe_to_go(stage: Stage, cookie: str) -> None:
    answer = await stage.ask("/oauth2/sign_out?rd=/bye", cookie, *NAVIGATING)
    assert (answer.status, answer.get("Location")) == (302, f"{stage.url}/bye")
    page = await stage.ask("/oauth2/sign_out?rd=https://evil.com", cookie, *NAVIGATING)
    assert page.status == 200
    assert b"signed out" in page.body.lower()


async def test_another_site_cannot_sign_anybody_out(stage: Stage, cookie: str) -> None:
    asked = await stage.ask("/oauth2/sign_out", cookie, "Sec-Fetch-Site: cross-site", *NAVIGATING[:-1])
    assert asked.status == 200
    assert not asked.all("Set-Cookie")
    assert b"/oauth2/sign_out" in asked.body
    assert (await stage.ask("/echo", cookie)).status == 200


async def test_signing_out_without_a_session_is_fine(stage: Stage) -> None:
    assert (await stage.ask("/oauth2/sign_out", WANTED)).status == 200
    assert (await stage.ask("/oauth2/sign_out", WANTED, method="POST")).status == 200


async def test_a_program_that_does_not_say_it_is_wanted_is_told_so_in_json(stage: Stage, cookie: str) -> None:
    for method in ("GET", "POST"):
        answer = await stage.ask("/oauth2/sign_out", cookie, method=method)
        assert (answer.status, json.loads(answer.body)["error"]) == (403, "sign_out_unconfirmed")
        assert not answer.all("Set-Cookie")
    assert (await stage.ask("/echo", cookie)).status == 200
    assert (await stage.ask("/oauth2/sign_out", cookie, WANTED)).all("Set-Cookie")
    assert (await stage.ask("/echo", cookie)).status == 401


async def test_the_question_posts_to_this_site_and_is_not_put_into_a_frame(stage: Stage, cookie: str) -> None:
    page = await stage.ask("/oauth2/sign_out", cookie, "Accept: text/html")
    assert b'<form method="post" action="/oauth2/sign_out">' in page.body
    policy = page.get("Content-Security-Policy") or ""
    assert "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.get("Referrer-Policy") == "same-origin", "else the form's Origin would be null"


async def test_too_many_fields_in_a_query_are_refused(stage: Stage) -> None:
    assert (await stage.ask("/oauth2/callback?" + "&".join("a=b" for _ in range(60)))).status == 400
