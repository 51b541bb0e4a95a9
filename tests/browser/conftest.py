"""Debian's Chromium, driven by Playwright, and the demo in front of it."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from tests.support.chromium import AtBrowser, at_browser
from tests.support.demo import demo
from tests.support.units import PATIENCE

CHROMIUM = Path("/usr/bin/chromium")
# The last --disable-features holds, so the first of these repeat what Playwright has for Chromium on Linux, but
# ThirdPartyStoragePartitioning: browsers have that. The last three are parts of the address bar that nobody sees.
# For each window Chromium makes a page for each of them, which takes more CPU time than the page under test.
_OFF = (
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades"),
    *("HttpsFirstBalancedModeAutoEnable", "LensOverlay", "MediaRouter", "PaintHolding"),
    *("AvoidCorsURLLoaderRestartOnRedirect", "OptimizationHints", "NetworkTimeServiceQuerying", "AimEnabled"),
    *("PreconnectToSearch", "WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup"),
)
ARGUMENTS = (
    f"--disable-features={','.join(_OFF)}",
    "--no-sandbox",  # CI is root, and Chromium's sandbox refuses root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # Nothing but the page under test goes to the network.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def executable() -> Path:
    """Where Chromium is. A machine without it skips these tests, and CI fails them."""
    if not CHROMIUM.exists():
        missing = f"{CHROMIUM} is not there: install Debian's package chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return CHROMIUM


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium(executable: Path) -> AsyncIterator[Browser]:
    """A browser for a module's tests, each of which takes a profile of its own in it."""
    expect.set_options(timeout=1000 * PATIENCE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def somebody(chromium: Browser) -> AsyncIterator[AtBrowser]:
    """Somebody at a browser of their own, a stranger to the proxy and to Frame.io."""
    async with at_browser(chromium) as stranger:
        yield stranger


@pytest.fixture(scope="session")
def demo_url(executable: Path) -> Iterator[str]:
    """Where a demo of Frame.io v2 is, without a slash at the end. It ends by Ctrl+C, as it should."""
    with demo("v2") as running:
        yield running.url
        assert running.interrupt() == 0


@pytest.fixture(scope="session")
def demo_v4_url(executable: Path) -> Iterator[str]:
    """The same for v4."""
    with demo("v4") as running:
        yield running.url
        assert running.interrupt() == 0
