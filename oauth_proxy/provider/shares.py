"""Limits the calls to the provider by kind, so that no kind uses all connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from oauth_proxy.errors import ProviderUnavailable

PATIENCE = 10.0
"""Seconds that a call may wait for its place."""
_WAITING = 50
"""Calls that may wait, per call that may be in progress."""


class Share:
    """The limit for one kind: `at_once` calls in progress, and a bounded number that wait."""

    def __init__(self, kind: str, at_once: int) -> None:
        self.at_once = at_once
        self._kind = kind
        self._places = asyncio.Semaphore(at_once)
        self._waiting = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wrap one call. Raises ProviderUnavailable if too many wait already, or the wait is too long."""
        if self._waiting >= self.at_once * _WAITING:
            raise ProviderUnavailable(f"too many {self._kind} wait for the provider already")
        self._waiting += 1
        try:
            async with asyncio.timeout(PATIENCE):
                await self._places.acquire()
        except TimeoutError:
            cause = f"of all {self._kind} under way none ended within {PATIENCE:g} s"
            raise ProviderUnavailable(cause) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()


class Shares:
    """A share for each kind of call."""

    def __init__(self) -> None:
        self.logins = Share("logins", 20)
        self.refreshes = Share("refreshes", 40)
        self.profiles = Share("profiles", 20)
        self.programs = Share("programs' questions", 16)
        self.revocations = Share("revocations", 4)

    @property
    def at_once(self) -> int:
        """The most connections that all shares use together."""
        shares = (self.logins, self.refreshes, self.profiles, self.programs, self.revocations)
        return sum(share.at_once for share in shares)
