"""A person with a browser, as far as a login needs one: cookies, redirects followed by hand, buttons pressed."""

import html
import re
import ssl
from types import TracebackType
from typing import Self

from aiohttp import ClientResponse, ClientSession, CookieJar, TCPConnector
from yarl import URL

# What a browser says when somebody follows a link (Fetch Metadata). It does not say for what: such a stranger is
# redirected to the login, which can be followed without running a page's script.
NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
}
IN_A_WINDOW = {**NAVIGATION, "Sec-Fetch-Dest": "document"}
"""The same of a browser that runs scripts."""
NAVIGATING = [f"{name}: {value}" for name, value in NAVIGATION.items()]
"""The same as lines of a request."""
MOST_HOPS = 20
_LONGEST_LINE = 64 * 1024  # browsers take far more

CSRF = re.compile(r'name="csrf" value="([^"]*)"')
BUTTON = re.compile(r"<button([^>]*)>(.*?)</button>", re.DOTALL)
LABELLED = re.compile(r'aria-labelledby="([^"]*)"')
VALUE = re.compile(r' value="([^"]*)"')


class Visitor:
    """A browser of one's own; an async context manager. `hops` is every answer so far, bodies read.

    Cookies ignore ports, as in browsers. `ssl` is what a test's certificate authority needs. A `forgetful` one
    keeps back what goes beyond 8190 bytes of Cookie header, as some proxies do; browsers send it.
    """

    def __init__(self, ssl: ssl.SSLContext | None = None, *, forgetful: bool = False) -> None:
        self.hops: list[ClientResponse] = []
        self.cookies = CookieJar(unsafe=True, quote_cookie=False)
        self.cookies._limits_enabled = forgetful  # noqa: SLF001 - it has no public name
        self.session = ClientSession(
            cookie_jar=self.cookies,
            connector=TCPConnector(ssl=True if ssl is None else ssl),
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.session.close()

    async def get(self, url: str | URL) -> ClientResponse:
        """One navigation, no redirect followed."""
        return await self._go("GET", URL(url, encoded=True) if isinstance(url, str) else url)

    async def follow(self, url: str | URL) -> ClientResponse:
        """A navigation and the redirects after it."""
        return await self._follow(await self.get(url))

    async def press(self, page: ClientResponse, button: str) -> ClientResponse:
        """The button with that label on one of the emulated Frame.io's pages; no redirect followed."""
        form = _Form(await page.text())
        if button not in form.choices:
            raise LookupError(f"no button {button!r} on {page.url}, only {sorted(form.choices)}")
        return await self._go("POST", page.url, {"csrf": form.csrf, "choice": form.choices[button]})

    async def login(self, url: str | URL, person: str = "Editor", *, consent: bool = True) -> ClientResponse:
        """From a page of the proxy through Frame.io's pages to wherever that ends; the last answer."""
        page = await self.follow(url)
        for _ in range(MOST_HOPS):
            match page.headers.get("X-Emulated-Page"):
                case "login":
                    button = person
                case "consent" if page.headers["X-Emulated-Person"] != person:
                    button = "Use another account"
                case "consent":
                    button = "Allow" if consent else "Deny"
                case _:
                    return page
            page = await self._follow(await self.press(page, button))
        raise AssertionError(f"a login without end: {self.trail()}")

    def cookie_line(self, url: str) -> str:
        """The Cookie header line this browser would send to `url` now."""
        kept = self.cookies.filter_cookies(URL(url))
        return "Cookie: " + "; ".join(f"{name}={morsel.value}" for name, morsel in kept.items())

    def trail(self) -> list[str]:
        """Every hop in a line: method, address, status."""
        return [f"{hop.method} {hop.url} {hop.status}" for hop in self.hops]

    async def _follow(self, response: ClientResponse) -> ClientResponse:
        for _ in range(MOST_HOPS):
            if response.status not in (301, 302, 303) or "Location" not in response.headers:
                return response
            response = await self.get(response.url.join(URL(response.headers["Location"], encoded=True)))
        raise AssertionError(f"redirects without end: {self.trail()}")

    async def _go(self, method: str, url: URL, form: dict[str, str] | None = None) -> ClientResponse:
        response = await self.session.request(method, url, data=form, headers=NAVIGATION, allow_redirects=False)
        await response.read()
        self.hops.append(response)
        return response


class _Form:
    """The hidden csrf value of a page, and what each of its buttons sends by its label.

    Regular expressions do for the pages of our own emulator; HTMLParser takes far longer for 200 people.
    """

    def __init__(self, page: str) -> None:
        hidden = CSRF.search(page)
        self.csrf = hidden[1] if hidden else ""
        self.choices = {
            self._label(attributes, inside): VALUE.findall(attributes)[0]
            for attributes, inside in BUTTON.findall(page)
        }

    @staticmethod
    def _label(attributes: str, inside: str) -> str:
        """What a button is labelled by, or all it says."""
        by = LABELLED.search(attributes)
        label = inside.partition(f'id="{by[1]}">')[2].partition("<")[0] if by else inside
        return html.unescape(label).strip()
