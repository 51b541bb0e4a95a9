"""The examples of docs/tool-authors.md, as they stand there, on a page of a tool."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, expect

from oauth_proxy.demo.tool import OpenExchanges
from tests.support.chromium import SLOW_CLOSE, AtBrowser, at_browser, press, untouched
from tests.support.places import ROOT
from tests.support.proxy import Stage, on_stage
from tests.support.units import WEEK_AND_A_DAY

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

DOCUMENT = (ROOT / "docs" / "tool-authors.md").read_text("utf-8")


def shown(language: str, word: str) -> str:
    """The one example in this language that has the word in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    [found] = [block for block in blocks if word in block]
    return str(found)


LOADED = shown("html", "session.js")
SAVES = shown("js", "/api/save")
ASKS = shown("js", '"needed"')
TELLS = shown("js", '"ends"')
CONNECTS = shown("js", "new WebSocket")
MANIFEST = shown("html", "manifest")
PAGE = """<!doctype html><title>Tool</title><link rel=icon href=data:,>{head}
<h1>Tool</h1><button id=sign-in hidden>Sign in, please</button><output id=clock></output><output id=said></output>
{script}"""


def tool(head: str, script: str = "") -> web.Application:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PAGE.format(head=head, script=script), content_type="text/html")

    async def said(request: web.Request) -> web.Response:
        return web.Response(text=f"saved: {await request.text()}")

    async def manifest(_: web.Request) -> web.Response:
        return web.json_response({"name": "Tool", "start_url": "/"}, content_type="application/manifest+json")

    live = OpenExchanges(lambda: 0.0, 0.05)
    app = web.Application()
    app.on_shutdown.append(live.close)
    app.add_routes(
        [
            web.get("/", page),
            web.get("/clock", live.clock),
            web.post("/api/save", said),
            web.get("/manifest.json", manifest),
        ]
    )
    return app


@asynccontextmanager
async def visited(
    chromium: Browser, application: web.Application, **changes: Any
) -> AsyncIterator[tuple[Stage, AtBrowser, Page]]:
    async with on_stage(tool=application, **changes) as stage, at_browser(chromium) as somebody:
        yield stage, somebody, await somebody.context.new_page()
        somebody.complaints = [each for each in somebody.complaints if "401" not in each]


async def test_a_page_that_asks_by_a_button_of_its_own_sends_what_was_typed(chromium: Browser) -> None:
    says = f"<script type=module>{SAVES} said.textContent = await answer.text()</script>"
    tells = "oauthProxy.addEventListener('needed', () => console.debug('needed'));"
    application = tool(LOADED, f"<script>{ASKS}{tells}</script>{says}")
    async with visited(chromium, application, access={"public": ["/"]}) as (stage, somebody, page):
        await untouched(page, f"{stage.url}/")
        async with page.expect_popup() as opening:
            await page.get_by_role("button", name="Sign in, please").click()
        await somebody.sign_in(await opening.value)
        await expect(page.locator("#said")).to_have_text("saved: what was typed")
        await expect(page.get_by_role("button")).to_be_hidden()
        assert await page.locator("dialog").count() == 0


async def test_a_page_tells_when_the_session_ends_and_when_it_has(chromium: Browser) -> None:
    application = tool(LOADED, f"<script>{TELLS}</script>")
    async with visited(chromium, application, session={"lifetime": "8m"}) as (stage, somebody, page):
        await page.goto(f"{stage.url}/")
        await somebody.sign_in(page)
        await expect(page).to_have_title("Sign in again within 8 minutes")
        await page.evaluate("() => oauthProxy.signOut()")
        await expect(page).to_have_title("Signed out")


async def test_a_websocket_whose_session_has_ended_is_there_again_after_the_login(chromium: Browser) -> None:
    application = tool(LOADED, f"<script>{CONNECTS}</script>")
    async with visited(chromium, application) as (stage, somebody, page):
        await page.goto(f"{stage.url}/")
        await somebody.sign_in(page)
        await expect(page.locator("#clock")).to_have_text("00:00:00")
        async with page.expect_popup() as opening:
            stage.clock.advance(WEEK_AND_A_DAY)
            while not opening.is_done():  # by expect_popup's timeout at the latest
                await page.get_by_role("heading").click()  # within the last seconds, so that a popup may open
                await asyncio.sleep(0.5)
        await page.evaluate("() => { clock.textContent = '' }")
        await (await opening.value).get_by_role("button", name="Allow").click()
        await expect(page.locator("#clock")).to_have_text("00:00:00")


async def test_a_websocket_whose_end_is_heard_of_after_the_next_login_asks_for_no_other(chromium: Browser) -> None:
    application = tool(LOADED, f"<script>{CONNECTS}</script>")
    async with visited(chromium, application) as (stage, somebody, page):
        await page.add_init_script(SLOW_CLOSE)
        await page.goto(f"{stage.url}/")
        await somebody.sign_in(page)
        await expect(page.locator("#clock")).to_have_text("00:00:00")
        await page.evaluate("() => oauthProxy.signOut()")
        await press(await somebody.open(f"{stage.url}/"), "Allow")  # in another tab
        await expect(page.locator("#clock")).to_have_text("00:00:00")
        await page.evaluate("() => { clock.textContent = ''; hearOfTheEnd(); }")
        await expect(page.locator("#clock")).to_have_text("00:00:00")
        assert await page.locator("dialog").count() == 0


async def test_a_manifest_comes_with_cookies_where_the_page_says_so(chromium: Browser) -> None:
    async with visited(chromium, tool(MANIFEST)) as (stage, somebody, page):
        await page.goto(f"{stage.url}/")
        await somebody.sign_in(page)
        await page.wait_for_load_state()
        asked = await page.context.new_cdp_session(page)
        await asked.send("Page.enable")
        assert "Tool" in (await asked.send("Page.getAppManifest"))["data"]
        assert stage.tool_requests["/manifest.json"]
