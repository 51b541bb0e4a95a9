"""Whatever fails, a browser's window gets a page: for links, and for forms of each encoding."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from oauth_proxy.demo.faults import Fault
from tests.support.browser import NAVIGATING
from tests.support.form_tool import FormTool, a_form
from tests.support.proxy import STUDIO, RawAnswer, Stage
from tests.support.sessions import cookie_of
from tests.support.webhooks import HOOKS


class Navigation(NamedTuple):
    """What a browser does: a method, its header lines, and its body."""

    method: str
    lines: tuple[str, ...]
    body: bytes = b""


def _form(content_type: str, body: bytes, *lines: str) -> Navigation:
    return Navigation("POST", (*NAVIGATING[:2], *lines, f"Content-Type: {content_type}"), body)


OURS = "Sec-Fetch-Site: same-origin"
NAVIGATIONS = {
    "a link": Navigation("GET", tuple(NAVIGATING)),
    "an old browser's link": Navigation("GET", ("Accept: text/html",)),
    "urlencoded": _form("application/x-www-form-urlencoded", b"a=1", OURS),
    "multipart": _form(
        "multipart/form-data; boundary=B",
        b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--B--\r\n',
        OURS,
    ),
    "text/plain": _form("text/plain", b"a=1\r\n", OURS),
    "another site's": _form("application/x-www-form-urlencoded", b"a=1", "Sec-Fetch-Site: cross-site"),
    "an old browser's form": Navigation("POST", ("Accept: text/html", "Content-Type: text/plain"), b"a=1\r\n"),
    "no form that we know": _form("application/json", b"{}", OURS),
}
each_navigation = pytest.mark.parametrize("how", NAVIGATIONS.values(), ids=NAVIGATIONS)


@pytest.fixture
async def staged() -> AsyncIterator[tuple[Stage, FormTool]]:
    async with a_form(access=STUDIO, webhooks=HOOKS) as made:
        yield made


async def go(stage: Stage, how: Navigation, *lines: str, path: str = "/page") -> RawAnswer:
    return await stage.ask(path, *how.lines, *lines, method=how.method, body=how.body)


def is_page(answer: RawAnswer, status: int) -> bool:
    assert answer.status == status
    return answer.get("Content-Type") == "text/html; charset=utf-8" and b"<h1>" in answer.body


@each_navigation
async def test_who_has_no_session_gets_a_page_or_the_login(
    staged: tuple[Stage, FormTool], how: Navigation
) -> None:
    answer = await go(staged[0], how)
    if how.method == "GET":
        assert answer.status == 302
    else:
        assert is_page(answer, 401)


@each_navigation
async def test_each_failure_is_a_page(staged: tuple[Stage, FormTool], how: Navigation) -> None:
    stage, tool = staged
    cookie = await cookie_of(stage)
    guest = await cookie_of(stage, "Guest", at="/oauth2/sign_in")
    assert is_page(await go(stage, how, guest), 403)
    assert is_page(await go(stage, how, path="/oauth2/nothing"), 404)
    assert is_page(await go(stage, how, path="/oauth2/auth"), 401 if how.method == "GET" else 405)
    assert is_page(await go(stage, how, path="/hooks/frameio"), 405 if how.method == "GET" else 401)
    assert is_page(await go(stage, how, path="/Hooks/frameio"), 400)
    assert is_page(await go(stage, how, f"Cookie: a={'b' * 70_000}"), 431)
    assert is_page(await go(stage, how, path="/" + "a" * 20_000), 414)
    other = [f"{how.method} / HTTP/1.1", "Host: elsewhere.example", "Connection: close", *how.lines]
    wrong = "\r\n".join([*other, f"Content-Length: {len(how.body)}"]).encode() + b"\r\n\r\n" + how.body
    assert is_page(RawAnswer.read(await stage.raw(wrong)), 421)

    shares = stage.proxy.upstreams.by_prefix["/"].shares
    before = shares.each, shares.patience
    shares.each, shares.patience = 0, 0
    assert is_page(await go(stage, how, cookie), 429)
    shares.each, shares.patience = before

    await tool.stop()
    assert is_page(await go(stage, how, cookie), 502)
    await tool.start()
    stage.frameio.faults.plan("token", Fault.SERVER_ERROR)
    stage.clock.advance(3600)
    assert is_page(await go(stage, how, cookie), 503)
    assert not tool.sent


@each_navigation
async def test_a_tool_that_is_too_slow_is_a_page(how: Navigation) -> None:
    async with a_form(patience="50ms", access={"public": ["/*", "POST /*"]}) as (stage, tool):
        tool.answers = False
        assert is_page(await go(stage, how), 504)
