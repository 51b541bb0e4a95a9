"""The demo's page on which things go wrong on purpose, tried as it says."""

import re
from collections.abc import AsyncIterator
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, FilePayload, Page, expect

from oauth_proxy.demo.people import EDITOR
from tests.browser.test_forms import sign_in_beside
from tests.browser.test_pages import SCREENS
from tests.support.chromium import SLOW_CLOSE, AtBrowser, at_browser, press, see
from tests.support.readability import assert_readable, picture

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

ENDED = "Your session has ended. This page is still here."
FILE = FilePayload(name="a.png", mimeType="image/png", buffer=b"\0\r\n--x")
SAME = "Note and password are what you typed, byte for byte."


@pytest.fixture(scope="module")
def url(demo_url: str) -> str:
    """Where the page is."""
    return f"{demo_url}/trouble"


@pytest.fixture(scope="module")
def v4_url(demo_v4_url: str) -> str:
    """Where it is in the demo of v4."""
    return f"{demo_v4_url}/trouble"


@pytest_asyncio.fixture(loop_scope="module")
async def somebody(chromium: Browser) -> AsyncIterator[AtBrowser]:
    """Somebody whose browser complains of the trouble that is made, and of nothing else."""
    async with at_browser(chromium) as visitor:
        yield visitor
        made = re.compile("status of (401|409|502)|ERR_INCOMPLETE_CHUNKED|WebSocket connection to")
        visitor.complaints = [each for each in visitor.complaints if not made.search(each)]


async def end(page: Page) -> None:
    await page.get_by_role("button", name="End my session").click()
    await expect(page.locator("#session")).to_have_text(ENDED)


@pytest.mark.parametrize("api", ["v2", "v4"])
async def test_a_form_that_met_the_end_of_the_session_arrives_byte_for_byte(
    somebody: AtBrowser, url: str, v4_url: str, api: str
) -> None:
    page = await somebody.arrive(url if api == "v2" else v4_url)
    await page.get_by_label("Note", exact=True).fill('Scene 3\n  ä € 😀 "<b>')
    await page.get_by_label("A password").fill("s3cret %&")
    await page.get_by_label("A file of at most 16 MiB").set_input_files(FILE)
    await end(page)
    await page.get_by_role("button", name="Send").click()
    await see(page, "Please sign in")
    await picture(page, f"form-given-back-{api}")
    await assert_readable(page)
    await sign_in_beside(page)
    await page.locator("input[type=file]").set_input_files(FILE)
    await page.get_by_role("button", name="Send it again").click()
    await see(page, "Check who is signed in now")  # after a sign-out nobody knows whose form it was
    await page.locator("input[type=file]").set_input_files(FILE)
    await page.get_by_role("button", name="Send it again").click()
    await see(page, "Your note arrived")
    await expect(page.get_by_text(SAME)).to_be_visible()
    await expect(page.locator("dd").last).to_contain_text("a.png, 6 bytes")
    await picture(page, f"trouble-arrived-{api}")
    await assert_readable(page)


async def test_an_operators_end_is_told_to_the_page_and_the_form_is_known(
    somebody: AtBrowser, v4_url: str
) -> None:
    page = await somebody.arrive(v4_url)
    await page.get_by_label("Note", exact=True).fill("kept")
    async with somebody.context.expect_page() as opening:
        await page.get_by_role("link", name="status page").click()
    await (await opening.value).get_by_role("button").first.click()
    await page.bring_to_front()
    await expect(page.locator("#socket")).to_contain_text("closed: 4401 session ended")
    await expect(page.locator("#session")).to_have_text(ENDED)
    await page.get_by_role("button", name="Send").click()
    await sign_in_beside(page)
    await page.get_by_role("button", name="Send it again").click()
    await see(page, "Your note arrived")
    await expect(page.get_by_text(SAME)).to_be_visible()


async def test_a_link_leads_back_to_its_fragment(somebody: AtBrowser, url: str) -> None:
    page = await somebody.arrive(url)
    await end(page)
    async with somebody.context.expect_page() as opening:
        await page.get_by_role("link", name="Open frame 48 of shot 12").click()
    tab = await opening.value
    await press(tab, "Allow")
    await expect(tab).to_have_url(f"{url}?shot=12#frame-48")
    await expect(tab.locator(":target")).to_have_text("This is frame 48. You came with ?shot=12#frame-48")
    await expect(tab.locator(":target")).to_be_in_viewport()


async def test_a_call_is_sent_again_after_a_login_in_a_popup_and_the_page_stays(
    somebody: AtBrowser, v4_url: str
) -> None:
    page = await somebody.arrive(v4_url)
    await page.get_by_label("Note", exact=True).fill("not lost")
    await end(page)
    async with page.expect_popup() as opening:
        await page.get_by_role("button", name="Save").click()
    await press(await opening.value, "Allow")
    await expect(page.locator("#call-result")).to_contain_text('"path": "/echo/note"')
    await expect(page.locator("#session")).to_contain_text(f"Signed in as {EDITOR.name} until ")
    assert await page.get_by_label("Note", exact=True).input_value() == "not lost"
    await expect(page.locator("#socket li").last).to_have_text("connected")
    await expect(page.locator("#heard")).to_contain_text("event ")


