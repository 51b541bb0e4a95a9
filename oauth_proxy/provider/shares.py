"""Who may use how many connections to the provider, so that no kind of call can keep out another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from oauth_proxy.errors import ProviderUnavailable

PATIENCE = 10.0
"""Seconds a call waits for its turn."""
_WAITING = 50
"""Calls that may wait, for each that may be under way."""


class Share:
    """Calls of one kind: so many of them at once, and a bounded number that wait for their turn."""

    def __init__(self, kind: str, at_once: int) -> None:
        self.at_once = at_once
        self._kind = kind
        self._turns = asyncio.Semaphore(at_once)
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Around one call. Raises ProviderUnavailable when too many wait already, or the wait is too long."""
        if self._waiting >= self.at_once * _WAITING:
            raise ProviderUnavailable(f"too many {self._kind} wait for the provider already")
        self._waiting += 1
        try:
            async with asyncio.timeout(PATIENCE):
                await self._turns.acquire()
        except TimeoutError:
            cause = f"of all {self._kind} under way none ended within {PATIENCE:g} s"
            raise ProviderUnavailable(cause) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()


class Shares:
    """One share for each kind of call."""

    def __init__(self) -> None:
        self.logins = Share("logins", 20)
        self.refreshes = Share("refreshes", 40)
        self.profiles = Share("profiles", 20)
        self.programs = Share("programs' questions", 16)
        self.revocations = Share("revocations", 4)

    @property
    def at_once(self) -> int:
        """How many connections all of them use at most."""
        shares = (self.logins, self.refreshes, self.profiles, self.programs, self.revocations)
        return sum(share.at_once for share in shares)
