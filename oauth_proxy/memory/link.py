"""The link to a home: what is told there is sealed, and what goes wrong there stays there.

The law: nothing here fails. While the home is away, the log says so once, `is_up` says so, and the process goes on
with what it knows itself; what it could not tell is told when the home is back.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from oauth_proxy.clock import Clock
from oauth_proxy.memory import home as homes
from oauth_proxy.memory.home import BATCH, Home, Record
from oauth_proxy.memory.records import Entry, Records, read, written
from oauth_proxy.memory.revocations import End, Revocations
from oauth_proxy.seal import Sealer

log = logging.getLogger(__name__)

T = TypeVar("T")

_MOST_BATCHES = 20_000
_CLOCK_EVERY = 60.0
_SETTLES = 3.0
"""Seconds in which every other process looks at a home that was emptied, and tells it what it knows."""

_read_end = partial(read, End)


class Link:
    """The home of one `site`'s memory, followed: `ends` learns what others have ended, `clock` what time it is.

    `retell` is called when the home is there, or back, and may have forgotten everything. The clock's time is kept
    there for `lifetime` seconds.
    """

    def __init__(
        self,
        home: Home,
        sealer: Sealer,
        site: str,
        clock: Clock,
        ends: Revocations,
        retell: Callable[[], Awaitable[None]],
        lifetime: float,
    ) -> None:
        self.home = home
        self.is_up = False
        """Whether the home can be asked and told."""
        self.cause = ""
        """What went wrong last, in the home's words."""
        self._records = Records(sealer, site, home.name)
        self._clock = clock
        self._ends = ends
        self._retell = retell
        self._lifetime = lifetime
        self._epoch: object = None
        self._untold: dict[str, End] = {}
        self._is_complained_of = False
        self._agreed_at = 0.0
        self._settled_at = 0.0
        self._following = asyncio.Lock()
        self._begun = self._done = 0

    async def get(self, key: str, read: Callable[[bytes], T]) -> T | None:
        """What was put, as `read` reads it; None where nothing was, or nobody can be asked."""
        with self._forgiving():
            if self.is_up and (sealed := await self.home.get(key)) is not None:
                return self._records.opened(sealed, key, read)
        return None

    async def put(self, *entries: Entry) -> bool:
        """Keep each, unless there is something later; whether it could be told."""
        with self._forgiving():
            if self.is_up:
                await self.home.put(*[self._records.sealed(entry) for entry in entries if entry.lasts > 0])
                return True
        return False

    async def add(self, entry: Entry) -> bool:
        """Keep it, unless there is something; False where there was."""
        with self._forgiving():
            if self.is_up:
                return await self.home.add(self._records.sealed(entry))
        return True

    async def delete(self, *keys: str) -> None:
        """Forget these."""
        with self._forgiving():
            if self.is_up:
                await self.home.delete(*keys)

    async def every(self, kind: str, read: Callable[[bytes], T]) -> AsyncIterator[T]:
        """Everything of a kind."""
        with self._forgiving():
            if self.is_up:
                async for key, sealed in self.home.every(kind):
                    if (thing := self._records.opened(sealed, key, read)) is not None:
                        yield thing

    async def take(self, key: str, owner: str) -> bool | None:
        """Wait for the turn of this key and take it; False when others keep it for TURN seconds and more.

        None while the home is away, so that everybody minds themselves only.
        """
        give_up = time.monotonic() + homes.TURN + homes.DEADLINE
        with self._forgiving():
            while self.is_up:
                if await self.home.take(key, owner, homes.TURN):
                    return True
                if time.monotonic() >= give_up:
                    return False
                await asyncio.sleep(homes.LOOK_AGAIN)
        return None

    async def give(self, key: str, owner: str) -> bool | None:
        """Give the turn back; False where it was this owner's no more, None while the home is away."""
        with self._forgiving():
            if self.is_up:
                return await self.home.give(key, owner)
        return None

    async def tell(self, end: End) -> bool:
        """Tell the others what has ended; whether they can learn of it now. If not, they are told later."""
        self._untold[end.what] = end
        with self._forgiving():
            if self.is_up:
                await self._tell()
                return True
        return False

    @property
    def is_settled(self) -> bool:
        """Whether it can be asked, and what it does not know nobody knows."""
        return self.is_up and self._clock() >= self._settled_at

    async def follow(self) -> None:
        """Learn what the others have ended by now, and notice whether the home is there.

        However many ask at a time, the home is asked twice at most.
        """
        asked_at = self._begun
        async with self._following:
            if self._done <= asked_at:  # else somebody began after we had asked, and is done
                self._begun += 1
                await self._follow()
                self._done = self._begun

    async def close(self) -> None:
        """Let go of the home."""
        with self._forgiving():
            await self.home.close()

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Whatever the home does in here, the proxy goes on; the log says when that begins."""
        try:
            yield
        except self.home.failures as error:
            self.cause = f"{type(error).__name__}: {str(error)[:200]}"
            self.is_up = False
            if not self._is_complained_of:
                self._is_complained_of = True
                log.error(  # noqa: TRY400 not a fault of ours
                    "%s fails, each process goes on by itself: %s", self.home.name, self.cause
                )

    async def _follow(self) -> None:
        with self._forgiving():
            if not self.is_up or not await self._learn():
                await self._reconcile()
            if self._clock() >= self._agreed_at + _CLOCK_EVERY:
                await self._agree_on_time()

    async def _reconcile(self) -> None:
        """Learn all that has ended, and tell what the home does not know: it may have come back empty."""
        self._untold = {end.what: end for end in self._ends.known()}
        self._records.complain_again()
        self._agreed_at = 0.0
        before, self._epoch = self._epoch, await self.home.open()
        if before not in (None, self._epoch):
            self._settled_at = self._clock() + _SETTLES
        await self._learn()
        self.is_up = True  # before the rest is told: what comes meanwhile is told by whom it comes from
        await self._tell()
        await self._retell()
        if self.is_up and self._is_complained_of:
            self._is_complained_of = False
            log.warning("%s is back: what processes share is shared again", self.home.name)

    async def _learn(self) -> bool:
        """Learn what has ended; False when the home is not the one it was, but empty or another."""
        for _ in range(_MOST_BATCHES):
            epoch, sealed, more = await self.home.news()
            if epoch != self._epoch:
                return False
            for each in sealed:
                if end := self._records.opened(each, "ended", _read_end):
                    self._heard(end)
            if not more:
                break
        return True

    def _heard(self, end: End) -> None:
        """A moment that another process has seen is past, unless its clock is wrong: then it cannot be later."""
        if not self._clock.not_before(end.when):
            end = end._replace(when=self._clock())
        self._ends.learn([end])
        ours = self._untold.get(end.what)
        if ours is not None and ours.when <= end.when:
            del self._untold[end.what]

    async def _tell(self) -> None:
        """Tell all that is untold."""
        ends = list(self._untold.values())
        for at in range(0, len(ends), BATCH):
            told = ends[at : at + BATCH]
            await self.home.tell(self._ended(told))
            for end in told:
                if self._untold.get(end.what) is end:
                    del self._untold[end.what]

    def _ended(self, ends: Sequence[End]) -> list[Record]:
        now = self._clock()
        return [
            Record(f"ended:{end.name}", self._records.seal(written(end), "ended"), end.when, lasts)
            for end in ends
            if (lasts := self._ends.over_at(end) - now) > 0
        ]

    async def _agree_on_time(self) -> None:
        """No process is behind another: what one has sealed would lie in the other's future.

        So it is after a restart, too, should the system's clock have been set back meanwhile.
        """
        told = await self.home.get("clock")
        moment = self._records.opened(told, "clock", float) if told else None
        if moment and not self._clock.not_before(moment):
            log.warning("%s was told a time that is more than a day ahead; it is not believed", self.home.name)
            await self.home.delete("clock")
        now = self._agreed_at = self._clock()
        await self.home.put(self._records.sealed(Entry("clock", repr(now).encode(), now, self._lifetime)))
