"""Many tabs, stale callbacks and cookies that do not come back."""

import asyncio
import random

import pytest
from yarl import URL

from oauth_proxy.demo.faults import Fault
from tests.support.browser import NAVIGATING, Visitor
from tests.support.proxy import RawAnswer, Stage


async def to_frame_io(visitor: Visitor, url: str) -> str:
    """A tab is opened by a stranger; the address at Frame.io that it ends up at."""
    start = await visitor.get(url)
    authorize = await visitor.get(start.headers["Location"])
    return authorize.headers["Location"]


async def callback_of(visitor: Visitor, authorize: str) -> str:
    """Sign in and consent at Frame.io; the address it sends the tab back to."""
    page = await visitor.get(authorize)
    while page.headers.get("X-Emulated-Page"):
        button = "Editor" if page.headers["X-Emulated-Page"] == "login" else "Allow"
        page = await visitor.press(page, button)
        if "/oauth2/callback" in page.headers.get("Location", ""):
            return page.headers["Location"]
        page = await visitor.follow(page.url.join(URL(page.headers["Location"], encoded=True)))
    raise AssertionError(visitor.trail())


@pytest.mark.parametrize("seed", range(3))
async def test_20_tabs_of_a_stranger_finished_in_any_order_all_land_on_their_own_targets(
    stage: Stage, visitor: Visitor, seed: int
) -> None:
    targets = [f"{stage.url}/echo/{number}?tab={number}" for number in range(20)]
    started = await asyncio.gather(*(to_frame_io(visitor, target) for target in targets))
    tabs = list(zip(targets, started, strict=True))
    random.Random(seed).shuffle(tabs)  # noqa: S311 an order, not a secret
    for target, authorize in tabs:
        landed = await visitor.follow(await callback_of(visitor, authorize))
        assert str(landed.url) == target
        assert landed.status == 200
    names = {cookie.key for cookie in visitor.cookies if cookie.key.startswith("oauth_proxy")}
    assert names == {"oauth_proxy"}, "no login's cookie is left"


async def test_20_tabs_that_come_back_at_the_same_moment_all_land(stage: Stage, visitor: Visitor) -> None:
    targets = [f"{stage.url}/echo/{number}" for number in range(20)]
    started = await asyncio.gather(*(to_frame_io(visitor, target) for target in targets))
    callbacks = [await callback_of(visitor, authorize) for authorize in started]
    landed = await asyncio.gather(*(visitor.follow(callback) for callback in callbacks))
    assert [str(answer.url) for answer in landed] == targets


async def test_a_callback_opened_again_goes_on_to_its_target(stage: Stage, visitor: Visitor) -> None:
    await visitor.login(f"{stage.url}/echo/deep?a=b")
    [callback] = [str(hop.url) for hop in visitor.hops if hop.url.path == "/oauth2/callback"]
    calls = stage.frameio.calls["token"]
    again = await visitor.follow(callback)
    assert (str(again.url), again.status) == (f"{stage.url}/echo/deep?a=b", 200)
    assert stage.frameio.calls["token"] == calls


async def test_a_bookmarked_callback_without_a_session_begins_one_new_login(
    stage: Stage, visitor: Visitor
) -> None:
    await visitor.login(f"{stage.url}/echo/deep?a=b")
    [callback] = [str(hop.url) for hop in visitor.hops if hop.url.path == "/oauth2/callback"]
    calls = stage.frameio.calls["token"]
    async with Visitor() as later:
        landed = await later.login(callback)
        assert (str(landed.url), landed.status) == (f"{stage.url}/echo/deep?a=b", 200)
    assert stage.frameio.calls["token"] == calls + 1, "the bookmarked code was never redeemed"


async def test_a_browser_without_cookies_is_told_so_after_one_restart(stage: Stage, visitor: Visitor) -> None:
    authorize = await to_frame_io(visitor, f"{stage.url}/echo")
    for status in (302, 403):
        callback = await callback_of(visitor, authorize)
        visitor.cookies.clear(lambda cookie: cookie.key.startswith("oauth_proxy"))
        answer = await visitor.get(callback)
        assert answer.status == status
        authorize = answer.headers.get("Location", "")
    assert "did not send it back" in await visitor.hops[-1].text()
    assert stage.frameio.calls["token"] == 0


async def forgetful(stage: Stage, visitor: Visitor, spoil: str | None) -> list[RawAnswer]:
    """Logins of a browser whose session never comes back, until something else than a redirect happens."""
    answers = []
    for _ in range(6):
        callback = await callback_of(visitor, await to_frame_io(visitor, f"{stage.url}/echo"))
        line = visitor.cookie_line(stage.url)
        answer = await stage.ask(
            str(URL(callback).raw_path_qs), line if spoil is None else f"{line}; {spoil}", *NAVIGATING
        )
        answers.append(answer)
        if answer.status != 302:
            break
        for value in answer.all("Set-Cookie"):
            name, _, content = value.partition(";")[0].partition("=")
            if name != "oauth_proxy":
                visitor.cookies.update_cookies({name: content}, URL(stage.url))
    return answers


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (None, "does not send it back"),
        ("oauth_proxy=1.AAAA", "sealed with another key"),
        ("oauth_proxy=3.AAAA; oauth_proxy-1=x", "a part of it is missing"),
        ("oauth_proxy=1.AAAA; oauth_proxy=1.BBBB", "two cookies of the same name"),
    ],
)
async def test_a_redirect_loop_stops_at_three_and_the_log_names_the_cause(
    stage: Stage, visitor: Visitor, spoil: str | None, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    answers = await forgetful(stage, visitor, spoil)
    assert [answer.status for answer in answers] == [302, 302, 403]
    assert "this site still does not know you" in answers[-1].body.decode()
    assert cause in caplog.text
    assert "three logins in a row" in caplog.text


async def test_a_session_that_comes_back_ends_the_count(stage: Stage, visitor: Visitor) -> None:
    for _ in range(5):
        landed = await visitor.login(f"{stage.url}/echo")
        assert landed.status == 200
        await visitor.get(f"{stage.url}/oauth2/sign_out")


async def test_polling_scripts_pile_up_no_cookies(stage: Stage) -> None:
    for _ in range(30):
        answer = await stage.ask("/api/poll", "Sec-Fetch-Mode: cors")
        assert answer.status == 401
        assert not answer.all("Set-Cookie")


async def test_a_login_that_failed_at_the_provider_can_be_begun_again_for_the_same_target(
    stage: Stage, visitor: Visitor
) -> None:
    stage.frameio.faults.plan("token", Fault.SERVER_ERROR, 1)
    failed = await visitor.login(f"{stage.url}/echo?a=b")
    assert failed.status == 503
    page = await failed.text()
    start = page.partition('href="')[2].partition('"')[0].replace("&amp;", "&")
    while "/oauth2/start" not in start:
        page = page.partition('href="')[2]
        start = page.partition('"')[0].replace("&amp;", "&")
    landed = await visitor.login(start)
    assert str(landed.url) == f"{stage.url}/echo?a=b"
