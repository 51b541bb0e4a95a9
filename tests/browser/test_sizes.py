"""Our pages on the smallest and the largest screens, on paper, by the keyboard, and from right to left."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, ViewportSize, expect

from oauth_proxy.pages.languages import DIRECTION
from tests.pages.test_languages import bring
from tests.support.chromium import AtBrowser, at_browser, see
from tests.support.proxy import on_stage
from tests.support.readability import assert_readable, picture

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SMALL, LARGE = ViewportSize(width=320, height=568), ViewportSize(width=3840, height=2160)
EDGES = "element => { const box = element.getBoundingClientRect(); return [box.left, innerWidth - box.right] }"


async def test_a_page_fits_320_pixels_and_4k_and_paper_and_its_way_on_is_reached_by_the_keyboard(
    chromium: Browser, somebody: AtBrowser
) -> None:
    async with on_stage() as stage:
        page = await somebody.open(f"{stage.url}/oauth2/none-of-ours-with-a-long-name-{'x' * 200}")
        assert somebody.complained("status of 404")
        for name, size in (("320", SMALL), ("4k", LARGE)):
            await page.set_viewport_size(size)
            await picture(page, f"not-found-{name}")
            await assert_readable(page)
            left, right = await page.locator("main").evaluate(EDGES)
            assert left == pytest.approx(right, abs=1), "in the middle"
        await expect(page.locator("a.button")).to_be_visible()
        await page.emulate_media(media="print")
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await expect(page.locator("a.button")).to_be_hidden()  # on paper there is nothing to press
        await page.emulate_media(media="screen")
        await page.goto(f"{stage.url}/oauth2/sign_in?rd=/reel/7")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Sign in with Frame.io")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page).to_have_title("Sign in · Emulated Frame.io")


async def test_a_language_that_is_written_from_right_to_left_is_shown_so(
    chromium: Browser, tmp_path: Path
) -> None:
    bring(tmp_path, "ar", {"Sign in": "تسجيل الدخول", DIRECTION: "default:RTL"})
    async with (
        on_stage(pages={"templates": str(tmp_path)}) as stage,
        at_browser(chromium, locale="ar-EG", viewport=SMALL) as somebody,
    ):
        page = await somebody.open(f"{stage.url}/oauth2/sign_in?rd=/reel/7")
        await see(page, "تسجيل الدخول")
        await picture(page, "sign-in-rtl")
        assert await starts_at_the_right(page)


async def starts_at_the_right(page: Page) -> bool:
    """Whether the first line of the heading begins at the right edge of its box."""
    return bool(
        await page.get_by_role("heading", level=1).evaluate(
            """heading => {
                const words = document.createRange();
                words.selectNodeContents(heading);
                return words.getBoundingClientRect().right > heading.getBoundingClientRect().right - 2;
            }"""
        )
    )
