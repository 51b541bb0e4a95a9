"""What a session is to somebody at a browser: out of reach of scripts, shared by tabs, and one day over."""

import asyncio
import json
import re

import pytest
from playwright.async_api import Browser, Page, Response, expect

from oauth_proxy.demo.people import EDITOR
from tests.support.chromium import AtBrowser, at_browser, choose, path_of, press, see
from tests.support.proxy import on_stage
from tests.support.units import WEEK_AND_A_DAY

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

TOKEN = re.compile(r"[\w-]{43}\.[\w-]{43}")  # the emulator's access and refresh tokens of v2, whoever's they are

STORED = "() => JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])"
FETCH = """async () => {
    const answer = await fetch("/echo");
    return [answer.status, answer.headers.get("X-OAuth-Proxy"), await answer.json()];
}"""


async def test_a_page_calls_the_api_as_the_visitor_and_no_token_ever_comes_near_it(
    somebody: AtBrowser, demo_url: str
) -> None:
    heard = _listen_to_everything(somebody)
    page = await somebody.arrive(f"{demo_url}/")
    await page.get_by_role("button", name="Call the API").click()
    await expect(page.locator("#api-result")).to_contain_text(EDITOR.email)
    await expect(page.locator("#api-result")).to_contain_text(EDITOR.account_id)

    # What the tool receives, asked outside of the page: this is what must not be found.
    received = await (await somebody.context.request.get(f"{demo_url}/echo")).json()
    token = dict(received["headers"])["Authorization"].removeprefix("Bearer ")
    assert TOKEN.fullmatch(token)

    stored = await page.evaluate(STORED)
    assert json.loads(stored) == ["", {}, {}]
    known = [await page.content(), *await asyncio.gather(*heard)]
    assert sum(EDITOR.email in text for text in known) >= 3  # the login, the tool's page, the API's answer
    assert not [text for text in known if TOKEN.search(text)]
    cookies = await somebody.context.cookies(demo_url)
    assert cookies
    assert all(cookie["httpOnly"] for cookie in cookies)
    assert token not in json.dumps(cookies)


async def test_five_tabs_opened_at_once_by_a_stranger_all_land_on_their_own_targets(
    somebody: AtBrowser, demo_url: str
) -> None:
    asked = [f"/?tab={number}" for number in range(5)]
    tabs = await asyncio.gather(*(somebody.open(demo_url + path) for path in asked))
    # Five first visits at once are five browsers to Frame.io's login until they are loaded again.
    await asyncio.gather(*(tab.reload() for tab in tabs))
    await choose(tabs[0], EDITOR)
    await press(tabs[0], "Allow")
    for tab in tabs[1:]:
        await tab.reload()  # Frame.io knows the person by now
        await press(tab, "Allow")
    for tab, path in zip(tabs, asked, strict=True):
        await see(tab, "Studio review")
        assert path_of(tab) == path


async def test_a_page_whose_session_ran_out_loses_its_streams_and_is_told_where_the_login_is(
    chromium: Browser,
) -> None:
    async with on_stage() as stage, at_browser(chromium) as somebody:
        asked = f"{stage.url}/?shot=12"
        page = await somebody.arrive(asked)
        await expect(page.locator("#clock-status")).to_have_text("Connected. UTC.")
        await expect(page.locator("#feed-status")).to_have_text("Connected.")
        stage.clock.advance(WEEK_AND_A_DAY)
        await expect(page.locator("#clock-status")).to_contain_text("The connection has ended.")
        await expect(page.locator("#feed-status")).to_contain_text("The feed has ended.")
        somebody.complaints.clear()  # about its streams

        status, mark, answer = await page.evaluate(FETCH)
        assert (status, mark, answer["error"]) == (401, "answer", "sign_in_required")
        assert somebody.complained("status of 401")
        await page.goto(answer["login_url"])
        await _consent_again(page)
        assert page.url == asked


async def test_who_comes_back_after_the_session_ran_out_goes_through_the_login(chromium: Browser) -> None:
    async with on_stage() as stage, at_browser(chromium) as somebody:
        asked = f"{stage.url}/?shot=12"
        page = await somebody.arrive(asked)
        await page.goto("about:blank")
        stage.clock.advance(WEEK_AND_A_DAY)
        await page.goto(asked)
        await _consent_again(page)
        assert page.url == asked


async def _consent_again(page: Page) -> None:
    await press(page, "Allow")
    await see(page, "Studio review")


def _listen_to_everything(somebody: AtBrowser) -> list[asyncio.Task[str]]:
    """The text of every answer the browser gets from now on: address, body where it ends."""
    heard: list[asyncio.Task[str]] = []
    somebody.context.on("response", lambda response: heard.append(asyncio.ensure_future(_text(response))))
    return heard


async def _text(response: Response) -> str:
    whole = response.status == 200 and response.headers.get("content-type") != "text/event-stream"
    return response.url + "\n" + ((await response.body()).decode("latin-1") if whole else "")
