"""A person with a browser, as far as the benchmark needs one: cookies, redirects, and the buttons of a login."""

import re
import ssl
from html import unescape
from types import TracebackType
from typing import Self

from aiohttp import ClientResponse, ClientSession, CookieJar, TCPConnector
from yarl import URL

NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "none",
}
"""What a browser says when somebody follows a link (Fetch Metadata)."""


class Visitor:
    """A browser of one's own, which trusts what `ca_file` has signed; an async context manager."""

    def __init__(self, ca_file: str) -> None:
        self._cookies = CookieJar(unsafe=True, quote_cookie=False)
        trust = ssl.create_default_context(cafile=ca_file)
        self._session = ClientSession(
            cookie_jar=self._cookies, connector=TCPConnector(ssl=trust), headers=NAVIGATION
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def follow(self, url: str | URL) -> ClientResponse:
        """A navigation, and the redirects after it."""
        return await self._session.get(url)

    async def send(self, url: str | URL, form: dict[str, str]) -> ClientResponse:
        """A form, and the redirects after it."""
        return await self._session.post(url, data=form)

    async def login(self, url: str) -> ClientResponse:
        """From a page of the proxy through Frame.io's pages to wherever that ends; the last answer."""
        page = await self.follow(url)
        if led := re.search('http-equiv="refresh" content="0;url=([^"]+)"', await page.text()):
            page = await self.follow(URL(unescape(led[1]), encoded=True))  # where its script would go
        while page.headers.get("X-Emulated-Page") in ("login", "consent"):
            page = await self.send(page.url, first_button(await page.text()))
        return page

    def cookie_line(self, url: str) -> str:
        """The Cookie header line this browser would send to `url` now."""
        kept = self._cookies.filter_cookies(URL(url))
        return "Cookie: " + "; ".join(f"{name}={morsel.value}" for name, morsel in kept.items())


def first_button(page: str) -> dict[str, str]:
    """What the first button of one of the emulated Frame.io's pages sends: the first person, or Allow."""
    found = [re.search(rf'name="{name}" value="([^"]+)"', page) for name in ("csrf", "choice")]
    csrf, choice = (match[1] if match else "" for match in found)
    return {"csrf": csrf, "choice": choice}
