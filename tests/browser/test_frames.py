"""The tool in a frame of another site's page, in a browser that blocks third-party cookies."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import BrowserContext, FrameLocator, Page, async_playwright, expect

from oauth_proxy.demo.people import EDITOR, App
from tests.browser.conftest import ARGUMENTS
from tests.support.certificates import Authority
from tests.support.chromium import choose, press, see
from tests.support.proxy import SECRET, Stage, free_port, on_stage, serving
from tests.support.single_page import Notes
from tests.support.units import PATIENCE, WEEK_AND_A_DAY

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

PORTAL = """<!doctype html><link rel=icon href=data:,><h1>Portal</h1>
<iframe src="{src}" width=600 height=500 title=Tool></iframe>"""
FORM = """() => {
  const make = (tag, more) => Object.assign(document.createElement(tag), more);
  const form = document.body.appendChild(make("form", {method: "post", action: "/api/save"}));
  form.append(make("input", {name: "note", value: "typed"}), make("button", {textContent: "Post"}));
}"""
BLOCKING = {"profile": {"cookie_controls_mode": 1, "block_third_party_cookies": True}}


@dataclass
class Framed:
    """A tool at https://localhost, and a portal at http://127.0.0.1, which is another site, that frames it."""

    stage: Stage
    url: str
    portal: str
    context: BrowserContext

    async def open(self) -> tuple[Page, FrameLocator]:
        page = await self.context.new_page()
        await page.goto(self.portal)
        return page, page.frame_locator("iframe")

    async def sign_in(self, page: Page, frame: FrameLocator, *, is_known: bool = False) -> None:
        """Press the link in the frame, and be signed in by its window, which closes itself."""
        async with page.expect_popup() as opening:
            await frame.get_by_role("link", name="Sign in with Frame.io").click()
        popup = await opening.value
        async with popup.expect_event("close"):
            if not is_known:
                await choose(popup, EDITOR)
            await press(popup, "Allow")


@asynccontextmanager
async def framed(context: BrowserContext, folder: Path, **changes: object) -> AsyncIterator[Framed]:
    port, portal_at = free_port(), web.Application()
    url = f"https://localhost:{port}"

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PORTAL.format(src=f"{url}/"), content_type="text/html")

    portal_at.router.add_get("/", page)
    async with serving(portal_at) as portal:
        site: dict[str, Any] = {
            "public_url": url,
            "listen": f"127.0.0.1:{port}",
            "tls": Authority().pair(folder / "site", "localhost"),
            "session": {"cookie": {"same_site": "none"}},
            "pages": {"frame_ancestors": [portal]},
        }
        async with on_stage(tool=Notes().app(), **{**site, **changes}) as stage:
            stage.frameio.register(App("studio", SECRET, (f"{url}/oauth2/callback",), api="v2"))
            yield Framed(stage, url, portal, context)


@dataclass
class Both:
    """The same with partitioned cookies and without."""

    partitioned: Framed
    plain: Framed


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(executable: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Both]:
    """In a browser that blocks third-party cookies, which only a profile of its own can be told."""
    folder = tmp_path_factory.mktemp("framed")
    (folder / "profile" / "Default").mkdir(parents=True)
    (folder / "profile" / "Default" / "Preferences").write_text(json.dumps(BLOCKING))
    plain = {"cookie": {"same_site": "none", "partitioned": "false"}}
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            folder / "profile", executable_path=executable, args=ARGUMENTS, ignore_https_errors=True
        )
        context.set_default_timeout(1000 * PATIENCE)
        async with framed(context, folder) as first, framed(context, folder, session=plain) as second:
            yield Both(first, second)
            await context.close()  # a browser keeps spare connections, for which a proxy that stops would wait


@pytest.fixture
def place(both: Both) -> Framed:
    return both.partitioned


