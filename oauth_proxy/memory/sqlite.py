"""The home in an SQLite file: it survives a restart, and the processes of one machine share it.

The law: SQLite is used in its own thread, so that a slow disk delays only requests that need it. No cursor leaves
that thread: a cursor freed in another thread would reset the statement that this thread is using.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from oauth_proxy.clock import MOST_AHEAD
from oauth_proxy.memory.file import (
    Identity,
    Unusable,
    abandon,
    alone,
    found,
    give_up,
    is_full,
    logs,
    made,
    opened,
    prepared,
    tried,
)
from oauth_proxy.memory.home import BATCH, NONSENSE, Hazard, Record
from oauth_proxy.memory.place import remote_filesystem_hazard, room

T = TypeVar("T")

_DEADLINE = 5.0
"""Seconds for one operation, which may have to wait for the disk."""
_CLEAN_EVERY = 60.0

_PUT = """
INSERT INTO record VALUES (:key, :at, :expires, :sealed) ON CONFLICT (key)
DO UPDATE SET at = :at, expires = :expires, sealed = :sealed WHERE at <= :at OR expires <= :now
"""
_ADD = """
INSERT INTO record VALUES (:key, :at, :expires, :sealed) ON CONFLICT (key)
DO UPDATE SET at = :at, expires = :expires, sealed = :sealed WHERE expires <= :now
"""
# An end that is published again gets a new number, so that every process reads it; an older one is ignored.
_UNTELL = "DELETE FROM ended WHERE key = :key AND at <= :at"
_TELL = """
INSERT INTO ended (site, key, at, expires, sealed) VALUES (:site, :key, :at, :expires, :sealed)
ON CONFLICT (key) DO NOTHING
"""
_NEWS = "SELECT number, sealed FROM ended WHERE number > ? AND site = ? ORDER BY number LIMIT ?"
_TOLD = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'ended'"
# The monotonic clock restarts when the machine boots, so a lease far ahead is from before the boot and is stale. A
# lease slightly ahead is not: its process may have read the clock later and got the file earlier.
# The table keeps the name "turn", and Redis the key, that files and replicas of 0.1.0 know.
_LEASE = """
INSERT INTO turn VALUES (:key, :owner, :until) ON CONFLICT (key)
DO UPDATE SET owner = :owner, until = :until WHERE until <= :now OR until > :stale
"""
_CLEAN = "DELETE FROM record WHERE key IN (SELECT key FROM record WHERE expires <= ? LIMIT ?)"
_CLEAN_LEASES = "DELETE FROM turn WHERE until <= ?"
_MOST_CLEANED = 5000
_AT_ONCE = 20
"""Records that one transaction deletes: SQLite may write all their pages to the log (secure_delete)."""
MOST_BYTES = 96 * 1024 * 1024
"""Bytes of a file that lies in memory; half of the room there, if that is less: the log needs some, and grows
while somebody reads. Strangers can fill it with attempts to log in."""
_EVICT = "DELETE FROM record WHERE key IN (SELECT key FROM record ORDER BY expires LIMIT ?)"


class SqliteHome:
    """A home in the file at `path`; `site` separates proxies that do not share a cookie.

    `clock` returns seconds since the epoch; `lasting` is whether the file outlives the proxy. Raises
    ConfigurationError for a file that cannot be used, unless it `may_wait` until it can.
    """

    name = "sqlite"
    shared = True
    failures: tuple[type[Exception], ...] = (sqlite3.Error, OSError, Unusable, *NONSENSE)

    def __init__(
        self,
        path: Path,
        site: str,
        clock: Callable[[], float],
        *,
        lasting: bool = True,
        may_wait: bool = False,
    ) -> None:
        self.lasting = lasting
        if not may_wait:
            prepared(path, lasting=lasting)
        self._path = path
        self._site = site
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._database: sqlite3.Connection | None = None
        self._file = Identity(0, 0)
        self._logs: Sequence[Identity] = ()
        self._read_to = 0
        self._clean_at = 0.0

    async def open(self) -> object:
        """The id that the file got when it was created, and its inode: a copy has the same id."""
        self._read_to = 0

        def asked(file: sqlite3.Connection) -> object:
            tried(file)  # a read-only file is not usable
            return self._epoch(file)

        return await self.asked(asked)

    async def get(self, key: str) -> str | None:
        """The sealed text under the key."""
        query = "SELECT sealed FROM record WHERE key = ? AND expires > ?"
        row = await self.asked(lambda file: file.execute(query, (self._full(key), self._clock())).fetchone())
        return row[0] if row else None

    async def put(self, *records: Record) -> None:
        """Store each record, unless there is a later one with its key."""
        rows = [self._row(record) for record in records]
        if not self.lasting:
            await self.asked(partial(self._put_singly, rows))
        elif any(record.key.startswith("session:") for record in records):
            # Synced, as the old refresh tokens no longer work.
            await self.asked(lambda file: self._write(file, rows, _PUT))
        else:
            await self.asked(lambda file: file.executemany(_PUT, rows).rowcount)

    async def add(self, record: Record) -> bool:
        """Store the record if there is none with its key. Returns whether it was stored."""
        return await self.asked(lambda file: file.execute(_ADD, self._row(record)).rowcount) == 1

    async def delete(self, *keys: str) -> None:
        """Delete these records."""
        rows = [(self._full(key),) for key in keys]
        await self.asked(lambda file: file.executemany("DELETE FROM record WHERE key = ?", rows).rowcount)

    async def every(self, kind: str) -> AsyncIterator[tuple[str, str]]:
        """All keys of this kind with their sealed texts. Records added meanwhile may be missing."""
        after = self._full(f"{kind}:")
        while True:
            rows = await self.asked(partial(self._page, after, self._full(f"{kind};")))  # ";" sorts just after ":"
            for key, sealed in rows:
                yield key.removeprefix(self._full("")), sealed
            if len(rows) < BATCH:
                return
            after = rows[-1][0]

    async def take(self, key: str, owner: str, lasts: float) -> bool:
        """Take the lease. It expires by itself, by the machine's monotonic clock."""

        def take(file: sqlite3.Connection) -> int:
            now = time.monotonic()
            times = {"now": now, "until": now + lasts, "stale": now + 2 * lasts}
            return file.execute(_LEASE, {"key": self._full(key), "owner": owner, **times}).rowcount

        return await self.asked(take) == 1

    async def give(self, key: str, owner: str) -> bool:
        """Release the lease; False if this owner no longer had it."""
        query, row = "DELETE FROM turn WHERE key = ? AND owner = ?", (self._full(key), owner)
        return await self.asked(lambda file: file.execute(query, row).rowcount) == 1

    async def tell(self, ends: Sequence[Record]) -> None:
        """Publish these ends."""
        rows = [{**self._row(end), "site": self._site} for end in ends]
        await self.asked(lambda file: self._write(file, rows, _UNTELL, _TELL))

    async def news(self) -> tuple[object, list[str], bool]:
        """The id of the content, the sealed ends since the last call, and whether there may be more."""

        def asked(file: sqlite3.Connection) -> tuple[object, list[tuple[int, str]]]:
            self._clean(file)
            [told] = file.execute(_TOLD).fetchone()
            if told < self._read_to:  # somebody overwrote the file with an older copy
                return None, []
            return self._epoch(file), file.execute(_NEWS, (self._read_to, self._site, BATCH)).fetchall()

        epoch, rows = await self.asked(asked)
        if rows:
            self._read_to = rows[-1][0]
        return epoch, [sealed for _, sealed in rows], len(rows) == BATCH

    async def hazard(self) -> Hazard | None:
        """Whether it lies where other machines have it too."""
        return await self.asked(lambda _: remote_filesystem_hazard(self._path))

    async def close(self) -> None:
        """Close the file after the pending work is done."""
        try:
            async with asyncio.timeout(_DEADLINE):
                await asyncio.get_running_loop().run_in_executor(self._thread, self._let_go)
        finally:
            self._thread.shutdown(wait=False)

    async def asked(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the thread and return its result. Raises TimeoutError if the disk hangs."""
        async with asyncio.timeout(_DEADLINE):
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run the work, in the thread, on the file that is at the path now."""
        try:
            if self._database is not None and self._file != found(self._path):
                with self._alone():
                    abandon(self._path, self._file, self._logs)
                self._let_go()
            if self._database is None:
                with self._alone():
                    self._file = made(self._path)
                    self._database = opened(self._path)
                    self._logs = logs(self._path)
            return work(self._database)
        except (sqlite3.Error, OSError) as error:
            if not self.lasting and is_full(error):
                # Nothing can be deleted in a full file, as the log needs room for it. All workers tell a new one.
                with suppress(OSError), self._alone():
                    give_up(self._path, self._file)
            self._let_go()
            raise

    def _alone(self) -> AbstractContextManager[None]:
        return alone(self._path, lasting=self.lasting)

    def _let_go(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _epoch(self, file: sqlite3.Connection) -> object:
        return self._file, file.execute("SELECT name FROM epoch").fetchone()

    def _page(self, after: str, end: str, file: sqlite3.Connection) -> list[tuple[str, str]]:
        query = "SELECT key, sealed FROM record WHERE key > ? AND key < ? AND expires > ? ORDER BY key LIMIT ?"
        return file.execute(query, (after, end, self._clock(), BATCH)).fetchall()

    def _put_singly(self, rows: Sequence[dict[str, object]], file: sqlite3.Connection) -> None:
        """Not synced, as the file ends with the proxy. Never far above the bound: workers tell a new file all."""
        for row in rows:
            file.execute(_PUT, row)
            self._evict(file)

    def _write(self, file: sqlite3.Connection, rows: Sequence[dict[str, object]], *statements: str) -> None:
        """One synced transaction: it survives a power cut once this returns."""
        file.execute("PRAGMA synchronous = FULL")
        file.execute("BEGIN IMMEDIATE")
        with file:  # commits, or rolls back
            for statement in statements:
                file.executemany(statement, rows)
        file.execute("PRAGMA synchronous = NORMAL")

    def _clean(self, file: sqlite3.Connection) -> None:
        """Delete expired records in batches, because others wait. Ends go a day late, in case a clock is ahead."""
        now = self._clock()
        if now >= self._clean_at:
            file.execute("DELETE FROM ended WHERE expires <= ?", (now - MOST_AHEAD,))
            file.execute(_CLEAN_LEASES, (time.monotonic(),))
            for _ in range(0, _MOST_CLEANED, _AT_ONCE):
                if file.execute(_CLEAN, (now, _AT_ONCE)).rowcount < _AT_ONCE:
                    self._clean_at = now + _CLEAN_EVERY
                    break
        self._evict(file)

    def _evict(self, file: sqlite3.Connection) -> None:
        """If a file in memory is too large, delete a tenth of it, or as much as others can wait for.

        What expires next goes first: attempts live for minutes, what is known of sessions for days.
        """
        if self.lasting:
            return
        size, used = _bytes_of(file)
        left = room(self._path)
        most = MOST_BYTES if left is None else min(MOST_BYTES, (left + size) // 2)
        if used > most:
            for _ in range(0, _MOST_CLEANED, _AT_ONCE):
                deleted = file.execute(_EVICT, (_AT_ONCE,)).rowcount
                if deleted < _AT_ONCE or _bytes_of(file)[1] <= most * 0.9:
                    break

    def _full(self, key: str) -> str:
        return f"{self._site}:{key}"

    def _row(self, record: Record) -> dict[str, object]:
        now = self._clock()
        values = {"key": self._full(record.key), "at": record.at, "sealed": record.sealed}
        return {**values, "expires": now + record.lasts, "now": now}


def _bytes_of(file: sqlite3.Connection) -> tuple[int, int]:
    """All bytes, and those in use. Pages that were freed are used again before the file grows."""
    [size], [pages], [free] = (
        file.execute(f"PRAGMA {name}").fetchone() for name in ("page_size", "page_count", "freelist_count")
    )
    return size * pages, size * (pages - free)
