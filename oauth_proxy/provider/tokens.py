"""Requests to the token endpoint, limited in number, and paused while it is away or asked us to wait (429)."""

from collections.abc import Callable, Mapping
from math import ceil

from oauth_proxy.errors import ProviderBusy
from oauth_proxy.provider.breaker import Breaker
from oauth_proxy.provider.calls import Calls, ProviderResponse
from oauth_proxy.provider.shares import Shares

LOGIN = "login"
"""The one owner of all logins' failures, because strangers can start as many logins as they like."""


class TokenEndpoint:
    """Exchanges codes and refreshes tokens. `elapsed` returns monotonic seconds."""

    def __init__(self, url: str, calls: Calls, shares: Shares, elapsed: Callable[[], float]) -> None:
        self._url = url
        self._calls = calls
        self._shares = shares
        self._elapsed = elapsed
        self._breaker = Breaker(elapsed)
        self._busy_until = elapsed()

    @property
    def is_paused(self) -> bool:
        """Whether the endpoint is away, so that only probes are sent."""
        return self._breaker.is_open

    async def exchange(self, headers: Mapping[str, str], form: str) -> ProviderResponse:
        """Exchange a login's code; no pause stops it, because a person is waiting. Raises what `Calls` raises.

        A 429 here pauses no refresh: strangers can send as many codes as they like.
        """
        async with self._shares.logins.place():
            with self._breaker.call(LOGIN, held=False):
                return await self._calls.post(self._url, headers, form)

    async def refresh(self, headers: Mapping[str, str], form: str, owner: str) -> ProviderResponse:
        """Refresh tokens. Raises what `Calls` raises, and ProviderPaused."""
        self._check()
        async with self._shares.refreshes.place():
            self._check()
            try:
                with self._breaker.call(owner):
                    return await self._calls.post(self._url, headers, form)
            except ProviderBusy as error:
                self._busy_until = max(self._busy_until, self._elapsed() + (error.retry_after or 0))
                raise

    def _check(self) -> None:
        left = ceil(self._busy_until - self._elapsed())
        if left > 0:
            raise ProviderBusy("the token endpoint asked for patience a moment ago", retry_after=left)
        self._breaker.check()
