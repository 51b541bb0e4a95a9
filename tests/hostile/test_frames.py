"""Frames: who may show our pages there, and what becomes of a login that ends in another window."""

import html
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.browser import NAVIGATING, Visitor
from tests.support.proxy import RawAnswer, Stage, on_stage
from tests.tally import tried

PORTAL = "https://portal.example.com"
FRAME = [*NAVIGATING, "Sec-Fetch-Dest: iframe"]
ELSEWHERE = "X-Forwarded-For: 203.0.113.9"


@dataclass
class Login:
    """A login that a frame waits for: the frame's cookie, and what its window has handed over."""

    cookie: str
    handed: str


@pytest.fixture
async def framing() -> AsyncIterator[Stage]:
    async with on_stage(pages={"frame_ancestors": [PORTAL]}, trusted_proxies=["127.0.0.1"]) as stage:
        yield stage


async def begun(stage: Stage) -> tuple[RawAnswer, str]:
    """The page in the frame, and the cookie that it came with."""
    page = await stage.ask("/oauth2/start?rd=/echo", *FRAME)
    assert page.status == 200
    [cookie] = page.all("Set-Cookie")
    return page, f"Cookie: {cookie.partition(';')[0]}"


async def logged_in(stage: Stage) -> Login:
    page, cookie = await begun(stage)
    href = re.search(r'href="([^"]*)"[^>]*id="login"', page.body.decode())
    assert href
    async with Visitor() as window:  # which does not see the frame's cookies
        end = await window.login(html.unescape(href[1]))
        assert end.status == 200
        assert (end.url.path, list(end.url.query)) == ("/oauth2/framed", ["handed"])
        assert "oauth_proxy" not in window.cookie_line(stage.url)
        text = await end.text()
        [code] = {code for hop in window.hops if (code := hop.url.query.get("code"))}
        assert code not in text, "no script reads Frame.io's code"
        assert code not in str(end.url)
        return Login(cookie, end.url.raw_query_string)


async def test_the_frame_redeems_what_its_window_handed_over_and_again_to_the_same_end(framing: Stage) -> None:
    login = await logged_in(framing)
    asked = f"/oauth2/framed?{login.handed}"
    answer, again = [await framing.ask(asked, *FRAME, login.cookie) for _ in range(2)]  # a browser may repeat it
    for each in (answer, again):
        assert (each.status, each.get("Location")) == (302, f"{framing.url}/echo")
    assert framing.frameio.calls["token:authorization_code"] == 1
    session = next(line for line in answer.all("Set-Cookie") if line.startswith("oauth_proxy="))
    assert (await framing.ask("/echo", f"Cookie: {session.partition(';')[0]}")).status == 200


async def test_what_was_handed_over_signs_in_no_other_browser_address_or_time(framing: Stage) -> None:
    login = await logged_in(framing)
    another = await begun(framing)
    asked = f"/oauth2/framed?{login.handed}"
    for lines in tried([[*FRAME], [*FRAME, another[1]], [*FRAME, login.cookie, ELSEWHERE]]):
        answer = await framing.ask(asked, *lines)
        assert answer.status == 403
        assert not [line for line in answer.all("Set-Cookie") if "oauth_proxy=" in line]
    # In a window it is a page that hands it over, to pages of this origin alone.
    page = await framing.ask(asked, *NAVIGATING, login.cookie)
    assert (page.status, page.all("Set-Cookie")) == (200, [])
    assert b"location.origin)" in page.body
    framing.clock.advance(61)
    assert (await framing.ask(asked, *FRAME, login.cookie)).status == 403
    assert framing.frameio.calls.get("token:authorization_code", 0) == 0


async def test_a_handover_that_was_not_made_here_is_refused_whatever_it_is(framing: Stage) -> None:
    _, cookie = await begun(framing)
    wrong = ["", "handed=", "handed=AAAA", "handed=" + "A" * 4000, "handed=%ff%00", "handed=x&handed=y"]
    for handed in tried(wrong):
        answer = await framing.ask(f"/oauth2/framed?{handed}", *FRAME, cookie)
        assert answer.status == 403, handed
    long = await framing.ask("/oauth2/callback?state=x&code=" + "A" * 5000, *NAVIGATING)
    assert long.status == 403


async def test_only_pages_that_explain_are_shown_in_frames_and_only_to_those_named(framing: Stage) -> None:
    async with Visitor() as visitor:
        await visitor.login(f"{framing.url}/echo")
        cookie = visitor.cookie_line(framing.url)
    login = await logged_in(framing)
    shown = ["/oauth2/start", "/oauth2/sign_in", "/oauth2/nothing", "/oauth2/framed?handed=x"]
    kept = [("/oauth2/sign_out", [*FRAME, cookie]), (f"/oauth2/framed?{login.handed}", NAVIGATING)]
    for path in tried(shown):
        answer = await framing.ask(path, *FRAME)
        assert f"frame-ancestors 'self' {PORTAL}" in (answer.get("Content-Security-Policy") or ""), path
        assert answer.get("X-Frame-Options") is None, path
    for path, lines in tried(kept):
        answer = await framing.ask(path, *lines)
        assert answer.status == 200
        assert "frame-ancestors 'none'" in (answer.get("Content-Security-Policy") or ""), path
        assert answer.get("X-Frame-Options") == "DENY", path


async def test_nothing_of_ours_is_shown_in_frames_unless_somebody_is_named(stage: Stage) -> None:
    for path in tried(["/oauth2/sign_in", "/oauth2/nothing", "/oauth2/sign_out", "/oauth2/framed?handed=x"]):
        answer = await stage.ask(path, *NAVIGATING)
        assert "frame-ancestors 'none'" in (answer.get("Content-Security-Policy") or ""), path
        assert answer.get("X-Frame-Options") == "DENY", path
    assert (await stage.ask("/oauth2/start", *FRAME)).status == 302


async def test_a_login_begun_in_a_frame_and_ended_in_the_same_partition_is_not_handed_over(framing: Stage) -> None:
    page, cookie = await begun(framing)
    href = re.search(r'href="([^"]*)"[^>]*id="login"', page.body.decode())
    assert href
    async with Visitor() as window:
        name, _, value = cookie.removeprefix("Cookie: ").partition("=")
        window.cookies.update_cookies({name: value})
        end = await window.login(html.unescape(href[1]))
        assert str(end.url) == f"{framing.url}/oauth2/framed"
        assert (await framing.ask("/echo", window.cookie_line(framing.url))).status == 200


async def test_a_frame_at_another_host_of_the_domain_is_led_to_the_host_where_the_login_ends() -> None:
    site: dict[str, Any] = {
        "public_url": "https://review.example.com",
        "session": {"cookie": {"domain": "example.com"}},
        "pages": {"frame_ancestors": [PORTAL]},
    }
    async with on_stage(**site) as stage:
        head = ["GET /oauth2/start?rd=https://app.example.com/x HTTP/1.1", "Connection: close", *FRAME]
        for host, status in (
            ("app.example.com", 302),
            ("review.example.com", 200),
            ("review.example.com:443", 200),
        ):
            sent = "\r\n".join([*head, f"Host: {host}", "", ""]).encode()
            answer = RawAnswer.read(await stage.raw(sent))
            assert answer.status == status
            if status == 302:
                began = "https://review.example.com/oauth2/start?rd=https%3A%2F%2Fapp.example.com%2Fx"
                assert (answer.get("Location"), answer.all("Set-Cookie")) == (began, [])
