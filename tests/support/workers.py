"""A tool with a service worker of one kind or another, and somebody at a browser that has it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from playwright.async_api import Browser, Page, expect

from oauth_proxy.demo.people import EDITOR
from tests.support.chromium import AtBrowser, at_browser, choose, press, see
from tests.support.proxy import Stage, on_stage
from tests.support.units import DAY

WEEK_AND_A_DAY = 8 * DAY  # seconds; a session's default lifetime is a week
FRAGMENT = "#at=00:01:02&note=a%20b"

_PAGE = """<!doctype html><title>Shots</title><link rel="icon" href="data:,"><h1>Shots</h1>
<p id="kept"></p><script>kept.textContent = localStorage.kept ??= "a draft"</script>"""
_BEGIN = """
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", event => event.waitUntil(clients.claim()));
"""
_REGISTER = """async path => {
    await navigator.serviceWorker.register(path);
    await navigator.serviceWorker.ready;
    while (!navigator.serviceWorker.controller) await new Promise(resolve => setTimeout(resolve, 10));
}"""


def a_tool(worker: str, files: Mapping[str, str], policy: str | None) -> web.Application:
    """Its pages are all the same. `files` are more scripts, by path; `policy` is the Referrer-Policy."""

    async def script(request: web.Request) -> web.Response:
        text = files.get(request.path, _BEGIN + worker)
        headers = {"Referrer-Policy": policy} if policy else None
        return web.Response(text=text, content_type="text/javascript", headers=headers)

    async def data(request: web.Request) -> web.Response:
        return web.json_response({"shots": 12})

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html")

    app = web.Application()
    for path in ("/sw.js", *files):
        app.router.add_get(path, script)
    app.router.add_get("/api/shots", data)
    app.router.add_get("/{path:.*}", page)
    return app


@asynccontextmanager
async def at_worker(
    chromium: Browser, worker: str, files: Mapping[str, str] | None = None, policy: str | None = None
) -> AsyncIterator[tuple[Stage, AtBrowser, Page]]:
    """Somebody who is signed in, in whose browser the tool's worker is at work."""
    async with on_stage(tool=a_tool(worker, files or {}, policy)) as stage, at_browser(chromium) as somebody:
        page = await somebody.arrive(f"{stage.url}/")
        await page.evaluate(_REGISTER, "/sw.js")
        await page.goto(f"{stage.url}/first")
        await expect(page).to_have_title("Shots")
        yield stage, somebody, page


async def comes_to_the_login_and_back(stage: Stage, page: Page, *, known: bool) -> None:
    """Open a page, and come through the login to it; `known` is whether Frame.io knows who it is."""
    asked = f"{stage.url}/reel?shot=12{FRAGMENT}"
    await page.goto("about:blank")
    await page.goto(asked, wait_until="commit")
    if not known:
        await choose(page, EDITOR)
    await press(page, "Allow")
    await see(page, "Shots")
    await expect(page).to_have_url(asked)
    await expect(page.locator("#kept")).to_have_text("a draft")
    assert await page.evaluate("navigator.serviceWorker.controller !== null")
