"""One HTTP request to the provider.

The law: it has a deadline and a size limit, follows no redirect, and keeps no cookie. It ends in a response or
in a named failure; a network failure is never taken for a refusal.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from math import ceil

import aiohttp

from oauth_proxy.errors import ProviderAway, ProviderBusy, ProviderNonsense
from oauth_proxy.settings import Proxies

LONGEST_ANSWER = 256 * 1024
DEADLINE = 10.0
"""Seconds for one request, including the connection setup."""
LONGEST_PATIENCE = 300
"""The longest pause in seconds that a 429 can cause."""
_USUAL_PATIENCE = 10
_NUMBER = re.compile("[0-9]{1,12}")
_NO_PROXIES = Proxies()


@dataclass(frozen=True, slots=True)
class ProviderResponse:
    """Status and content of a response; the status is neither 429 nor 5xx."""

    status: int
    body: bytes = field(repr=False)


class Calls:
    """Sends requests to the provider, through `proxies`. `clock` returns seconds since the epoch."""

    def __init__(
        self, http: aiohttp.ClientSession, clock: Callable[[], float], proxies: Proxies = _NO_PROXIES
    ) -> None:
        self._http = http
        self._clock = clock
        self._proxies = proxies

    async def get(self, url: str, headers: Mapping[str, str]) -> ProviderResponse:
        """Send a GET. Raises ProviderAway, ProviderBusy, and ProviderNonsense for a response that is too long."""
        return await self._call("GET", url, headers, None)

    async def post(self, url: str, headers: Mapping[str, str], form: str) -> ProviderResponse:
        """Send an urlencoded form. Raises what `get` raises."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._call("POST", url, {**headers, **kind}, form)

    @asynccontextmanager
    async def opened(
        self, method: str, url: str, headers: Mapping[str, str], form: str | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, and give its response as it begins. The caller has a deadline, and aiohttp's errors."""
        sent = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
        proxy = self._proxies.of(url)
        credentials = {}
        if proxy is not None and proxy.user:
            credentials["Proxy-Authorization"] = aiohttp.encode_basic_auth(proxy.user, proxy.password, "utf-8")
        if not url.startswith("https:"):  # there is no CONNECT that could carry them
            sent |= credentials
        async with self._http.request(
            method,
            url,
            headers=sent,
            data=form,
            allow_redirects=False,
            proxy=proxy.url if proxy else None,
            proxy_headers=credentials,
        ) as response:
            yield response

    async def _call(self, method: str, url: str, headers: Mapping[str, str], form: str | None) -> ProviderResponse:
        try:
            async with asyncio.timeout(DEADLINE), self.opened(method, url, headers, form) as response:
                body = await response.content.read(LONGEST_ANSWER + 1)
                while len(body) <= LONGEST_ANSWER and (more := await response.content.readany()):
                    body += more
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ProviderAway(f"{method} {url}: {_cause(error)}") from None
        cause = f"{method} {url}: answered {response.status}"
        if response.status >= 500:
            raise ProviderAway(cause)
        if response.status == 429:
            raise ProviderBusy(cause, retry_after=patience(response.headers, self._clock()))
        if len(body) > LONGEST_ANSWER:
            raise ProviderNonsense(f"{method} {url}: the answer is longer than {LONGEST_ANSWER} bytes")
        return ProviderResponse(response.status, body)


def patience(headers: Mapping[str, str], now: float) -> int:
    """Seconds that a 429 asks us to wait: Retry-After (RFC 9110 10.2.3), or v2's x-ratelimit-window (ms)."""
    asked = headers.get("Retry-After", "").strip()
    window = headers.get("x-ratelimit-window", "").strip()
    if _NUMBER.fullmatch(asked):
        seconds = int(asked)
    elif (until := _date(asked)) is not None:
        seconds = ceil(until - now)
    else:
        seconds = ceil(int(window) / 1000) if _NUMBER.fullmatch(window) else _USUAL_PATIENCE
    return min(max(seconds, 1), LONGEST_PATIENCE)


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}" if str(error) else type(error).__name__
