"""The link to a home: what is told there is sealed, and what goes wrong there stays there.

The law: nothing here fails. While the home is away, the log says so once, `trouble` says so, and the process goes
on with what it knows itself; what it could not tell is told when the home is back.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from oauth_proxy.clock import Clock
from oauth_proxy.memory.ends import End, Ends
from oauth_proxy.memory.home import Home, Record, Turn
from oauth_proxy.seal import Sealer, Unsealable

log = logging.getLogger(__name__)

_MOST_BATCHES = 20_000
_CLOCK_EVERY = 60.0


class Link:
    """The home of one `site`'s memory, followed: `ends` learns what others have ended, `clock` what time it is.

    `retell` is called when the home is there, or back, and may have forgotten everything. Ends are kept for
    `lifetime` seconds.
    """

    def __init__(
        self,
        home: Home,
        sealer: Sealer,
        site: str,
        clock: Clock,
        ends: Ends,
        retell: Callable[[], Awaitable[None]],
        lifetime: float,
    ) -> None:
        self.home = home
        self.cause = ""
        """What went wrong last, in the home's words."""
        self._sealer = sealer
        self._site = site
        self._clock = clock
        self._ends = ends
        self._retell = retell
        self._lifetime = lifetime
        self._epoch: object = None
        self._is_up: bool | None = None
        self._agreed_at = 0.0
        self._following = asyncio.Lock()
        self._follows = 0

    @property
    def is_up(self) -> bool:
        """Whether the home can be asked and told."""
        return self._is_up is True

    async def get(self, key: str) -> bytes | None:
        """What was put; None where nothing was, or nobody can be asked."""
        with self.forgiving():
            if self.is_up and (sealed := await self.home.get(key)) is not None:
                return self._opened(sealed, key)
        return None

    async def put(self, key: str, content: bytes, at: float, lasts: float) -> bool:
        """Keep it for `lasts` seconds, unless there is something later than `at`; whether it could be told."""
        with self.forgiving():
            if self.is_up:
                if lasts > 0:
                    await self.home.put(self._record(key, content, at, lasts))
                return True
        return False

    async def add(self, key: str, content: bytes, lasts: float) -> bool:
        """Keep it, unless there is something; False where there was."""
        with self.forgiving():
            if self.is_up:
                return await self.home.add(self._record(key, content, self._clock(), lasts))
        return True

    async def delete(self, *keys: str) -> None:
        """Forget these."""
        with self.forgiving():
            if self.is_up:
                await self.home.delete(*keys)

    async def every(self, kind: str) -> AsyncIterator[bytes]:
        """Everything of a kind."""
        with self.forgiving():
            if self.is_up:
                async for key, sealed in self.home.every(kind):
                    if content := self._opened(sealed, key):
                        yield content

    async def acquire(self, turn: Turn) -> bool | None:
        """Whether the turn is ours now; None while the home is away, so that everybody minds themselves only."""
        with self.forgiving():
            if self.is_up:
                return await turn.acquire()
        return None

    async def tell(self, ends: Sequence[End]) -> bool:
        """Tell the others what has ended; whether they can learn of it now. If not, they are told later."""
        with self.forgiving():
            if self.is_up:
                await self._tell(ends)
                return True
        return False

    async def follow(self) -> None:
        """Learn what the others have ended by now, and notice whether the home is there.

        However many ask at a time, the home is asked twice at most.
        """
        follows = self._follows
        async with self._following:
            if self._follows == follows:  # else somebody began after we had asked
                self._follows += 1
                await self._follow()

    async def close(self) -> None:
        """Let go of the home."""
        with self.forgiving():
            await self.home.close()

    @contextmanager
    def forgiving(self) -> Iterator[None]:
        """Whatever the home does in here, the proxy goes on; the log says when that begins."""
        try:
            yield
        except self.home.failures as error:
            self.cause = f"{type(error).__name__}: {str(error)[:200]}"
            if self._is_up is not False:
                log.error(  # noqa: TRY400 not a fault of ours
                    "%s fails, each process goes on by itself: %s", self.home.name, self.cause
                )
            self._is_up = False

    async def _follow(self) -> None:
        with self.forgiving():
            if not self.is_up or not await self._learn():
                await self._reconcile()
                if self._is_up is False:
                    log.warning("%s is back: what processes share is shared again", self.home.name)
                self._is_up = True
                await self._retell()
            if self._clock() >= self._agreed_at + _CLOCK_EVERY:
                await self._agree_on_time()

    async def _learn(self) -> bool:
        """Learn what has ended; False when the home is not the one it was, but empty or another."""
        more = True
        while more:
            epoch, sealed, more = await self.home.news()
            if epoch != self._epoch:
                return False
            self._ends.learn(self._read(sealed))
        return True

    async def _reconcile(self) -> None:
        """Learn all that has ended, and tell what the home does not know: it may have come back empty."""
        self._epoch = await self.home.open()
        self._agreed_at = 0.0
        theirs: set[tuple[str, float]] = set()
        for _ in range(_MOST_BATCHES):
            _, sealed, more = await self.home.news()
            read = self._read(sealed)
            self._ends.learn(read)
            theirs.update((end.what, end.when) for end in read)
            if not more:
                break
        await self._tell([end for end in self._ends.known() if (end.what, end.when) not in theirs])

    async def _agree_on_time(self) -> None:
        """No process is behind another: what one has sealed would lie in the other's future.

        So it is after a restart, too, should the system's clock have been set back meanwhile.
        """
        told = await self.home.get("clock")
        content = self._opened(told, "clock") if told else None
        if content and not self._clock.not_before(float(content)):
            log.warning("%s was told a time that is more than a day ahead; it is not believed", self.home.name)
        now = self._agreed_at = self._clock()
        await self.home.put(self._record("clock", repr(now).encode(), now, self._lifetime))

    async def _tell(self, ends: Sequence[End]) -> None:
        now = self._clock()
        lasting = [(end, self._ends.over_at(end) - now) for end in ends]
        await self.home.tell(
            [
                Record(f"ended:{end.name}", self._sealed(json.dumps(end).encode(), "ended"), end.when, lasts)
                for end, lasts in lasting
                if lasts > 0
            ]
        )

    def _read(self, sealed: Iterable[str]) -> list[End]:
        contents = filter(None, (self._opened(each, "ended") for each in sealed))
        return [End(*json.loads(content)) for content in contents]

    def _record(self, key: str, content: bytes, at: float, lasts: float) -> Record:
        return Record(key, self._sealed(content, key), at, lasts)

    def _sealed(self, content: bytes, key: str) -> str:
        return self._sealer.seal(content, f"{self._site}:{key}")

    def _opened(self, sealed: str, key: str) -> bytes | None:
        """What was sealed for this key; None, and a line in the log, for what no proxy of ours has written."""
        try:
            return self._sealer.open(sealed, f"{self._site}:{key}")
        except Unsealable:
            log.error(  # noqa: TRY400 not a fault of ours
                "%s holds what this proxy cannot open; do all processes have the same session.secret?",
                self.home.name,
            )
            return None
