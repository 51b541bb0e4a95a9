"""An operator at the status page, on small and large screens, in light and dark; and other sites' pages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
from aiohttp import web
from playwright.async_api import Browser, ViewportSize, expect

from oauth_proxy.demo.people import EDITOR, REVIEWER
from oauth_proxy.recent import STEP
from oauth_proxy.status import page as status_page
from tests.browser.test_pages import BEHIND
from tests.support.browser import Visitor
from tests.support.chromium import AtBrowser, at_browser, see
from tests.support.operators import opened
from tests.support.proxy import Stage, on_stage, serving
from tests.support.readability import assert_readable, picture
from tests.support.sessions import signed_in

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

HEADINGS = "[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map((each) => each.tagName)"
SCREENS = {"phone": ViewportSize(width=320, height=700), "desktop": ViewportSize(width=1280, height=900)}


@asynccontextmanager
async def a_bad_night(chromium: Browser, **options: Any) -> AsyncIterator[tuple[Stage, AtBrowser]]:
    """A proxy with two people, one tool that is down, and strangers; and an operator at a browser."""
    async with (
        on_stage(upstreams=BEHIND, pages={"name": "Studio review"}) as stage,
        Visitor() as one,
        Visitor() as other,
        at_browser(chromium, **options) as operator,
    ):
        cookie = await signed_in(stage, one)
        await signed_in(stage, other, "Reviewer")
        for number in range(8):
            for _ in range(1 + number % 5):
                await stage.ask("/echo", cookie)
            await stage.ask(f"/render/{'a-long-name-' * 12}{number}", cookie)
            await stage.ask("/%3Cimg%20src=x%3E", "Cookie: oauth_proxy=garbage")
            await opened(stage.admin_url)  # tells what was counted in this step
            stage.clock.advance(STEP)
        yield stage, operator


@pytest.mark.parametrize(("screen", "colours"), [("phone", "dark"), ("desktop", "light")])
async def test_every_page_is_readable_at_a_glance(
    chromium: Browser, screen: str, colours: Literal["light", "dark"]
) -> None:
    options = {"viewport": SCREENS[screen], "has_touch": screen == "phone", "color_scheme": colours}
    async with a_bad_night(chromium, **options) as (stage, operator):
        page = await operator.open(stage.admin_url)

        async def look(name: str, heading: str) -> None:
            await see(page, heading)
            await picture(page, f"{name}-{screen}-{colours}")
            await assert_readable(page)

        await expect(page).to_have_title("✗ Status · Studio review")
        await expect(page.get_by_text("Not well: tool of /render/")).to_be_visible()
        await expect(page.get_by_role("rowheader", name="tool of /render/")).to_be_visible()
        await expect(page.get_by_role("img", name="Requests a second:")).to_be_visible()
        assert await page.evaluate(HEADINGS) == ["H1", *["H2"] * 5]
        await look("status", "Status")
        await page.get_by_role("link", name=f"End all sessions of {EDITOR.email}").click()
        await look("status-end", "End all their sessions?")
        await page.get_by_role("link", name="Back to the status").click()
        await page.get_by_role("link", name="The settings in effect").click()
        await look("status-settings", "The settings in effect")


async def test_a_button_signs_somebody_out_who_is_at_work(chromium: Browser, somebody: AtBrowser) -> None:
    async with a_bad_night(chromium) as (stage, operator):
        work = await somebody.arrive(f"{stage.url}/")
        page = await operator.open(stage.admin_url)
        await page.get_by_role("link", name=f"End all sessions of {EDITOR.email}").click()
        await expect(page.get_by_role("main")).to_contain_text(EDITOR.id)
        await page.get_by_role("button", name="End all their sessions").click()
        await see(page, "Status")
        await expect(page.get_by_role("status")).to_have_text("All sessions of that person have ended.")
        people = page.get_by_role("region", name="Who is signed in").get_by_role("rowheader")
        await expect(people).to_have_text([REVIEWER.email])
        await work.goto(f"{stage.url}/")
        await expect(work).to_have_title("Allow Studio review? · Emulated Frame.io")
        somebody.complaints.clear()  # the page's own stream and WebSocket were cut


async def test_it_asks_again_by_itself_where_one_was_and_not_while_one_decides(
    chromium: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_page, "REFRESH", 1)
    async with a_bad_night(chromium, viewport=SCREENS["phone"], java_script_enabled=True) as (stage, operator):
        page = await operator.open(f"{stage.admin_url}/?done=info")
        deciding = await operator.open(f"{stage.admin_url}/end?user={EDITOR.id}")
        await deciding.evaluate("document.here = true")
        await page.wait_for_url(f"{stage.admin_url}/")
        await page.evaluate("scrollTo(0, 600)")
        async with page.expect_navigation():
            pass
        async with page.expect_navigation():
            pass
        assert await page.evaluate("scrollY") == 600
        assert await deciding.evaluate("document.here")


async def test_another_sites_page_gets_nothing_from_it_and_does_nothing_to_it(chromium: Browser) -> None:
    async with a_bad_night(chromium) as (stage, operator):
        page = await operator.open(f"{stage.admin_url}/end?user={EDITOR.id}")
        form = await page.locator("input[name=form]").input_value()

        async def evil(_: web.Request) -> web.Response:
            body = (
                f'<iframe src="{stage.admin_url}/"></iframe><form method=post action="{stage.admin_url}/end">'
                f'<input name=form value="{form}"><button>Win</button></form>'
            )
            return web.Response(text=body, content_type="text/html")

        app = web.Application()
        app.router.add_get("/", evil)
        async with serving(app) as url:
            await page.goto(url)
            await page.get_by_role("button", name="Win").click()
            await see(page, "Not done")
        await page.goto(stage.admin_url)
        await expect(page.get_by_role("rowheader", name=EDITOR.email)).to_be_visible()
        assert any("frame-ancestors" in complaint for complaint in operator.complaints), operator.complaints
        operator.complaints.clear()
