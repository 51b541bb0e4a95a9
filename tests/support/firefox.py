"""Debian's Firefox, driven by Playwright over WebDriver BiDi. Run as a program, it stands between the two.

Playwright tells Firefox the colour scheme of each new profile, by a command that Firefox 153 does not know: that
one is answered here. And it runs each of its scripts as if somebody had just clicked, so that a page could open
popups whenever a test looks at it: that is taken out. All else goes through as it is.
"""

import asyncio
import json
import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from playwright.async_api import Browser, async_playwright
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

FIREFOX = Path("/usr/bin/firefox-esr")
UNKNOWN = "emulation.setMediaFeaturesOverride"
LISTENING = re.compile(rb"WebDriver BiDi listening on (ws://\S+)")
"""What Firefox says on its standard error, and Playwright waits for."""
PREFERENCES: dict[str, str | float | bool] = {
    "dom.disable_open_during_load": True,  # popups are blocked, as visitors have it; driven, Firefox opens them
    "fission.autostart": False,  # or a driver's click in another site's frame would not get there
}


@asynccontextmanager
async def driven(folder: Path) -> AsyncIterator[Browser]:
    """A headless Firefox. Playwright wants a program without arguments, which is made in this folder."""
    program = folder / "firefox"
    program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, __file__])} "$@"\n', "utf-8")
    program.chmod(0o700)
    async with async_playwright() as playwright:
        browser = await playwright.firefox.launch(
            executable_path=program, channel="moz-firefox", firefox_user_prefs=PREFERENCES
        )
        yield browser
        await browser.close()


async def main(arguments: list[str]) -> int:
    """Firefox with these arguments, and the way to it; its exit code."""
    running = await asyncio.create_subprocess_exec(FIREFOX, *arguments, stderr=asyncio.subprocess.PIPE)
    assert running.stderr is not None
    address = ""
    async for line in running.stderr:
        if found := LISTENING.search(line):
            address = found[1].decode()
            break

    async def between(playwright: ServerConnection) -> None:
        assert playwright.request is not None
        async with connect(address + playwright.request.path, max_size=None, compression=None) as browser:
            ways = {
                asyncio.create_task(each) for each in (_asked(playwright, browser), _told(browser, playwright))
            }
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)

    async with serve(between, "127.0.0.1", 0, max_size=None, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        sys.stderr.write(f"WebDriver BiDi listening on ws://127.0.0.1:{port}\n")
        sys.stderr.flush()
        async for _ in running.stderr:  # if nobody read it, Firefox would stand still one day
            pass
        return await running.wait()


async def _asked(playwright: ServerConnection, browser: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in playwright:
            asked = json.loads(message)
            if asked["method"] == UNKNOWN:
                await playwright.send(json.dumps({"type": "success", "id": asked["id"], "result": {}}))
            else:
                asked["params"].pop("userActivation", None)
                await browser.send(json.dumps(asked))


async def _told(browser: ClientConnection, playwright: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in browser:
            await playwright.send(message)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
