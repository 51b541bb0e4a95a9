"""How much of a tool one visitor may have at a time, so that something is left for the others.

The law: whoever has all of their share waits in a line of their own, where they are in nobody's way; and of those
who have nothing under way nothing is kept.
"""

import asyncio
from collections import deque

from oauth_proxy.errors import TooManyAtOnce

_PARTS = 8
_FEWEST = 8
"""A browser opens six connections to a host. One that speaks HTTP/2 to a proxy in front of us has about a hundred
requests under way: of the 1024 connections to a tool, an eighth is enough for that, too.
"""


class Shares:
    """Places of which each owner may have an eighth, and never fewer than a browser needs.

    As many exchanges again may wait for one of the owner's to end, for `patience` seconds; none with 0.
    """

    def __init__(self, places: int, patience: float) -> None:
        self.each = max(places // _PARTS, _FEWEST)
        self._patience = patience
        self._taken: dict[str, int] = {}
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}

    def take(self, owner: str) -> bool:
        """Take one of the owner's places, if one is free; give it back when the exchange has ended."""
        taken = self._taken.get(owner, 0)
        if taken >= self.each:
            return False
        self._taken[owner] = taken + 1
        return True

    async def wait(self, owner: str) -> None:
        """Take the owner's next place that comes free. Raises TooManyAtOnce."""
        waiting = len(self._lines.get(owner, ()))
        if not self._patience or waiting >= self.each:
            raise TooManyAtOnce(f"a visitor has {self.each} under way, and {waiting} wait")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(owner, deque()).append(turn)
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it came in the moment in which we went
                self.give_back(owner)
            if isinstance(error, TimeoutError):
                raise TooManyAtOnce(
                    f"a visitor has {self.each} under way, and none ended in {self._patience:g} s"
                ) from None
            raise
        finally:
            self._leave(owner, turn)

    def give_back(self, owner: str) -> None:
        """A place is free: the owner's next exchange gets it, if one waits."""
        while line := self._lines.get(owner):
            turn = line[0]
            self._leave(owner, turn)
            if not turn.done():
                turn.set_result(None)
                return
        left = self._taken.pop(owner) - 1
        if left:
            self._taken[owner] = left

    def _leave(self, owner: str, turn: asyncio.Future[None]) -> None:
        line = self._lines.get(owner, deque())
        if turn in line:
            line.remove(turn)
            if not line:
                del self._lines[owner]
