"""Somebody follows a link with a fragment, or a very long one, and after the login is where it led."""

import pytest
from playwright.async_api import Browser, expect

from oauth_proxy.paths import LONGEST_RETURN
from tests.support.chromium import AtBrowser, at_browser, see
from tests.test_fragments import FRAGMENT

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

NOISE = "".join(f"&k{i:04x}=%{i % 256:02X}{(i * 2654435761) % 2**32:08x}" for i in range(600))


async def test_a_fragment_comes_back_and_frame_io_does_not_see_it(somebody: AtBrowser, demo_url: str) -> None:
    page = await somebody.context.new_page()
    await page.goto(f"{demo_url}/oauth2/sign_in")
    asked = f"{demo_url}/?shot=12{FRAGMENT}"
    await page.goto(asked)
    await expect(page).to_have_title("Sign in · Emulated Frame.io")
    assert await page.evaluate("location.hash") == ""  # browsers hand a fragment on through redirects
    assert await page.evaluate("document.referrer") == ""
    await page.go_back()  # not into our page, which would lead here again
    await see(page, "Sign in")
    assert page.url == f"{demo_url}/oauth2/sign_in"
    await page.go_forward()
    await somebody.sign_in(page)
    await see(page, "Studio review")
    assert page.url == asked
    assert await page.evaluate("location.hash") == FRAGMENT


@pytest.mark.parametrize("rest", [f"/?a=b#{NOISE}", "/?" + "&=" * 3000 + FRAGMENT])
async def test_an_address_of_8_kib_comes_back_whole(somebody: AtBrowser, demo_url: str, rest: str) -> None:
    asked = (demo_url + rest)[:LONGEST_RETURN]
    page = await somebody.context.new_page()
    await page.goto(f"{demo_url}/oauth2/sign_in")
    await page.goto(asked)
    await expect(page).to_have_title("Sign in · Emulated Frame.io")
    await page.go_back()
    assert page.url == f"{demo_url}/oauth2/sign_in"
    await page.go_forward()
    await somebody.sign_in(page)
    await see(page, "Studio review")
    assert await page.evaluate("location.href") == asked


async def test_without_scripts_the_login_comes_by_itself_and_a_long_address_by_a_button(
    chromium: Browser, demo_url: str
) -> None:
    async with at_browser(chromium, java_script_enabled=False) as somebody:
        page = await somebody.context.new_page()
        await page.goto(f"{demo_url}/?shot=12")
        await somebody.sign_in(page)
        await expect(page).to_have_url(f"{demo_url}/?shot=12")
        await somebody.context.clear_cookies(name="oauth_proxy")
        asked = f"{demo_url}/?a=b{NOISE}"[:LONGEST_RETURN]
        await page.goto(asked)
        await see(page, "Sign in")
        await page.get_by_role("button", name="Sign in with Frame.io").click()
        await page.get_by_role("button", name="Allow").click()
        await expect(page).to_have_url(asked)


async def test_who_waits_for_the_login_sees_nothing_flash_and_after_a_second_a_way_on(
    somebody: AtBrowser, demo_url: str
) -> None:
    page = await somebody.context.new_page()
    await page.clock.install()
    await page.route("**/oauth2/start**", lambda route: route.fulfill(status=204))  # the browser stays here
    await page.goto(f"{demo_url}/#shot=12", wait_until="commit")
    way_on = page.get_by_role("link", name="Sign in with Frame.io")
    await expect(way_on).to_be_hidden()
    await expect(page.locator("header")).to_be_hidden()
    await page.clock.fast_forward(1000)
    await see(page, "Sign in")
    await page.unroute_all()
    await way_on.click()
    await expect(page).to_have_title("Sign in · Emulated Frame.io")
