"""The memory in an embedded file: it survives a restart, and processes of one machine share it.

The law: SQLite is asked in a thread of its own, so that a slow disk holds up nobody who asks nothing of it. No
cursor leaves that thread: one that is freed elsewhere resets the statement that the thread is using.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from oauth_proxy.clock import MOST_AHEAD
from oauth_proxy.memory.file import Identity, Unusable, abandon, found, logs, made, opened, prepared, tried
from oauth_proxy.memory.home import BATCH, NONSENSE, Record

T = TypeVar("T")

_DEADLINE = 5.0
"""Seconds for one answer; the disk may have to write it."""
_CLEAN_EVERY = 60.0

_PUT = """
INSERT INTO record VALUES (:key, :at, :expires, :sealed) ON CONFLICT (key)
DO UPDATE SET at = :at, expires = :expires, sealed = :sealed WHERE at <= :at OR expires <= :now
"""
_ADD = """
INSERT INTO record VALUES (:key, :at, :expires, :sealed) ON CONFLICT (key)
DO UPDATE SET at = :at, expires = :expires, sealed = :sealed WHERE expires <= :now
"""
# An end that is told again gets a new number, so that everybody reads it; an older one changes nothing.
_UNTELL = "DELETE FROM ended WHERE key = :key AND at <= :at"
_TELL = """
INSERT INTO ended (site, key, at, expires, sealed) VALUES (:site, :key, :at, :expires, :sealed)
ON CONFLICT (key) DO NOTHING
"""
_NEWS = "SELECT number, sealed FROM ended WHERE number > ? AND site = ? ORDER BY number LIMIT ?"
_TOLD = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'ended'"
# The machine's monotonic clock begins anew with the machine: what lies far ahead is from before that. What lies
# a little ahead is not: who read the clock first may have had to wait for the file.
_TURN = """
INSERT INTO turn VALUES (:key, :owner, :until) ON CONFLICT (key)
DO UPDATE SET owner = :owner, until = :until WHERE until <= :now OR until > :stale
"""
_CLEAN = "DELETE FROM record WHERE key IN (SELECT key FROM record WHERE expires <= ? LIMIT ?)"
_CLEAN_TURNS = "DELETE FROM turn WHERE until <= ?"
_MOST_CLEANED = 5000


class SqliteHome:
    """The file at `path`; `site` tells proxies apart that do not share their cookie.

    `clock` tells seconds since the epoch. Raises ConfigurationError for a file that cannot be used.
    """

    name = "sqlite"
    lasting = True
    failures: tuple[type[Exception], ...] = (sqlite3.Error, OSError, Unusable, *NONSENSE)

    def __init__(self, path: Path, site: str, clock: Callable[[], float]) -> None:
        prepared(path)
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
        """The name that the file got when it was made, and which file it is: a copy has the same name."""
        self._read_to = 0

        def asked(file: sqlite3.Connection) -> object:
            tried(file)  # a file that can only be read is of no use
            return self._epoch(file)

        return await self.asked(asked)

    async def get(self, key: str) -> str | None:
        """The sealed text under the key."""
        query = "SELECT sealed FROM record WHERE key = ? AND expires > ?"
        row = await self.asked(lambda file: file.execute(query, (self._full(key), self._clock())).fetchone())
        return row[0] if row else None

    async def put(self, *records: Record) -> None:
        """Keep each, unless there is a later one."""
        rows = [self._row(record) for record in records]
        if any(record.key.startswith("session:") for record in records):
            await self.asked(
                lambda file: self._write(file, rows, _PUT)
            )  # their refresh tokens of before are spent
        else:
            await self.asked(lambda file: file.executemany(_PUT, rows).rowcount)

    async def add(self, record: Record) -> bool:
        """Keep it, unless there is one."""
        return await self.asked(lambda file: file.execute(_ADD, self._row(record)).rowcount) == 1

    async def delete(self, *keys: str) -> None:
        """Forget these."""
        rows = [(self._full(key),) for key in keys]
        await self.asked(lambda file: file.executemany("DELETE FROM record WHERE key = ?", rows).rowcount)

    async def every(self, kind: str) -> AsyncIterator[tuple[str, str]]:
        """Keys of this kind, each with its sealed text; what is added meanwhile may be missing."""
        after = self._full(f"{kind}:")
        while True:
            rows = await self.asked(partial(self._page, after, self._full(f"{kind};")))  # ";" follows ":"
            for key, sealed in rows:
                yield key.removeprefix(self._full("")), sealed
            if len(rows) < BATCH:
                return
            after = rows[-1][0]

    async def take(self, key: str, owner: str, lasts: float) -> bool:
        """Take the turn; by the machine's monotonic clock it is over by itself."""

        def take(file: sqlite3.Connection) -> int:
            now = time.monotonic()
            times = {"now": now, "until": now + lasts, "stale": now + 2 * lasts}
            return file.execute(_TURN, {"key": self._full(key), "owner": owner, **times}).rowcount

        return await self.asked(take) == 1

    async def give(self, key: str, owner: str) -> bool:
        """Give the turn back; False where it was this owner's no more."""
        query, row = "DELETE FROM turn WHERE key = ? AND owner = ?", (self._full(key), owner)
        return await self.asked(lambda file: file.execute(query, row).rowcount) == 1

    async def tell(self, ends: Sequence[Record]) -> None:
        """These have ended."""
        rows = [{**self._row(end), "site": self._site} for end in ends]
        await self.asked(lambda file: self._write(file, rows, _UNTELL, _TELL))

    async def news(self) -> tuple[object, list[str], bool]:
        """The file's name, what has ended since the last call, and whether there may be more."""

        def asked(file: sqlite3.Connection) -> tuple[object, list[tuple[int, str]]]:
            self._clean(file)
            [told] = file.execute(_TOLD).fetchone()
            if told < self._read_to:  # an older copy was written over it
                return None, []
            return self._epoch(file), file.execute(_NEWS, (self._read_to, self._site, BATCH)).fetchall()

        epoch, rows = await self.asked(asked)
        if rows:
            self._read_to = rows[-1][0]
        return epoch, [sealed for _, sealed in rows], len(rows) == BATCH

    async def close(self) -> None:
        """Let go of the file, when what was asked has been done."""
        try:
            async with asyncio.timeout(_DEADLINE):
                await asyncio.get_running_loop().run_in_executor(self._thread, self._let_go)
        finally:
            self._thread.shutdown(wait=False)

    async def asked(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` finds or does, in the thread. Raises TimeoutError for a disk that does not answer."""
        async with asyncio.timeout(_DEADLINE):
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """In the thread: the work, on the file that is at the path now."""
        try:
            if self._database is not None and self._file != found(self._path):
                abandon(self._path, self._file, self._logs)
                self._let_go()
            if self._database is None:
                self._file = made(self._path)
                self._database = opened(self._path)
                self._logs = logs(self._path)
            return work(self._database)
        except (sqlite3.Error, OSError):
            self._let_go()
            raise

    def _let_go(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _epoch(self, file: sqlite3.Connection) -> object:
        return self._file, file.execute("SELECT name FROM epoch").fetchone()

    def _page(self, after: str, end: str, file: sqlite3.Connection) -> list[tuple[str, str]]:
        query = "SELECT key, sealed FROM record WHERE key > ? AND key < ? AND expires > ? ORDER BY key LIMIT ?"
        return file.execute(query, (after, end, self._clock(), BATCH)).fetchall()

    def _write(self, file: sqlite3.Connection, rows: Sequence[dict[str, object]], *statements: str) -> None:
        """All of it or nothing; it is on the disk when this returns, and survives a power cut."""
        file.execute("PRAGMA synchronous = FULL")
        file.execute("BEGIN IMMEDIATE")
        with file:  # commits, or rolls back
            for statement in statements:
                file.executemany(statement, rows)
        file.execute("PRAGMA synchronous = NORMAL")

    def _clean(self, file: sqlite3.Connection) -> None:
        """A piece at a time, because others wait. Ends a day late: a clock may be ahead."""
        now = self._clock()
        if now >= self._clean_at:
            file.execute("DELETE FROM ended WHERE expires <= ?", (now - MOST_AHEAD,))
            file.execute(_CLEAN_TURNS, (time.monotonic(),))
            if file.execute(_CLEAN, (now, _MOST_CLEANED)).rowcount < _MOST_CLEANED:
                self._clean_at = now + _CLEAN_EVERY

    def _full(self, key: str) -> str:
        return f"{self._site}:{key}"

    def _row(self, record: Record) -> dict[str, object]:
        now = self._clock()
        values = {"key": self._full(record.key), "at": record.at, "sealed": record.sealed}
        return {**values, "expires": now + record.lasts, "now": now}
