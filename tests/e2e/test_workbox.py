"""Workbox with its defaults, and a page that it keeps at its installation: the browser still ends at the login."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.support.workers import FRAGMENT, WEEK_AND_A_DAY, at_worker, comes_to_the_login_and_back

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

VERSION = "7.4.1"
PARTS = ("core", "routing", "strategies", "precaching")
KEPT = """async () => {
    const caching = (await caches.keys()).map(async name => (await caches.open(name)).keys());
    return (await Promise.all(caching)).flat().map(request => request.url);
}"""
NAVIGATIONS = "({request}) => request.mode === 'navigate'"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Workbox's builds from npm, by the path under which the tool has them."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("workbox")
    names = [f"workbox-{part}@{VERSION}" for part in PARTS]
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", *names]
    subprocess.run(command, cwd=folder, check=True, timeout=300)  # noqa: S603
    return {f"/workbox-{part}.js": _build(folder, part) for part in PARTS}


def _build(folder: Path, part: str) -> str:
    return (folder / f"node_modules/workbox-{part}/build/workbox-{part}.prod.js").read_text("utf-8")


def worker(rules: str) -> str:
    scripts = ", ".join(f'"/workbox-{part}.js"' for part in PARTS)
    return f"importScripts({scripts}); {rules}"


def route(strategy: str) -> str:
    return f"workbox.routing.registerRoute({NAVIGATIONS}, new workbox.strategies.{strategy}());"


STRATEGIES = {
    "NetworkFirst": route("NetworkFirst"),
    "NetworkOnly": route("NetworkOnly"),
    "StaleWhileRevalidate": route("StaleWhileRevalidate"),
    "CacheFirst": route("CacheFirst"),
    "default handler": "workbox.routing.setDefaultHandler(new workbox.strategies.NetworkFirst());",
}


@pytest.mark.parametrize("rules", STRATEGIES.values(), ids=STRATEGIES)
async def test_a_page_that_workbox_fetches_leads_to_the_login_and_back(
    chromium: Browser, files: Mapping[str, str], rules: str
) -> None:
    async with at_worker(chromium, worker(rules), files) as (stage, somebody, page):
        stage.clock.advance(WEEK_AND_A_DAY)
        await comes_to_the_login_and_back(stage, page, known=True)
        kept = await page.evaluate(KEPT)
        assert not [url for url in kept if "/oauth2/" in url], kept
        stage.clock.advance(WEEK_AND_A_DAY)
        await page.goto("about:blank")
        await page.goto(f"{stage.url}/oauth2/start?rd=/reel")
        await page.get_by_role("button", name="Allow").click()
        await expect(page).to_have_url(f"{stage.url}/reel")
        somebody.complaints.clear()


async def test_a_page_that_workbox_kept_at_its_installation_is_shown_without_us(
    chromium: Browser, files: Mapping[str, str]
) -> None:
    """Nobody asks us for the page; its script meets the 401."""
    rules = """workbox.precaching.precacheAndRoute([{url: "/shell", revision: "1"}]);
        workbox.routing.registerRoute(new workbox.routing.NavigationRoute(
            workbox.precaching.createHandlerBoundToURL("/shell"), {denylist: [/^[/]oauth2[/]/]}));"""
    async with at_worker(chromium, worker(rules), files) as (stage, somebody, page):
        stage.clock.advance(WEEK_AND_A_DAY)
        await page.goto(f"{stage.url}/reel?shot=12{FRAGMENT}")
        await expect(page).to_have_title("Shots")
        assert await page.evaluate("async () => (await fetch('/api/shots')).status") == 401
        await page.goto(f"{stage.url}/oauth2/start?rd=/reel")
        await page.get_by_role("button", name="Allow").click()
        await expect(page).to_have_url(f"{stage.url}/reel")
        somebody.complaints.clear()
