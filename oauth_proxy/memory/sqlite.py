"""The memory in an embedded file: it survives a restart, and processes of one machine share it.

The law: SQLite is asked in a thread of its own, so that a slow disk holds up nobody who asks nothing of it.
"""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from oauth_proxy.memory import home
from oauth_proxy.memory.file import Unusable, opened, prepared
from oauth_proxy.memory.home import BATCH, Record

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
# An end that is told again gets a new number, so that everybody reads it.
_TELL = "INSERT OR REPLACE INTO ended (site, key, expires, sealed) VALUES (?, ?, ?, ?)"
_NEWS = "SELECT number, sealed FROM ended WHERE number > ? AND site = ? ORDER BY number LIMIT ?"
# The machine's monotonic clock begins anew with the machine: what lies too far ahead is from before that.
_TURN = """
INSERT INTO turn VALUES (:key, :owner, :until) ON CONFLICT (key)
DO UPDATE SET owner = :owner, until = :until WHERE until <= :now OR until > :until
"""


class SqliteHome:
    """The file at `path`; `site` tells proxies apart that do not share their cookie.

    `clock` tells seconds since the epoch. Raises ConfigurationError for a file that cannot be used.
    """

    name = "sqlite"
    lasting = True
    failures: tuple[type[Exception], ...] = (sqlite3.Error, OSError, Unusable, ValueError, TypeError)

    def __init__(self, path: Path, site: str, clock: Callable[[], float]) -> None:
        prepared(path)
        self._path = path
        self._site = site
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._database: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._read_to = 0
        self._clean_at = 0.0

    async def open(self) -> object:
        """The name that the file got when it was made."""
        self._read_to = 0

        def asked(file: sqlite3.Connection) -> object:
            file.execute("UPDATE epoch SET name = name")  # a file that can only be read is of no use
            return self._epoch(file)

        return await self.asked(asked)

    async def get(self, key: str) -> str | None:
        """The sealed text under the key."""
        query = "SELECT sealed FROM record WHERE key = ? AND expires > ?"
        row = await self.asked(lambda file: file.execute(query, (self._full(key), self._clock())).fetchone())
        return row[0] if row else None

    async def put(self, record: Record) -> None:
        """Keep it, unless there is a later one."""
        await self.asked(lambda file: file.execute(_PUT, self._row(record)))

    async def add(self, record: Record) -> bool:
        """Keep it, unless there is one."""
        return await self.asked(lambda file: file.execute(_ADD, self._row(record)).rowcount) == 1

    async def delete(self, *keys: str) -> None:
        """Forget these."""
        rows = [(self._full(key),) for key in keys]
        await self.asked(lambda file: file.executemany("DELETE FROM record WHERE key = ?", rows))

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

    def turn(self, key: str) -> "_Turn":
        """The turn of this key, not ours yet."""
        return _Turn(self, self._full(key))

    async def tell(self, ends: Sequence[Record]) -> None:
        """These have ended."""
        now = self._clock()
        rows = [(self._site, self._full(end.key), now + end.lasts, end.sealed) for end in ends]

        def told(file: sqlite3.Connection) -> None:
            file.execute("BEGIN IMMEDIATE")
            with file:  # commits, or rolls back
                file.executemany(_TELL, rows)

        if rows:
            await self.asked(told)

    async def news(self) -> tuple[object, list[str], bool]:
        """The file's name, and what has ended since the last call."""

        def asked(file: sqlite3.Connection) -> tuple[object, list[tuple[int, str]]]:
            self._clean(file)
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
            if self._database is None or self._file != self._found():
                self._let_go()  # the file was replaced or removed: what is written to the old one is lost
                self._database = opened(self._path)
                self._file = self._found()
            return work(self._database)
        except (sqlite3.Error, OSError):
            self._let_go()
            raise

    def _found(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _let_go(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _epoch(self, file: sqlite3.Connection) -> object:
        return file.execute("SELECT name FROM epoch").fetchone()

    def _page(self, after: str, end: str, file: sqlite3.Connection) -> list[tuple[str, str]]:
        query = "SELECT key, sealed FROM record WHERE key > ? AND key < ? AND expires > ? ORDER BY key LIMIT ?"
        return file.execute(query, (after, end, self._clock(), BATCH)).fetchall()

    def _clean(self, file: sqlite3.Connection) -> None:
        now = self._clock()
        if now >= self._clean_at:
            self._clean_at = now + _CLEAN_EVERY
            file.execute("DELETE FROM record WHERE expires <= ?", (now,))
            file.execute("DELETE FROM ended WHERE expires <= ?", (now,))

    def _full(self, key: str) -> str:
        return f"{self._site}:{key}"

    def _row(self, record: Record) -> dict[str, object]:
        now = self._clock()
        values = {"key": self._full(record.key), "at": record.at, "sealed": record.sealed}
        return {**values, "expires": now + record.lasts, "now": now}


class _Turn:
    """A row that says whose turn it is, and until when by the machine's monotonic clock."""

    def __init__(self, home: SqliteHome, key: str) -> None:
        self._home = home
        self._row = {"key": key, "owner": secrets.token_hex(8)}

    async def acquire(self) -> bool:
        """Whether it is ours now; others are waited for."""
        give_up = time.monotonic() + home.TURN + home.DEADLINE
        while not await self._home.asked(self._try):
            if time.monotonic() >= give_up:
                return False
            await asyncio.sleep(home.LOOK_AGAIN)
        return True

    async def release(self) -> bool:
        """The next one's turn; whether it had still been ours."""
        query = "DELETE FROM turn WHERE key = :key AND owner = :owner"
        return await self._home.asked(lambda file: file.execute(query, self._row).rowcount) == 1

    def _try(self, file: sqlite3.Connection) -> bool:
        now = time.monotonic()
        row = {**self._row, "until": now + home.TURN, "now": now}
        return file.execute(_TURN, row).rowcount == 1
