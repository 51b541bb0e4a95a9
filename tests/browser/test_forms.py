"""Forms in a real browser: what was typed when the session had ended, or the tool was away, is not lost."""

import pytest
from playwright.async_api import Browser, FilePayload, Page, expect

from oauth_proxy.demo.people import EDITOR, REVIEWER, Person
from tests.browser.test_sign_out import elsewhere
from tests.support.chromium import AtBrowser, at_browser, choose, press, see
from tests.support.form_tool import FormTool, a_form
from tests.support.proxy import Stage, on_stage, serving
from tests.support.units import WEEK_AND_A_DAY

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

LISTEN = """() => {
    window.told = new Promise(resolve => {
        new BroadcastChannel("oauth-proxy").onmessage = event => resolve(event.data.type);
    });
}"""
OPEN = """() => { window.open("/oauth2/start?rd=/oauth2/signed_in", "", "popup,width=500,height=700") }"""

FORM = """<form method=post action="/save?a={x}&b=%7Bx%7D|" enctype="ENCTYPE">
<textarea name=text>
WORDS
two "quoted" &amp; 'x' &lt;b></textarea>
<input type=password name=secret value="s3cret~*-._+ %">
<input name=tag value=1><input name=tag value=2><input name=tag>
<input name=_charset_ type=hidden><input name=isindex value=i>
<input name='"><img src=x onerror=alert(1)>' value="&lt;script>alert(1)&lt;/script>">
<input name="back\\slash%22" value="c:\\x">
<input name=submit value=s><input name=action value=a><input name=addEventListener value=e>
<input name=" spaced " value="  spaces  ">
<input type=file name=photo multiple><input type=file name=none>
<button name=go value=now>Save</button></form>"""
PHOTOS = [
    FilePayload(name="a b.png", mimeType="image/png", buffer=b"\0\r\n--x" * 1000),
    FilePayload(name="c.txt", mimeType="text/plain", buffer=b"c"),
]
URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


def a_page(enctype: str = URLENCODED, words: str = "one") -> str:
    return FORM.replace("ENCTYPE", enctype).replace("WORDS", words)


async def save(page: Page, enctype: str) -> None:
    if enctype == MULTIPART:
        await page.locator("input[name=photo]").set_input_files(PHOTOS)
    await page.get_by_role("button", name="Save").click()


async def sign_in_beside(page: Page, person: Person | None = None, link: str = "Sign in in a new window") -> None:
    """By the page's link, in the window that it opens; as `person`, if somebody else was signed in at Frame.io."""
    async with page.expect_popup() as opening:
        await page.get_by_role("link", name=link).click()
    popup = await opening.value
    async with popup.expect_event("close"):
        if person is not None:
            await press(popup, "Use another account")
            await choose(popup, person)
        await press(popup, "Allow")


def comes_to(somebody: AtBrowser, status: int, times: int = 1) -> None:
    """Chromium complains of these answers; that is settled."""
    assert [f"status of {status}" in complaint for complaint in somebody.complaints] == [True] * times
    somebody.complaints.clear()


in_each_encoding = pytest.mark.parametrize(
    ("charset", "enctype", "words"),
    [
        ("utf-8", URLENCODED, "ä € 😀"),
        ("utf-8", "text/plain", "ä=€ 😀"),
        ("shift_jis", URLENCODED, "日本語 ソ表"),
        ("koi8-r", MULTIPART, "Привет"),
    ],
)


async def assert_sent_again_as_it_was(somebody: AtBrowser, stage: Stage, tool: FormTool, enctype: str) -> None:
    """A form is sent with a session and, after a login beside the page, without one: the bytes are the same."""
    page = await somebody.arrive(f"{stage.url}/form")
    await save(page, enctype)
    await see_received(page)
    await page.goto(f"{stage.url}/form")
    stage.clock.advance(WEEK_AND_A_DAY)
    await save(page, enctype)
    await see(page, "Please sign in")
    assert "s3cret" not in await page.locator("body").inner_text()
    assert await page.locator("img").count() == 0
    await sign_in_beside(page)
    await expect(page.get_by_text("You are signed in now.")).to_be_visible()
    if enctype == MULTIPART:
        await page.locator("input[name=photo]").set_input_files(PHOTOS)
    await page.get_by_role("button", name="Send it again").click()
    await see_received(page)
    first, second = tool.sent
    assert second.comparable == first.comparable


