"""The pages somebody meets on the way in and out, on the screens and in the colours they may have."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, ViewportSize, expect

from oauth_proxy.demo.people import EDITOR, GUEST
from tests.support.chromium import AtBrowser, at_browser, choose, press, see
from tests.support.proxy import STUDIO, Stage, on_stage
from tests.support.readability import assert_readable, picture

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SCREENS = {"phone": ViewportSize(width=390, height=844), "desktop": ViewportSize(width=1280, height=800)}
BEHIND = {"/": "TOOL", "/frameio/": {"url": "FRAMEIO", "host": "upstream"}, "/render/": "http://127.0.0.1:1"}


@asynccontextmanager
async def studio(chromium: Browser, **options: Any) -> AsyncIterator[tuple[Stage, AtBrowser]]:
    """A proxy that lets in the studio's people only, and somebody at a browser. The browser goes first."""
    pages = {"name": "Studio review"}
    async with (
        on_stage(access=STUDIO, upstreams=BEHIND, pages=pages) as stage,
        at_browser(chromium, **options) as somebody,
    ):
        yield stage, somebody


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
async def test_every_page_on_the_way_is_readable(
    chromium: Browser, screen: str, colours: Literal["light", "dark"]
) -> None:
    options = {"viewport": SCREENS[screen], "has_touch": screen == "phone", "color_scheme": colours}
    async with studio(chromium, **options) as (stage, somebody):
        page = await somebody.open(f"{stage.url}/oauth2/sign_in")

        async def look(name: str, heading: str) -> None:
            await see(page, heading)
            await picture(page, f"{name}-{screen}-{colours}")
            await assert_readable(page)

        await look("sign-in", "Sign in")
        await page.get_by_role("link", name="Sign in with Frame.io").click()
        await look("frameio-login", "Sign in")
        await choose(page, GUEST)
        await look("frameio-consent", "Allow Studio review?")
        await press(page, "Deny")
        await look("consent-refused", "You did not allow access")
        assert somebody.complained("status of 403")
        await page.get_by_role("link", name="Try again").click()
        await press(page, "Allow")
        await look("not-allowed", "You do not have access")
        assert somebody.complained("status of 403")
        await page.get_by_role("link", name="Sign in as somebody else").click()
        await press(page, "Use another account")
        await somebody.sign_in(page)
        await see(page, "Studio review")
        await page.get_by_role("button", name="Call the API").click()
        await expect(page.locator("#api-result")).to_contain_text(EDITOR.email)
        await expect(page.locator("#feed li").nth(1)).to_be_visible()
        await look("tool", "Studio review")
        await page.goto(f"{stage.url}/render/7")
        await look("tool-down", "The tool is not answering")
        assert somebody.complained("status of 502")
        await page.goto(f"{stage.url}/oauth2/sign_out")
        await look("signed-out", "You are signed out")


@pytest.mark.parametrize("scripts", [True, False])
async def test_who_may_not_enter_is_told_as_whom_and_can_come_as_somebody_else(
    chromium: Browser, scripts: bool
) -> None:
    async with studio(chromium, java_script_enabled=scripts) as (stage, somebody):
        page = await somebody.open(f"{stage.url}/?shot=12")
        await choose(page, GUEST)
        async with page.expect_response(f"{stage.url}/?shot=12") as refusing:
            await press(page, "Allow")
        assert (await refusing.value).status == 403
        await see(page, "You do not have access")
        assert somebody.complained("status of 403")
        await expect(page.get_by_role("definition")).to_have_text([GUEST.name, GUEST.email])
        assert not stage.tool_requests

        await page.get_by_role("link", name="Sign in as somebody else").click()
        await press(page, "Use another account")
        await somebody.sign_in(page, EDITOR)
        await see(page, "Studio review")
        await expect(page.locator("#who")).to_have_text(EDITOR.name)
