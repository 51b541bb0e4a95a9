"""The token endpoint, and when it may be asked: not all at once, not while it is away, not before it wants to."""

from collections.abc import Callable, Mapping
from math import ceil

from oauth_proxy.errors import ProviderBusy
from oauth_proxy.provider.breaker import Breaker
from oauth_proxy.provider.calls import Answer, Calls
from oauth_proxy.provider.shares import Shares

LOGIN = "login"
"""The owner of every login's failures, because strangers can begin as many as they like."""


class TokenEndpoint:
    """Exchanges and refreshes. `elapsed` tells seconds that never go back."""

    def __init__(self, url: str, calls: Calls, shares: Shares, elapsed: Callable[[], float]) -> None:
        self._url = url
        self._calls = calls
        self._shares = shares
        self._elapsed = elapsed
        self._breaker = Breaker(elapsed)
        self._busy_until = elapsed()

    async def exchange(self, headers: Mapping[str, str], form: str) -> Answer:
        """The answer to a login's code, asked in any case: somebody waits. Raises what `Calls` raises.

        Being asked for patience here stops no refresh: strangers can send as many codes as they like.
        """
        async with self._shares.logins.turn():
            with self._breaker.call(LOGIN, held=False):
                return await self._calls.post(self._url, headers, form)

    async def refresh(self, headers: Mapping[str, str], form: str, owner: str) -> Answer:
        """The answer to a refresh token. Raises what `Calls` raises, and ProviderPaused."""
        self._check()
        async with self._shares.refreshes.turn():
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
