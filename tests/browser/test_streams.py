"""What the script of a page sees of WebSockets and EventSources: why one ended, and that the other comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from playwright.async_api import Browser, Page

from tests.support.chromium import AtBrowser, at_browser
from tests.support.proxy import WANTED, Stage, free_port, on_stage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SOCKET = """([path, protocols]) => new Promise(done => {
    const socket = new WebSocket(`ws://${location.host}${path}`, protocols);
    socket.onclose = ({code, reason, wasClean}) => done([code, reason, wasClean, socket.protocol]);
})"""
FEED = """() => {
    window.heard = [];
    window.feed = new EventSource("/feed");
    feed.onmessage = ({data}) => heard.push(data);
}"""


class Studio:
    """A tool with one page, WebSockets and an event stream; it can stop and come back at the same address."""

    def __init__(self) -> None:
        self._port = free_port()
        self._runner: web.AppRunner | None = None
        self.starts = 0
        self.half = False
        """Whether its events have a second line that never ends."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        app = web.Application()
        app.add_routes([web.get("/feed", self._feed), web.get("/socket", self._socket), web.get("/", self._page)])
        self._runner = web.AppRunner(app, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self.starts += 1

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return web.Response(
            text="<!doctype html><title>Studio</title><link rel=icon href=data:,>", content_type="text/html"
        )

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(f"retry: 50\ndata: start {self.starts}\n\n{'data: half' * self.half}".encode())
        await asyncio.sleep(3600)
        return answer

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("chat",))
        await socket.prepare(request)
        while (await socket.receive()).type is WSMsgType.TEXT:
            pass
        return socket


@asynccontextmanager
async def at_the_studio(chromium: Browser, **changes: Any) -> AsyncIterator[tuple[Studio, Stage, AtBrowser]]:
    """The tool behind a proxy, its page public, and a stranger at a browser."""
    studio = Studio()
    await studio.start()
    plain: dict[str, Any] = {"access": {"public": ["GET /"]}, "upstreams": {"/": studio.url}}
    try:
        async with on_stage(**(plain | changes)) as stage, at_browser(chromium) as somebody:
            yield studio, stage, somebody
    finally:
        await studio.stop()


async def signed_in(stage: Stage, somebody: AtBrowser) -> Page:
    """The tool's page, at the browser of the Editor."""
    page = await somebody.open(f"{stage.url}/oauth2/start?rd=/")
    await somebody.sign_in(page)
    await page.wait_for_url(f"{stage.url}/")
    return page


async def closed(page: Page, path: str = "/socket", *protocols: str) -> list[object]:
    """The code and reason a script sees, whether the end was clean, and the subprotocol."""
    found: list[object] = await page.evaluate(SOCKET, [path, list(protocols)])
    return found


async def assert_told_why(browser: Browser) -> None:
    """A stranger's script reads why its WebSocket is refused, also if it asks for a subprotocol."""
    async with at_the_studio(browser) as (_, stage, somebody):
        page = await somebody.open(f"{stage.url}/")
        assert await closed(page) == [4401, "sign_in_required", True, ""]
        # Without one of the names it asked for, Chromium would say 1006.
        assert await closed(page, "/socket", "chat", "v2") == [4401, "sign_in_required", True, "chat"]


async def test_a_strangers_script_reads_why_its_socket_is_refused(chromium: Browser) -> None:
    await assert_told_why(chromium)


async def test_who_may_not_get_there_and_whose_tool_is_away_read_so_too(chromium: Browser) -> None:
    narrow = {"url": "http://127.0.0.1:1", "allow": [{"email": "reviewer@studio.example.com"}]}
    studio = Studio()
    await studio.start()
    upstreams = {"/": studio.url, "/narrow/": narrow}
    try:
        async with at_the_studio(chromium, upstreams=upstreams) as (_, stage, somebody):
            page = await signed_in(stage, somebody)
            assert await closed(page, "/narrow/socket") == [4403, "not_allowed", True, ""]
            await studio.stop()
            assert await closed(page) == [4502, "upstream_unreachable", True, ""]
    finally:
        await studio.stop()


async def assert_comes_back(browser: Browser) -> None:
    """An EventSource whose tool was away for a while goes on by itself."""
    async with at_the_studio(browser) as (studio, stage, somebody):
        page = await signed_in(stage, somebody)
        await page.evaluate(FEED)
        await page.wait_for_function("heard.length === 1")
        async with page.expect_response("**/feed") as told:
            await studio.stop()
        assert (await (await told.value).all_headers())["x-oauth-proxy"] == "answer"
        assert await page.evaluate("feed.readyState") != 2
        await studio.start()
        await page.wait_for_function("heard.length === 2")
        assert await page.evaluate("heard") == ["start 1", "start 2"]
        somebody.complaints.clear()  # of the stream that the tool broke off


async def test_an_event_source_comes_back_after_its_tool_was_away(chromium: Browser) -> None:
    await assert_comes_back(chromium)


@pytest.mark.parametrize("half", [False, True])
async def test_an_event_source_whose_session_ended_gets_no_half_event_and_stops_asking(
    chromium: Browser, half: bool
) -> None:
    async with at_the_studio(chromium) as (studio, stage, somebody):
        studio.half = half
        page = await signed_in(stage, somebody)
        await page.evaluate(FEED)
        await page.wait_for_function("heard.length === 1")
        cookies = await somebody.context.cookies(stage.url)
        line = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in cookies)
        assert (await stage.ask("/oauth2/sign_out", f"Cookie: {line}", WANTED)).status == 200
        await stage.proxy.look()
        await page.wait_for_function("feed.readyState === EventSource.CLOSED")
        assert await page.evaluate("heard") == ["start 1"]
        assert any("401" in complaint for complaint in somebody.complaints)
        somebody.complaints.clear()