async def test_another_tab_is_told_of_the_end_and_goes_on_after_the_login(somebody: AtBrowser, url: str) -> None:
    page = await somebody.arrive(url)
    other = await somebody.open(url)
    await expect(other.locator("#session")).to_contain_text("Signed in as ")
    await end(page)
    await expect(other.locator("#session")).to_have_text(ENDED)
    async with other.expect_popup() as opening:
        await other.get_by_role("button", name="Sign in").click()
    await press(await opening.value, "Allow")
    await expect(other.locator("#session")).to_contain_text("Signed in as ")
    await expect(other.locator("#socket li").last).to_have_text("connected")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as who comes back to it does
    await expect(page.locator("#session")).to_contain_text("Signed in as ")


async def test_the_clock_goes_on_though_its_end_is_heard_of_after_the_next_login(
    somebody: AtBrowser, url: str
) -> None:
    page = await somebody.arrive(url)
    await page.add_init_script(SLOW_CLOSE)
    await page.reload()
    await expect(page.locator("#socket li").last).to_have_text("connected")
    await end(page)
    async with page.expect_popup() as opening:
        await page.get_by_role("button", name="Sign in").click()
    await press(await opening.value, "Allow")
    await expect(page.locator("#session")).to_contain_text("Signed in as ")
    await page.evaluate("() => hearOfTheEnd()")
    await expect(page.locator("#socket li")).to_have_text(["connected", "closed: 4401 session ended", "connected"])


async def test_the_form_needs_no_script(chromium: Browser, url: str) -> None:
    async with at_browser(chromium, java_script_enabled=False) as somebody:
        page = await somebody.arrive(url)
        await page.get_by_label("Note", exact=True).fill("kept")
        tab = await somebody.open(f"{url}?out")
        await tab.get_by_role("link", name="Sign out").click()
        await see(tab, "You are signed out")
        await page.get_by_role("button", name="Send").click()
        await see(page, "Please sign in")
        async with page.expect_popup() as opening:
            await page.get_by_role("link", name="Sign in in a new window").click()
        await press(await opening.value, "Allow")
        await see(await opening.value, "You are signed in")
        await page.get_by_role("button", name="Send it again").click()
        await page.get_by_role("button", name="Send it again").click()
        await see(page, "Your note arrived")
        await expect(page.locator("#note")).to_have_text("kept")
        assert len(somebody.complaints) == 2, "401 and 409"
        somebody.complaints.clear()


async def test_a_socket_reads_why_it_is_closed_and_comes_back_after_the_login(
    somebody: AtBrowser, url: str
) -> None:
    page = await somebody.arrive(url)
    lines = page.locator("#socket li")
    await expect(lines).to_have_text(["connected"])
    await end(page)
    await expect(lines).to_have_text(["connected", "closed: 4401 session ended"])
    await page.get_by_role("button", name="Connect again").click()
    await expect(lines.last).to_have_text("closed: 4401 sign_in_required")
    async with page.expect_popup() as opening:
        await page.get_by_role("button", name="Sign in").click()
    await press(await opening.value, "Allow")
    await expect(lines).to_have_count(4)
    await expect(lines.last).to_have_text("connected")
    await expect(page.locator("#heard")).to_contain_text("event ")


async def test_a_tool_that_is_away_comes_back_to_pages_that_waited(somebody: AtBrowser, v4_url: str) -> None:
    page = await somebody.arrive(v4_url)
    await expect(page.locator("#heard")).to_contain_text("event ")
    await page.get_by_label("Note", exact=True).fill("kept")
    await page.locator("#away").evaluate("button => { button.dataset.seconds = 5 }")
    await page.get_by_role("button", name="Take the tool away").click()
    await expect(page.locator("#heard")).to_have_text("The feed was cut. Connecting again…")
    other = await somebody.open(v4_url)
    await see(other, "The tool is not answering")
    await expect(page.locator("#away-status")).to_have_text("The tool is here again.")
    await expect(page.locator("#heard")).to_contain_text("event ")
    await expect(page.locator("#socket")).to_contain_text("closed: 1001")
    await expect(page.locator("#socket li").last).to_have_text("connected")
    await other.get_by_role("link", name="Try again").click()
    await see(other, "Try what goes wrong")


@pytest.mark.parametrize(("screen", "colours"), [("phone", "dark"), ("desktop", "light")])
async def test_the_page_is_readable_and_its_parts_are_reached_by_the_keyboard(
    chromium: Browser, url: str, screen: str, colours: Literal["light", "dark"]
) -> None:
    options = {"viewport": SCREENS[screen], "has_touch": screen == "phone", "color_scheme": colours}
    async with at_browser(chromium, **options) as somebody:
        page = await somebody.arrive(url)
        await expect(page.locator("#heard")).to_contain_text("event ")
        await picture(page, f"trouble-{screen}-{colours}")
        await assert_readable(page)
        await page.get_by_role("button", name="End my session").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Sign in")).to_be_focused()
        await assert_readable(page)
        somebody.complaints.clear()  # of what the end of the session cut
