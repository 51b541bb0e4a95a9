"""Limits how much of a tool one user may use at a time, so that something is left for the others.

The law: whoever has used up their share waits in a queue of their own, where they delay nobody else; and nothing
is stored for those who have no exchange in progress.
"""

import asyncio
from collections import deque

from oauth_proxy.errors import TooManyAtOnce

_PARTS = 8
_FEWEST = 8
"""A browser opens six connections to a host. One that speaks HTTP/2 to a proxy in front of us has about a hundred
requests in progress: an eighth of the 1024 connections to a tool is enough for that, too.
"""


class Shares:
    """Places, of which each owner may have an eighth, but never fewer than a browser needs.

    As many more exchanges may wait up to `patience` seconds for one of the owner's to end; none if it is 0.
    """

    def __init__(self, places: int, patience: float) -> None:
        self.each = max(places // _PARTS, _FEWEST)
        self.patience = patience
        self._taken: dict[str, int] = {}
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def owners(self) -> int:
        """The number of owners who have something in progress, or wait."""
        return len(self._taken.keys() | self._lines.keys())

    @property
    def waiting(self) -> int:
        """The number of exchanges that wait for one of their owner's to end."""
        return sum(map(len, self._lines.values()))

    def take(self, owner: str) -> bool:
        """Take one of the owner's places, if one is free. Give it back when the exchange has ended."""
        taken = self._taken.get(owner, 0)
        if taken >= self.each:
            return False
        self._taken[owner] = taken + 1
        return True

    async def wait(self, owner: str) -> None:
        """Wait for the owner's next free place, and take it. Raises TooManyAtOnce."""
        waiting = len(self._lines.get(owner, ()))
        if not self.patience or waiting >= self.each:
            raise TooManyAtOnce(f"a visitor has {self.each} under way, and {waiting} wait")
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(owner, deque()).append(place)
        try:
            async with asyncio.timeout(self.patience):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():  # the place came just when we gave up
                self.give_back(owner)
            if isinstance(error, TimeoutError):
                raise TooManyAtOnce(
                    f"a visitor has {self.each} under way, and none ended in {self.patience:g} s"
                ) from None
            raise
        finally:
            self._leave(owner, place)

    def give_back(self, owner: str) -> None:
        """Free a place, or pass it to the owner's next exchange if one waits."""
        while line := self._lines.get(owner):
            place = line[0]
            self._leave(owner, place)
            if not place.done():
                place.set_result(None)
                return
        left = self._taken.pop(owner) - 1
        if left:
            self._taken[owner] = left

    def _leave(self, owner: str, place: asyncio.Future[None]) -> None:
        line = self._lines.get(owner, deque())
        if place in line:
            line.remove(place)
            if not line:
                del self._lines[owner]
