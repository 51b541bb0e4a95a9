"""A person at Chromium: pages, buttons pressed by their names, and everything the browser complained about."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urldefrag, urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, WebError, expect

from oauth_proxy.demo.people import EDITOR, Person
from tests.support.units import PATIENCE


class AtBrowser:
    """Somebody with a profile of their own.

    `complaints` are errors and warnings of the console: Content-Security-Policy violations, failed scripts, and
    answers of 400 and above, but for the 401 of a page on whose way to the login the browser is. Who expects one
    takes it out of the list; what is left at the end fails the test.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.complaints: list[str] = []
        self._opened: set[str] = set()
        context.set_default_timeout(1000 * PATIENCE)
        context.on("request", self._look)
        context.on("console", self._hear)
        context.on("weberror", self._hear_of)

    async def open(self, url: str) -> Page:
        """A new tab at this address, after every redirect."""
        page = await self.context.new_page()
        await page.goto(url)
        return page

    async def sign_in(self, page: Page, person: Person = EDITOR) -> None:
        """From Frame.io's login page, through the consent page, back to whoever sent the visitor there."""
        await choose(page, person)
        await press(page, "Allow")

    async def arrive(self, url: str, person: Person = EDITOR) -> Page:
        """A new tab at this address of the proxy, after the login a stranger has to go through."""
        page = await self.open(url)
        await self.sign_in(page, person)
        await expect(page).to_have_url(url)
        return page

    def complained(self, text: str) -> bool:
        """Whether the browser complained exactly once, in these words; the complaint is settled with that."""
        complaints, self.complaints = self.complaints, []
        return len(complaints) == 1 and text in complaints[0]

    def _look(self, request: Request) -> None:
        if request.is_navigation_request() and request.method == "GET":
            self._opened.add(urldefrag(request.url).url)

    def _hear(self, message: ConsoleMessage) -> None:
        is_way_on = "status of 401" in message.text and urldefrag(message.location["url"]).url in self._opened
        if message.type in ("error", "warning", "assert") and not is_way_on:
            self.complaints.append(f"{message.type}: {message.text} ({message.location['url']})")

    def _hear_of(self, error: WebError) -> None:
        self.complaints.append(f"uncaught: {error.error}")


@asynccontextmanager
async def at_browser(chromium: Browser, **options: Any) -> AsyncIterator[AtBrowser]:
    """Somebody in a fresh context (`options` are Playwright's new_context) whose browser had no complaint."""
    context = await chromium.new_context(**options)
    try:
        somebody = AtBrowser(context)
        yield somebody
        assert somebody.complaints == []
    finally:
        await context.close()


async def untouched(page: Page, url: str) -> None:
    """Go to that address, and wait until the console says "needed": a call of the page needs a login.

    Nothing is looked up in the page until then: whatever Playwright looks up counts as a click there.
    """
    async with page.expect_console_message(lambda message: message.text == "needed"):
        await page.goto(url)


async def choose(page: Page, person: Person) -> None:
    """Be that person, on Frame.io's login page."""
    await expect(page).to_have_title("Sign in · Emulated Frame.io")
    await page.get_by_role("button", name=person.name).click()


async def press(page: Page, button: str) -> None:
    """A button of Frame.io's consent page."""
    await expect(page).to_have_title(re.compile("^Allow .+ · Emulated Frame.io$"))
    await page.get_by_role("button", name=button).click()


async def see(page: Page, heading: str) -> None:
    """Wait until the page has this heading as its only one of the first level."""
    await expect(page.get_by_role("heading", level=1)).to_have_text(heading)


def path_of(page: Page) -> str:
    """Where the page is, from the path on."""
    parts = urlsplit(page.url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


SLOW_CLOSE = """
let hear, isHeard = false;
const heard = new Promise(resolve => { hear = resolve; });
globalThis.hearOfTheEnd = () => { isHeard = true; hear(); };
globalThis.WebSocket = class extends WebSocket {
    get readyState() { return isHeard ? super.readyState : Math.min(super.readyState, WebSocket.OPEN); }
    set onclose(told) { super.onclose = async event => { await heard; told(event); }; }
};
"""
"""A script for a page, to which its WebSockets seem open until `hearOfTheEnd()` is called."""
