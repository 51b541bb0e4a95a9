"""Memories as several processes have them: each with its own clock, on one place."""

import asyncio
from dataclasses import replace

from oauth_proxy.clock import Clock as Agreed
from oauth_proxy.identity import Identity, Session, Tokens
from oauth_proxy.memory import Bell, Memory
from oauth_proxy.memory.home import Home
from oauth_proxy.memory.memory import LARGEST
from oauth_proxy.seal import Sealer
from tests.support.proxy import Clock
from tests.support.stores import SITE, WEEK, Place
from tests.support.units import PATIENCE

KEY = bytes(32)


class Machine(Clock):
    """A machine whose clock is `wrong` by some seconds; what passes, passes everywhere."""

    def __init__(self, true: Clock, wrong: float) -> None:
        super().__init__()
        self._true = true
        self.wrong = wrong

    def wall(self) -> float:
        return self._true.now + self.wrong

    def monotonic(self) -> float:
        return self._true.now


def a_clock(place: Place, *, wrong: float = 0.0) -> Agreed:
    """The clock of one more process, on a machine whose own is `wrong` by some seconds."""
    return Agreed(Machine(place.clock, wrong))


def a_memory(
    place: Place,
    *,
    wrong: float = 0.0,
    clock: Agreed | None = None,
    key: bytes = KEY,
    home: Home | None = None,
    bell: Bell | None = None,
) -> Memory:
    """One more process of the site, which has not followed yet, with this clock or one that is `wrong`."""
    clock = clock or a_clock(place, wrong=wrong)
    sealer = Sealer([key], "memory", limit=LARGEST)
    return Memory(home or place.home(clock=clock), sealer, SITE, clock, WEEK, WEEK / 7, bell or Bell())


async def processes(place: Place, count: int = 2) -> list[Memory]:
    """Processes that have begun to follow."""
    home = place.home() if place.address == "cookie" else None
    return [await following(a_memory(place, home=home)) for _ in range(count)]


async def following(memory: Memory) -> Memory:
    """The memory, once it has begun to follow."""
    async with asyncio.timeout(PATIENCE):
        await memory.follow()
        while memory.trouble is not None:  # on a busy machine a Redis can answer too late
            await memory.follow()
    return memory


def a_session(place: Place, name: str = "a", *, who: str = "u-jo", created: float | None = None) -> Session:
    """A session that has just begun, or was `created` before."""
    now = place.clock()
    began = now if created is None else created
    tokens = Tokens(f"access-{name}", began, began + 3600, f"refresh-{name}")
    return Session(f"session-{name}", Identity(who, f"{who}@example.com"), tokens, began, began, began)


def refreshed(session: Session, place: Place) -> Session:
    """What became of it now."""
    now = place.clock()
    return replace(session, tokens=Tokens(f"access-{now}", now, now + 3600, f"refresh-{now}"), profile_at=now)
