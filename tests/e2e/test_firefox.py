"""Debian's Firefox, where it could differ from Chromium: what visitors meet, and what a page's script sees."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from oauth_proxy.demo.people import EDITOR
from oauth_proxy.session.attempts import MOST_SIGNED_IN
from tests.browser.test_forms import a_page, assert_sent_again_as_it_was, in_each_encoding
from tests.browser.test_fragments import NOISE
from tests.browser.test_frames import framed
from tests.browser.test_service_workers import KEEPS_ALL
from tests.browser.test_session_script import TYPED
from tests.browser.test_streams import assert_comes_back, assert_told_why
from tests.support.chromium import AtBrowser, at_browser, press, see, untouched
from tests.support.demo import demo
from tests.support.firefox import FIREFOX, driven
from tests.support.form_tool import a_form
from tests.support.proxy import on_stage
from tests.support.single_page import Notes
from tests.support.units import PATIENCE, WEEK_AND_A_DAY
from tests.support.workers import at_worker
from tests.test_fragments import FRAGMENT

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def firefox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    if not FIREFOX.exists():
        pytest.skip(f"{FIREFOX} is not there: install Debian's package firefox-esr")
    expect.set_options(timeout=1000 * PATIENCE)
    async with driven(tmp_path_factory.mktemp("firefox")) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def somebody(firefox: Browser) -> AsyncIterator[AtBrowser]:
    """A stranger. Firefox's driver does not tell of statuses, so that a complaint is always a fault of ours."""
    async with at_browser(firefox) as stranger:
        yield stranger


@pytest.fixture(scope="module")
def demo_url() -> Iterator[str]:
    with demo("v4") as running:
        yield running.url
        assert running.interrupt() == 0


async def test_a_link_with_a_long_query_and_a_fragment_leads_back_to_where_it_led(
    somebody: AtBrowser, demo_url: str
) -> None:
    asked = f"{demo_url}/?shot=12{NOISE[:6000]}{FRAGMENT}"
    page = await somebody.context.new_page()
    await page.goto(f"{demo_url}/oauth2/sign_in")
    await page.goto(asked)
    await expect(page).to_have_title("Sign in · Emulated Frame.io")
    assert await page.evaluate("location.hash + document.referrer") == ""
    await page.go_back()  # not into our page, which would lead here again
    await see(page, "Sign in")
    await page.go_forward()
    await somebody.sign_in(page)
    await see(page, "Studio review")
    assert await page.evaluate("location.href") == asked


@in_each_encoding
async def test_what_was_typed_reaches_the_tool_byte_for_byte_after_a_login_beside_the_page(
    somebody: AtBrowser, charset: str, enctype: str, words: str
) -> None:
    async with a_form(a_page(enctype, words), charset=charset) as (stage, tool):
        await assert_sent_again_as_it_was(somebody, stage, tool, enctype)


async def test_a_click_whose_session_has_ended_opens_one_popup_and_a_call_without_one_asks_first(
    somebody: AtBrowser,
) -> None:
    notes = Notes()
    async with on_stage(tool=notes.app(), access={"public": ["/", "/app.js"]}) as stage:
        page = await somebody.context.new_page()
        await untouched(page, f"{stage.url}/?asks")
        dialog = page.get_by_role("dialog", name="Sign in")
        await expect(dialog).to_contain_text("Your session has ended.")
        async with page.expect_popup() as opening:
            await dialog.get_by_role("button", name="Sign in").click()
        await somebody.sign_in(await opening.value)
        await expect(page.get_by_role("status")).to_have_text("GET")
        await page.get_by_label("Note").fill(TYPED)
        stage.clock.advance(WEEK_AND_A_DAY)
        notes.asked.clear()
        async with page.expect_popup() as opening:
            await page.get_by_role("button", name="Save").click()
        popup = await opening.value
        async with popup.expect_event("close"):
            await press(popup, "Allow")
        for said in (TYPED, f"Request: {TYPED}", "GET"):
            await expect(page.get_by_role("status")).to_contain_text(said)
        assert notes.asked == {"POST": 2, "GET": 1}
        assert await page.get_by_label("Note").input_value() == TYPED


async def test_a_strangers_script_reads_why_its_socket_is_refused(firefox: Browser) -> None:
    await assert_told_why(firefox)


async def test_an_event_source_comes_back_after_its_tool_was_away(firefox: Browser) -> None:
    await assert_comes_back(firefox)


async def test_a_browser_in_german_is_answered_in_german(firefox: Browser, demo_url: str) -> None:
    async with at_browser(firefox, locale="de-DE") as somebody:
        page = await somebody.open(f"{demo_url}/oauth2/sign_in")
        await see(page, "Anmelden")
        assert await page.locator("html").get_attribute("lang") == "de"
        await page.get_by_role("link", name="Mit Frame.io anmelden").click()
        await somebody.sign_in(page)
        await expect(page.locator("dd").first).to_have_text(EDITOR.email)


async def test_a_frame_is_signed_in_by_a_window_and_loses_nothing_when_its_session_ends(
    firefox: Browser, tmp_path: Path
) -> None:
    async with (
        at_browser(firefox, ignore_https_errors=True) as somebody,
        framed(somebody.context, tmp_path) as place,
    ):
        page, frame = await place.open()
        await place.sign_in(page, frame)
        await expect(frame.get_by_role("heading")).to_have_text("Notes")
        await frame.get_by_label("Note").fill(TYPED)
        place.stage.clock.advance(WEEK_AND_A_DAY)
        await frame.get_by_role("button", name="Save").click()
        await place.sign_in(page, frame.get_by_role("dialog").frame_locator("iframe"), is_known=True)
        await expect(frame.get_by_role("status")).to_contain_text(TYPED)
        outside = await page.goto(f"{place.url}/oauth2/userinfo")
        assert outside is not None
        assert outside.status == 401, "the session is the portal's"
        await somebody.context.close()  # a proxy that stops would wait for its connections


async def test_without_partitioned_cookies_the_frame_says_what_the_browser_does(
    firefox: Browser, tmp_path: Path
) -> None:
    session = {"cookie": {"same_site": "none", "partitioned": "false"}}
    async with (
        at_browser(firefox, ignore_https_errors=True) as somebody,
        framed(somebody.context, tmp_path, session=session) as place,
    ):
        page, frame = await place.open()
        await place.sign_in(page, frame)
        await expect(frame.get_by_role("heading")).to_have_text("Your browser did not keep our cookie")
        await somebody.context.close()


async def test_a_worker_that_keeps_our_page_for_ever_ends_in_a_sentence_and_signs_nobody_out(
    firefox: Browser,
) -> None:
    async with at_worker(firefox, KEEPS_ALL) as (stage, somebody, page):
        stage.clock.advance(WEEK_AND_A_DAY)
        await page.goto(f"{stage.url}/reel", wait_until="commit")
        for _ in range(MOST_SIGNED_IN):
            async with page.expect_request("**/oauth2/callback?**"):  # or the same button would be pressed twice
                await press(page, "Allow")
        await see(page, "You are signed in, and your browser shows an old page")
        answer = await somebody.context.request.get(f"{stage.url}/oauth2/userinfo")
        assert answer.status == 200
        assert all("/favicon.ico" in each for each in somebody.complaints), "which our pages do not let it fetch"
        somebody.complaints.clear()