async def test_a_login_in_a_window_signs_in_the_frame_where_third_party_cookies_are_blocked(
    place: Framed,
) -> None:
    page, frame = await place.open()
    await place.sign_in(page, frame)
    await expect(frame.get_by_role("heading")).to_have_text("Notes")
    [cookie] = [each for each in await place.context.cookies() if each["name"] == "__Host-oauth_proxy"]
    assert cookie["partitionKey"] == "http://127.0.0.1"
    # Outside of the portal nobody is signed in by that.
    outside = await page.goto(f"{place.url}/oauth2/userinfo")
    assert outside is not None
    assert outside.status == 401
    await page.goto(f"{place.url}/")
    await press(page, "Allow")
    await see(page, "Notes")
    await page.close()


async def test_a_script_in_a_frame_signs_in_by_a_frame_in_the_frame_and_loses_nothing(place: Framed) -> None:
    page, frame = await place.open()
    await expect(frame.get_by_role("heading")).to_have_text("Notes")
    await frame.get_by_label("Note").fill("typed in a frame")
    place.stage.clock.advance(WEEK_AND_A_DAY)
    await frame.get_by_role("button", name="Save").click()
    await place.sign_in(page, frame.get_by_role("dialog").frame_locator("iframe"), is_known=True)
    await expect(frame.get_by_role("status")).to_contain_text("typed in a frame")
    await expect(frame.get_by_role("dialog")).to_have_count(0)
    await page.close()


async def test_a_form_in_a_frame_whose_session_has_ended_is_given_back_there_and_sent_again(place: Framed) -> None:
    page, frame = await place.open()
    await expect(frame.get_by_role("heading")).to_have_text("Notes")
    await page.frames[1].evaluate(FORM)
    place.stage.clock.advance(WEEK_AND_A_DAY)
    await frame.get_by_role("button", name="Post").click()
    await expect(frame.locator("main")).to_contain_text("Nothing you typed is lost")
    await place.sign_in(page, frame.frame_locator("iframe"), is_known=True)
    await expect(frame.get_by_role("status")).to_contain_text("You are signed in now")
    await expect(frame.locator("iframe")).to_be_hidden()
    await frame.get_by_role("button", name="Send it again").click()
    await expect(frame.locator("body")).to_have_text('{"said": "note=typed"}')
    await page.close()


async def test_who_signs_out_in_a_frame_is_signed_out_there(place: Framed) -> None:
    page, frame = await place.open()
    await expect(frame.get_by_role("heading")).to_have_text("Notes")
    tool = page.frames[1]
    await tool.evaluate("() => oauthProxy.signOut()")
    assert await tool.evaluate("() => oauthProxy.info()") is None
    [left] = [each for each in await place.context.cookies() if each["name"] == "__Host-oauth_proxy"]
    assert left["partitionKey"] == "https://localhost", "outside of the frame somebody is signed in as before"
    await page.close()


async def test_the_portal_can_neither_forge_nor_press_what_the_frame_waits_for(place: Framed) -> None:
    page, frame = await place.open()
    await expect(frame.get_by_role("heading")).to_have_text("Sign in to see this")
    forged = {"type": "framed", "query": "?handed=forged"}
    await page.evaluate("(forged) => frames[0].postMessage(forged, '*')", forged)
    await page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    assert page.frames[1].url.startswith(f"{place.url}/oauth2/start")
    # A page of our own could: what is not sealed for this browser is refused, in words, and there is a way on.
    await page.frames[1].evaluate("(forged) => postMessage(forged)", forged)
    await expect(frame.get_by_role("heading")).to_have_text("This login has expired")
    await frame.get_by_role("link").first.click()
    await expect(frame.get_by_role("heading")).to_have_text("Sign in to see this")
    await page.close()


async def test_without_partitioned_cookies_the_frame_says_what_the_browser_does(both: Both) -> None:
    """And third-party cookies are really blocked here."""
    page, frame = await both.plain.open()
    await both.plain.sign_in(page, frame)
    await expect(frame.get_by_role("heading")).to_have_text("Your browser did not keep our cookie")
    await page.close()
