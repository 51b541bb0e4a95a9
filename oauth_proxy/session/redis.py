"""The memory of replicas, in Redis.

The law: Redis is asked only about sessions whose tokens are due, or are not in the cookie. When it fails, the log
says so once, and every replica goes on alone until it is back.
"""

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from redis.asyncio.lock import Lock
from redis.exceptions import LockNotOwnedError

from oauth_proxy.errors import ProviderUnavailable
from oauth_proxy.identity import Session
from oauth_proxy.session.memory import Ends, Known
from oauth_proxy.session.records import BATCHES, FAILURES, TURN, Records

log = logging.getLogger(__name__)

_MOST_TOLD = 4096


class RedisMemory:
    """What replicas know together, as long as `follow` is called; before its first call, nothing."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._told: OrderedDict[str, Known] = OrderedDict()
        self._epoch: object = None
        self._is_up: bool | None = None

    @property
    def trouble(self) -> str | None:
        """Why nothing can be asked or told now."""
        return None if self._is_up else "redis unreachable"

    async def newest(self, session_id: str) -> Known | None:
        """The session as last refreshed anywhere."""
        with self._forgiving():
            if self._is_up:
                return await self._records.session(session_id)
        return None

    async def remember(self, session: Session, *, read: bool | None = None) -> bool:
        """Put it where the others find it, now or when Redis is back."""
        told = self._told.pop(session.id, None)
        if read is None:
            read = told is None or told.read
        self._told[session.id] = known = Known(session, read)
        if len(self._told) > _MOST_TOLD:
            self._told.popitem(last=False)
        with self._forgiving():
            if self._is_up:
                await self._records.put(known)
                return True
        return False

    @asynccontextmanager
    async def turn(self, session_id: str) -> AsyncIterator[None]:
        """While this holds, no other replica refreshes the session; without Redis, each minds itself only."""
        lock, is_mine = self._records.turn(session_id), None
        with self._forgiving():
            if self._is_up:
                is_mine = await lock.acquire()
        if is_mine is False:
            raise ProviderUnavailable("other replicas have been refreshing this session for too long")
        try:
            yield
        finally:
            if is_mine:
                await self._release(lock)

    async def end(self, what: str, when: float, session_id: str) -> None:
        """Tell the others that this is over; should that fail, `follow` tells them when Redis is back."""
        self._told.pop(session_id, None)
        with self._forgiving():
            if self._is_up:
                await self._records.tell([(what, when)])
                await self._records.forget(session_id)

    async def follow(self, ends: Ends) -> None:
        """Learn what the others have ended, and notice whether Redis is there."""
        with self._forgiving():
            if not self._is_up or not await self._learn(ends):
                await self._reconcile(ends)
                if self._is_up is False:
                    log.warning("redis is back: replicas share refreshes and sign-outs again")
                self._is_up = True

    async def close(self) -> None:
        """Hang up."""
        with self._forgiving():
            await self._records.close()

    async def _learn(self, ends: Ends) -> bool:
        """Learn what has ended; False when this Redis is not the one it was, but empty or another."""
        epoch, entries, _ = await self._records.news()
        if epoch != self._epoch:
            return False
        ends.learn(entries)
        return True

    async def _reconcile(self, ends: Ends) -> None:
        """Learn all that has ended, and tell what Redis does not know: it may have come back empty."""
        self._epoch = await self._records.begin_epoch()
        theirs: dict[str, float] = {}
        for _ in range(BATCHES):
            _, entries, more = await self._records.news()
            ends.learn(entries)
            theirs.update(entries)
            if not more:
                break
        await self._records.tell([(what, when) for what, when in ends.known() if when > theirs.get(what, 0.0)])
        for known in list(self._told.values()):
            await self._records.put(known)

    async def _release(self, lock: Lock) -> None:
        with self._forgiving():
            try:
                await lock.release()
            except LockNotOwnedError:
                log.warning("a refresh took longer than its turn of %.0f s", TURN)

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Whatever Redis does in here, the proxy goes on; the log says when that begins."""
        try:
            yield
        except FAILURES as error:
            if self._is_up is not False:
                cause = f"{type(error).__name__}: {str(error)[:200]}"
                log.error("redis fails, each replica goes on by itself: %s", cause)  # noqa: TRY400 not a fault of ours
            self._is_up = False
