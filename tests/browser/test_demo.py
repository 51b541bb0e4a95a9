"""The demo, as somebody sees it who has just typed `make demo`."""

import hashlib
import re
import secrets
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from oauth_proxy.demo.people import EDITOR, REVIEWER
from tests.support.chromium import AtBrowser, at_browser, choose, path_of, press, see
from tests.support.demo import demo, living

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

PATTERN = (bytes(range(251)) * 41_777)[: 10 * 2**20]


async def test_a_stranger_signs_in_consents_and_lands_on_the_path_and_query_asked_for(
    somebody: AtBrowser, demo_url: str
) -> None:
    asked = "/?project=7&filter=%C3%A9%20b&empty="
    page = await somebody.open(demo_url + asked)
    await choose(page, REVIEWER)
    scopes = page.get_by_role("listitem")
    await expect(scopes).to_have_text(["offline", "account.read"])
    await press(page, "Allow")
    await see(page, "Studio review")
    assert path_of(page) == asked
    await expect(page.locator("#who")).to_have_text("Reviewer")
    await expect(page.locator("dd")).to_have_text([REVIEWER.email, REVIEWER.id])


async def test_the_clock_ticks_over_a_websocket_of_the_proxy(somebody: AtBrowser, demo_url: str) -> None:
    page = await somebody.open(demo_url)
    async with page.expect_websocket() as opening:
        await somebody.sign_in(page)
    assert (await opening.value).url == demo_url.replace("http", "ws", 1) + "/clock"
    clock = page.locator("#clock")
    await expect(clock).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    await expect(clock).not_to_have_text(await clock.inner_text())


async def test_the_feed_grows_event_by_event(somebody: AtBrowser, demo_url: str) -> None:
    page = await somebody.arrive(f"{demo_url}/")
    # The newest stands on top: the third can only come after the first two were shown.
    for number in (1, 2, 3):
        await expect(page.locator("#feed li").first).to_have_text(re.compile(f"^event {number} at "))


async def test_a_file_reaches_the_tool_as_it_was(somebody: AtBrowser, demo_url: str) -> None:
    page = await somebody.arrive(f"{demo_url}/")
    content = secrets.token_bytes(3 * 2**20 + 1)
    await page.get_by_label("A file of any size").set_input_files(
        {"name": "reel.bin", "mimeType": "application/octet-stream", "buffer": content}
    )
    await page.get_by_role("button", name="Upload").click()
    result = page.locator("#upload-result")
    await expect(result).to_contain_text(hashlib.sha256(content).hexdigest())
    await expect(result).to_contain_text(str(len(content)))


async def test_a_download_arrives_whole(somebody: AtBrowser, demo_url: str, tmp_path: Path) -> None:
    page = await somebody.arrive(f"{demo_url}/")
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Download 10 MiB").click()
    download = await downloading.value
    assert download.suggested_filename == "pattern.bin"
    await download.save_as(tmp_path / "pattern.bin")
    assert (tmp_path / "pattern.bin").read_bytes() == PATTERN


async def test_signed_out_is_signed_out_until_one_signs_in_again(somebody: AtBrowser, demo_url: str) -> None:
    page = await somebody.arrive(f"{demo_url}/")
    await page.get_by_role("link", name="Sign out").click()
    await see(page, "You are signed out")
    await page.go_back()
    await expect(page).to_have_title("Allow Studio review? · Emulated Frame.io")  # and not the tool from a cache
    await page.goto(f"{demo_url}/oauth2/sign_out")
    await page.get_by_role("link", name="Sign in again").click()
    await press(page, "Allow")
    await see(page, "Studio review")
    assert path_of(page) == "/"


async def test_who_does_not_consent_is_told_so_and_can_think_again(somebody: AtBrowser, demo_url: str) -> None:
    page = await somebody.open(f"{demo_url}/?shot=12")
    await choose(page, EDITOR)
    await press(page, "Deny")
    await see(page, "You did not allow access")
    assert somebody.complained("status of 403")
    await page.get_by_role("link", name="Try again").click()
    await press(page, "Allow")
    await see(page, "Studio review")
    assert path_of(page) == "/?shot=12"


async def test_the_demo_of_v4_leads_through_adobe_s_login_to_the_same_tool(
    somebody: AtBrowser, demo_v4_url: str
) -> None:
    page = await somebody.open(f"{demo_v4_url}/?shot=12")
    assert path_of(page).startswith("/ims/authorize/v2?")
    await somebody.sign_in(page)
    await see(page, "Studio review")
    assert path_of(page) == "/?shot=12"
    await page.get_by_role("button", name="Call the API").click()
    await expect(page.locator("#api-result")).to_contain_text(EDITOR.email)
    await expect(page.locator("#clock-status")).to_have_text("Connected. UTC.")
    await expect(page.locator("#feed-status")).to_have_text("Connected.")
    await page.get_by_role("link", name="Sign out").click()
    await see(page, "You are signed out")


async def test_the_login_needs_no_script(chromium: Browser, demo_url: str) -> None:
    async with at_browser(chromium, java_script_enabled=False) as somebody:
        page = await somebody.open(f"{demo_url}/oauth2/sign_in?rd=/?shot=12")
        await page.get_by_role("link", name="Sign in with Frame.io").click()
        await choose(page, EDITOR)
        await press(page, "Deny")
        await see(page, "You did not allow access")
        assert somebody.complained("status of 403")
        await page.get_by_role("link", name="Try again").click()
        await press(page, "Allow")
        await see(page, "Studio review")
        assert path_of(page) == "/?shot=12"
        await expect(page.locator("#who")).to_have_text("Editor")
        await page.get_by_role("link", name="Sign out").click()
        await page.get_by_role("link", name="Sign in again").click()
        await press(page, "Allow")
        await see(page, "Studio review")


async def test_ctrl_c_ends_the_demo_and_all_it_started(chromium: Browser) -> None:
    with demo("v2") as running:
        children = running.children()
        assert len(children) == 2, "the worker, and the cast"
        async with at_browser(chromium) as somebody:
            await somebody.arrive(f"{running.url}/")
        assert running.interrupt() == 0
        assert not children & living()


async def test_ctrl_c_ends_the_demo_and_all_it_started_though_its_page_is_open(chromium: Browser) -> None:
    with demo("v2") as running:
        children = running.children()
        assert len(children) == 2, "the worker, and the cast"
        async with at_browser(chromium) as somebody:
            page = await somebody.arrive(f"{running.url}/")
            await expect(page.locator("#clock-status")).to_have_text("Connected. UTC.")
            await expect(page.locator("#feed-status")).to_have_text("Connected.")
            assert running.interrupt() == 0
            assert not children & living()
            somebody.complaints.clear()  # about the connections it lost
