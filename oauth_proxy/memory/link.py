"""The link to a home: it seals what it writes there, and catches every failure of the home.

The law: nothing here fails. While the home cannot be reached, the log says so once, `is_up` is False, and the
process continues with what it knows itself. What it could not write is written when the home is back.
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
from oauth_proxy.memory.bell import Bell
from oauth_proxy.memory.home import BATCH, Home, Record
from oauth_proxy.memory.records import Entry, Records, read, written
from oauth_proxy.memory.revocations import Revocation, Revocations
from oauth_proxy.seal import Sealer

log = logging.getLogger(__name__)

T = TypeVar("T")

_MOST_BATCHES = 20_000
_CLOCK_EVERY = 60.0
_SETTLES = 3.0
"""Seconds until every other process has noticed that the home lost its content, and has written what it knows."""

_read_end = partial(read, Revocation)


class Link:
    """Connects the memory of one `site` to its home. It passes the ends and the time of other processes to `ends`
    and `clock`.

    `retell` is called when the home is first reached, or is back and may have lost everything. The clock's time is
    stored there for `lifetime` seconds. `bell` tells the other workers of this proxy that there is an end to read.
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
        bell: Bell,
    ) -> None:
        self.home = home
        self.is_up = False
        """Whether the home can be reached."""
        self.cause = ""
        """The text of the home's last error."""
        self._records = Records(sealer, site, home.name)
        self._clock = clock
        self._ends = ends
        self._retell = retell
        self._lifetime = lifetime
        self._epoch: object = None
        self._untold: dict[str, Revocation] = {}
        self._is_complained_of = False
        self._agreed_at = 0.0
        self._settled_at = 0.0
        self._following = asyncio.Lock()
        self._bell = bell
        self._heard_bell = b""
        self._begun = self._done = 0
        self._is_closed = False

    async def get(self, key: str, read: Callable[[bytes], T]) -> T | None:
        """The stored value, decoded by `read`; None if there is none or the home cannot be reached."""
        with self._forgiving():
            if self.is_up and (sealed := await self.home.get(key)) is not None:
                return self._records.opened(sealed, key, read)
        return None

    async def put(self, *entries: Entry) -> bool:
        """Store each entry, unless there is a later one. Returns whether the home could be reached."""
        with self._forgiving():
            if self.is_up:
                await self.home.put(*[self._records.sealed(entry) for entry in entries if entry.lasts > 0])
                return True
        return False

    async def add(self, entry: Entry) -> bool:
        """Store the entry if there is none with its key; False if there is one."""
        with self._forgiving():
            if self.is_up:
                return await self.home.add(self._records.sealed(entry))
        return True

    async def delete(self, *keys: str) -> None:
        """Delete these entries."""
        with self._forgiving():
            if self.is_up:
                await self.home.delete(*keys)

    async def every(self, kind: str, read: Callable[[bytes], T]) -> AsyncIterator[T]:
        """All values of a kind."""
        with self._forgiving():
            if self.is_up:
                async for key, sealed in self.home.every(kind):
                    if (thing := self._records.opened(sealed, key, read)) is not None:
                        yield thing

    async def take(self, key: str, owner: str) -> bool | None:
        """Wait for the lease of this key and take it; False if others hold it for more than LEASE seconds.

        None while the home cannot be reached: then each process is on its own.
        """
        give_up = time.monotonic() + homes.LEASE + homes.DEADLINE
        with self._forgiving():
            while self.is_up:
                if await self.home.take(key, owner, homes.LEASE):
                    return True
                if time.monotonic() >= give_up:
                    return False
                await asyncio.sleep(homes.LOOK_AGAIN)
        return None

    async def give(self, key: str, owner: str) -> bool | None:
        """Release the lease; False if this owner no longer had it, None while the home cannot be reached."""
        with self._forgiving():
            if self.is_up:
                return await self.home.give(key, owner)
        return None

    async def tell(self, end: Revocation) -> bool:
        """Publish an end to other processes. Returns whether that worked; if not, it is published later."""
        self._untold[end.what] = end
        with self._forgiving():
            if self.is_up:
                await self._tell()
                self._bell.ring()
                return True
        return False

    @property
    def is_behind(self) -> bool:
        """Whether another worker has published an end that this one has not read."""
        return self._bell.heard() != self._heard_bell

    @property
    def is_settled(self) -> bool:
        """Whether the home is up and complete: what is not stored there, no process knows."""
        return self.is_up and self._clock() >= self._settled_at

    async def follow(self) -> None:
        """Read the ends that other processes have published, and check whether the home can be reached.

        However many callers wait, at most two of these checks run for them.
        """
        asked_at = self._begun
        async with self._following:
            if self._done <= asked_at and not self._is_closed:  # otherwise one that began after this call is done
                self._begun += 1
                await self._follow()
                self._done = self._begun

    async def close(self) -> None:
        """Close the connection to the home. Nothing opens it again: who is still under way finds the home away."""
        self._is_closed, self.is_up = True, False
        with self._forgiving():
            await self.home.close()

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Catch all failures of the home, so that the proxy continues; log the first of them."""
        try:
            yield
        except self.home.failures as error:
            self.cause = f"{type(error).__name__}: {str(error)[:200]}"
            self.is_up = False
            if not self._is_complained_of:
                self._is_complained_of = True
                log.error(  # noqa: TRY400 not a bug of ours: no traceback
                    "%s fails, each process goes on by itself: %s", self.home.name, self.cause
                )

    async def _follow(self) -> None:
        rung = self._bell.heard()  # before the reading: what is rung meanwhile is read again
        with self._forgiving():
            if not self.is_up or not await self._learn():
                await self._reconcile()
            if self._clock() >= self._agreed_at + _CLOCK_EVERY:
                await self._agree_on_time()
        self._heard_bell = rung  # not before it is read: whoever is asked meanwhile waits, too

    async def _reconcile(self) -> None:
        """Read all ends, then write everything the home may lack: it may have come back empty."""
        self._untold = {end.what: end for end in self._ends.known()}
        self._records.complain_again()
        self._agreed_at = 0.0
        is_done = False
        try:
            before, self._epoch = self._epoch, await self.home.open()
            if before not in (None, self._epoch):
                self._settled_at = self._clock() + _SETTLES
            await self._learn()
            self.is_up = True  # before the writing, so that what ends in the meantime is written by its own caller
            await self._tell()
            await self._retell()
            is_done = True
        finally:
            self.is_up = self.is_up and is_done  # a request whose client hangs up may be the one that does it
        if self.is_up and self._is_complained_of:
            self._is_complained_of = False
            log.warning("%s is back: what processes share is shared again", self.home.name)

    async def _learn(self) -> bool:
        """Read the new ends; False if the home's content was lost or replaced."""
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

    def _heard(self, end: Revocation) -> None:
        """Apply an end of another process, and catch up with its clock; if that is far ahead, use our time."""
        if not self._clock.not_before(end.when):
            end = end._replace(when=self._clock())
        self._ends.learn([end])
        ours = self._untold.get(end.what)
        if ours is not None and ours.when <= end.when:
            del self._untold[end.what]

    async def _tell(self) -> None:
        """Publish all unpublished ends."""
        ends = list(self._untold.values())
        for at in range(0, len(ends), BATCH):
            told = ends[at : at + BATCH]
            await self.home.tell(self._ended(told))
            for end in told:
                if self._untold.get(end.what) is end:
                    del self._untold[end.what]

    def _ended(self, ends: Sequence[Revocation]) -> list[Record]:
        now = self._clock()
        return [
            Record(f"ended:{end.name}", self._records.seal(written(end), "ended"), end.when, lasts)
            for end in ends
            if (lasts := self._ends.over_at(end) - now) > 0
        ]

    async def _agree_on_time(self) -> None:
        """Advance this process's clock to the latest time that any process has stored.

        Otherwise what one process sealed could lie in another's future. This also holds after a restart with the
        system clock set back.
        """
        told = await self.home.get("clock")
        moment = self._records.opened(told, "clock", float) if told else None
        if moment and not self._clock.not_before(moment):
            log.warning("%s was told a time that is more than a day ahead; it is not believed", self.home.name)
            await self.home.delete("clock")
        now = self._agreed_at = self._clock()
        await self.home.put(self._records.sealed(Entry("clock", repr(now).encode(), now, self._lifetime)))
