"""/oauth2/session.js in a real browser, on a page that would lose what is typed there if it were left."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page, expect

from oauth_proxy.demo.people import EDITOR, GUEST
from tests.support.browser import Visitor
from tests.support.chromium import AtBrowser, at_browser, press, see, untouched
from tests.support.proxy import Stage, on_stage, serving
from tests.support.single_page import ELSEWHERE, Notes
from tests.support.units import WEEK_AND_A_DAY

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

TYPED = "nothing of this may be lost"
TOLD = "() => window.told.map(([type]) => type)"
TOLD_WHY = "() => window.told.map(([, detail]) => detail.reason)"


@dataclass
class Place:
    """A stage, and the tool on it."""

    stage: Stage
    notes: Notes


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Place]:
    notes = Notes()
    public = ["/", "/app.js"]  # a page that a stranger may have: only its calls need a session
    async with on_stage(tool=notes.app(), access={"public": public}) as stage:
        yield Place(stage, notes)


async def signed_in(somebody: AtBrowser, stage: Stage) -> None:
    """Give the browser the cookies of a login, which is quicker than to have it go there itself."""
    async with Visitor() as visitor:
        await visitor.login(f"{stage.url}/oauth2/start?rd=/oauth2/sign_in")
        await somebody.context.add_cookies(
            [
                {"name": each.key, "value": each.value, "domain": each["domain"], "path": each["path"] or "/"}
                for each in visitor.cookies
            ]
        )


@asynccontextmanager
async def typing(chromium: Browser, place: Place, page: str = "/") -> AsyncIterator[tuple[AtBrowser, Page]]:
    """Somebody who is signed in has typed a text; then their session has ended. Our 401s are no complaint."""
    async with at_browser(chromium) as somebody:
        await signed_in(somebody, place.stage)
        tab = await somebody.open(f"{place.stage.url}{page}")
        await tab.get_by_label("Note").fill(TYPED)
        await tab.wait_for_function("() => oauthProxy.info().then(who => who.id)")
        place.stage.clock.advance(WEEK_AND_A_DAY)
        yield somebody, tab
        somebody.complaints = [each for each in somebody.complaints if "status of 401" not in each]


@pytest.mark.parametrize("page", ["/", "/?module"])
async def test_a_click_whose_session_has_ended_opens_one_popup_and_loses_nothing(
    chromium: Browser, place: Place, page: str
) -> None:
    async with typing(chromium, place, page) as (somebody, tab):
        place.notes.asked.clear()
        async with tab.expect_popup() as opening:
            await tab.get_by_role("button", name="Save").click()
        popup = await opening.value
        await expect(popup).to_have_title(re.compile("^Allow"))
        assert await popup.evaluate("() => window.opener") is None, "Frame.io's page cannot reach this one"
        async with popup.expect_event("close"):
            await press(popup, "Allow")
        for said in (TYPED, f"Request: {TYPED}", "GET"):
            await expect(tab.get_by_role("status")).to_contain_text(said)
        assert place.notes.asked == {"POST": 2, "GET": 1}
        assert len(somebody.context.pages) == 1, "one popup for three calls"
        assert await tab.get_by_label("Note").input_value() == TYPED


async def test_a_call_that_no_click_made_asks_for_one_in_a_dialog_that_every_policy_lets_in(
    chromium: Browser, place: Place
) -> None:
    async with at_browser(chromium) as somebody:
        tab = await somebody.context.new_page()
        await untouched(tab, f"{place.stage.url}/?asks")
        assert await tab.evaluate(TOLD_WHY) == ["click"]
        dialog = tab.get_by_role("dialog", name="Sign in")
        await expect(dialog).to_contain_text("Your session has ended.")
        assert len(somebody.context.pages) == 1
        async with tab.expect_popup() as opening:
            await dialog.get_by_role("button", name="Sign in").click()
        await somebody.sign_in(await opening.value)
        await expect(tab.get_by_role("status")).to_have_text("GET")
        await expect(dialog).to_have_count(0)
        assert all("status of 401" in each for each in somebody.complaints)
        somebody.complaints.clear()


async def test_a_browser_that_blocks_popups_is_told_of_and_there_is_the_way_by_this_page(
    chromium: Browser, place: Place
) -> None:
    async with typing(chromium, place) as (_, tab):
        await tab.evaluate("() => { window.open = () => null }")  # what a browser answers that blocks it
        await tab.get_by_role("button", name="Save").click()
        dialog = tab.get_by_role("dialog", name="Sign in")
        await expect(dialog).to_contain_text("Your browser blocked the window to sign in.")
        await dialog.get_by_role("link", name="Sign in on this page").click()
        await press(tab, "Allow")
        await see(tab, "Notes")
        await expect(tab).to_have_url(f"{place.stage.url}/")


async def test_a_popup_that_is_closed_leaves_the_choice_and_not_now_gives_the_401_once(
    chromium: Browser, place: Place
) -> None:
    async with typing(chromium, place) as (_, tab):
        async with tab.expect_popup() as opening:
            await tab.get_by_role("button", name="Save").click()
        await (await opening.value).close()
        dialog = tab.get_by_role("dialog", name="Sign in")
        await expect(dialog).to_contain_text("The window to sign in was closed.")
        await dialog.get_by_role("button", name="Not now").click()
        await expect(tab.get_by_role("status")).to_have_text("401 | 401 | 401")
        await expect(dialog).to_have_count(0)
        assert await tab.get_by_label("Note").input_value() == TYPED


async def test_a_popup_that_never_comes_back_is_waited_for_for_ten_minutes(
    chromium: Browser, place: Place
) -> None:
    async with at_browser(chromium) as somebody:
        tab = await somebody.context.new_page()
        await tab.clock.install()
        await tab.goto(f"{place.stage.url}/")
        async with tab.expect_popup() as opening:
            await tab.get_by_role("button", name="Save").click()
        popup = await opening.value
        await tab.clock.fast_forward("09:50")
        assert await tab.get_by_role("status").text_content() == ""
        await tab.clock.fast_forward("00:15")
        await expect(tab.get_by_role("status")).to_have_text("401 | 401 | 401")
        await somebody.sign_in(popup)  # late, and good for what comes next
        await tab.get_by_role("button", name="Save").click()
        await expect(tab.get_by_role("status")).to_contain_text("GET")
        somebody.complaints.clear()


async def test_what_was_typed_by_one_is_not_sent_as_another(chromium: Browser, place: Place) -> None:
    async with typing(chromium, place) as (somebody, tab):
        place.notes.asked.clear()
        async with tab.expect_popup() as opening:
            await tab.get_by_role("button", name="Save").click()
        popup = await opening.value
        await popup.get_by_role("button", name="Use another account").click()
        await somebody.sign_in(popup, GUEST)
        await expect(tab.get_by_role("status")).to_have_text("401 | 401 | 401")
        assert not place.notes.asked
        assert "changed" in await tab.evaluate(TOLD)


async def test_the_login_of_another_tab_is_enough(chromium: Browser, place: Place) -> None:
    async with typing(chromium, place) as (somebody, tab):
        async with tab.expect_popup() as opening:
            await tab.get_by_role("button", name="Save").click()
        await opening.value
        other = await somebody.open(f"{place.stage.url}/oauth2/start?rd=/oauth2/signed_in")
        await press(other, "Allow")
        await expect(tab.get_by_role("status")).to_contain_text(TYPED)


async def test_a_call_that_is_given_up_does_not_wait_for_the_login(chromium: Browser, place: Place) -> None:
    async with at_browser(chromium) as somebody:
        tab = await somebody.open(f"{place.stage.url}/")
        ended = await tab.evaluate(
            """async () => {
                oauthProxy.addEventListener("needed", (event) => event.preventDefault());
                window.open = () => null;
                const abort = new AbortController();
                setTimeout(() => abort.abort(), 100);
                return oauthProxy.fetch("/api/save", {signal: abort.signal}).catch((error) => error.name);
            }"""
        )
        assert ended == "AbortError"
        assert await tab.locator("dialog").count() == 0, "the page said that it asks by itself"
        somebody.complaints.clear()


async def test_the_tools_own_401_and_other_sites_answers_pass(chromium: Browser, place: Place) -> None:
    async def answer(_: web.Request) -> web.Response:
        headers = {
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Expose-Headers": "*",
            "X-OAuth-Proxy": "answer",
            "WWW-Authenticate": 'Bearer realm="x"',
        }
        return web.Response(status=401, headers=headers)

    elsewhere = web.Application()
    elsewhere.router.add_get("/", answer)
    async with at_browser(chromium) as somebody, serving(elsewhere) as url:
        await signed_in(somebody, place.stage)
        tab = await somebody.open(f"{place.stage.url}/")
        for address in ("/api/own", f"{url}/"):
            ask = "(address) => oauthProxy.fetch(address).then(answer => answer.status)"
            assert await tab.evaluate(ask, address) == 401
        assert await tab.evaluate(TOLD) == []
        assert len(somebody.context.pages) == 1
        somebody.complaints.clear()


async def test_a_page_is_told_minutes_before_the_end_and_at_it(chromium: Browser) -> None:
    async with (
        on_stage(tool=Notes().app(), session={"lifetime": "1h"}) as stage,
        at_browser(chromium) as somebody,
    ):
        tab = await somebody.context.new_page()
        await tab.clock.install()
        await tab.goto(f"{stage.url}/")
        await somebody.sign_in(tab)
        await tab.wait_for_function("() => oauthProxy.info().then(who => who.id)")
        await tab.clock.fast_forward("54:00")
        assert await tab.evaluate(TOLD) == []
        stage.clock.advance(55 * 60)
        await tab.clock.fast_forward("01:01")
        await tab.wait_for_function("() => told.length == 1")
        assert await tab.evaluate("() => told[0]") == ["ends", {"seconds": 300, "idle": False}]
        stage.clock.advance(5 * 60 + 1)
        await tab.clock.fast_forward("05:02")
        await tab.wait_for_function("() => told.length == 2")
        assert await tab.evaluate(TOLD) == ["ends", "ended"]
        assert somebody.complained("status of 401")


async def test_to_sign_out_tells_every_tab(chromium: Browser, place: Place) -> None:
    async with at_browser(chromium) as somebody:
        await signed_in(somebody, place.stage)
        tab = await somebody.open(f"{place.stage.url}/")
        other = await somebody.open(f"{place.stage.url}/")
        for each in (tab, other):
            await each.wait_for_function("() => oauthProxy.info().then(who => who.id)")
        await tab.evaluate("() => oauthProxy.signOut()")
        for each in (tab, other):
            await each.wait_for_function("() => told.some(([type]) => type == 'ended')")
        assert await other.evaluate("() => oauthProxy.info()") is None
        somebody.complaints.clear()


async def test_on_a_page_of_another_site_the_script_does_nothing_but_say_so(
    chromium: Browser, place: Place
) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text=ELSEWHERE.format(url=place.stage.url), content_type="text/html")

    elsewhere = web.Application()
    elsewhere.router.add_get("/", page)
    async with at_browser(chromium) as somebody, serving(elsewhere) as url:
        tab = await somebody.open(url)
        assert somebody.complained("session.js is for pages of its own site")
        assert await tab.evaluate("() => typeof oauthProxy") == "undefined"


async def test_the_demos_tool_calls_the_api_again_after_the_login(chromium: Browser) -> None:
    upstreams = {"/": "TOOL", "/frameio/": "FRAMEIO"}
    async with on_stage(upstreams=upstreams) as stage, at_browser(chromium) as somebody:
        await signed_in(somebody, stage)
        tab = await somebody.open(f"{stage.url}/")
        stage.clock.advance(WEEK_AND_A_DAY)
        async with tab.expect_popup() as opening:
            await tab.get_by_role("button", name="Call the API").click()
        await press(await opening.value, "Allow")
        await expect(tab.locator("#api-result")).to_contain_text(EDITOR.email)
        somebody.complaints.clear()  # about its streams, and the 401