@in_each_encoding
async def test_what_was_typed_reaches_the_tool_byte_for_byte_after_a_login_beside_the_page(
    chromium: Browser, charset: str, enctype: str, words: str
) -> None:
    async with a_form(a_page(enctype, words), charset=charset) as (stage, tool), at_browser(chromium) as somebody:
        await assert_sent_again_as_it_was(somebody, stage, tool, enctype)
        comes_to(somebody, 401)


async def test_somebody_else_who_signs_in_beside_the_page_is_told_before_it_is_sent_as_them(
    chromium: Browser,
) -> None:
    async with a_form(a_page()) as (stage, tool), at_browser(chromium) as somebody:
        page = await somebody.arrive(f"{stage.url}/form")
        stage.clock.advance(WEEK_AND_A_DAY)
        await save(page, URLENCODED)
        await sign_in_beside(page, REVIEWER)
        await page.get_by_role("button", name="Send it again").click()
        await see(page, "Check who is signed in now")
        await expect(page.get_by_text(REVIEWER.email)).to_be_visible()
        assert not tool.sent
        await sign_in_beside(page, EDITOR, "Sign in as somebody else")
        await page.get_by_role("button", name="Send it again").click()
        await see(page, "Check who is signed in now")  # since the page was for the Reviewer
        await expect(page.get_by_text(EDITOR.email)).to_be_visible()
        await page.get_by_role("button", name="Send it again").click()
        await see_received(page)
        assert [sent.user for sent in tool.sent] == [EDITOR.id]
        somebody.complaints.clear()  # of 401 and 409


async def test_a_tool_that_was_away_gets_it_when_it_is_back(chromium: Browser) -> None:
    async with a_form(a_page()) as (stage, tool), at_browser(chromium) as somebody:
        page = await somebody.arrive(f"{stage.url}/form")
        await tool.stop()
        await save(page, URLENCODED)
        await see(page, "The tool is not answering")
        await expect(page.get_by_text("What you sent has not reached the tool.")).to_be_visible()
        await page.get_by_role("button", name="Send it again").click()
        await see(page, "The tool is not answering")
        comes_to(somebody, 502, times=2)
        await tool.start()
        await page.get_by_role("button", name="Send it again").click()
        await see_received(page)
        assert len(tool.sent) == 1


async def test_all_of_it_works_without_scripts(chromium: Browser) -> None:
    async with (
        a_form(a_page(MULTIPART)) as (stage, tool),
        at_browser(chromium, java_script_enabled=False) as somebody,
    ):
        page = await somebody.arrive(f"{stage.url}/form")
        stage.clock.advance(WEEK_AND_A_DAY)
        await save(page, MULTIPART)
        await see(page, "Please sign in")
        comes_to(somebody, 401)
        async with page.expect_popup() as opening:
            await page.get_by_role("link", name="Sign in in a new window").click()
        tab = await opening.value
        await press(tab, "Allow")
        await see(tab, "You are signed in")
        await expect(tab.get_by_text(EDITOR.email)).to_be_visible()
        await tab.close()
        await page.locator("input[name=photo]").set_input_files(PHOTOS)
        await page.get_by_role("button", name="Send it again").click()
        await see_received(page)
        assert len(tool.sent) == 1


async def test_what_another_sites_form_sent_is_not_given_back(chromium: Browser) -> None:
    async with a_form("<p>A form.") as (stage, tool), at_browser(chromium) as somebody:
        await (await somebody.arrive(f"{stage.url}/form")).close()
        form = (
            f"<form method=post action={stage.url}/save><input name=a value=forged><button>Onward</button></form>"
        )
        async with serving(elsewhere(form)) as url:
            page = await somebody.open(url)
            await page.get_by_role("button", name="Onward").click()
            await see(page, "This form came from another site")
        comes_to(somebody, 401)
        assert "forged" not in await page.content()
        await page.get_by_role("link", name="Open this site").click()
        await expect(page).to_have_title("A form")  # signed in all along
        assert not tool.sent


async def see_received(page: Page) -> None:
    await expect(page).to_have_title("Received")


async def test_a_login_in_a_popup_tells_the_page_that_waits_and_closes_the_popup(chromium: Browser) -> None:
    async with on_stage() as stage, at_browser(chromium) as somebody:
        page = await somebody.open(f"{stage.url}/oauth2/sign_in")
        await page.evaluate(LISTEN)
        async with page.expect_popup() as opening:
            await page.evaluate(OPEN)
        popup = await opening.value
        async with popup.expect_event("close"):
            await somebody.sign_in(popup)
        assert await page.evaluate("() => window.told") == "signed-in"
