"""The home of a single proxy: in this process. It ends with the process and is always available."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from sys import getsizeof

from oauth_proxy.bounded import Weighed
from oauth_proxy.memory.home import Record

MOST_BYTES = 48 * 1024 * 1024
"""Bytes for one kind of records, including Python's overhead."""


class _Shelf:
    """The records of one kind, bounded in bytes: expired records and the oldest are dropped first.

    Each kind has its own shelf, so that login attempts of strangers do not evict visitors' tokens.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._records = Weighed[str, tuple[Record, float]](MOST_BYTES, _weight)

    def get(self, key: str) -> Record | None:
        """The record, unless it has expired."""
        record, until = self._records.get(key) or (None, 0.0)
        return record if self._clock() < until else None

    def keep(self, record: Record) -> None:
        """Store the record; it replaces one with the same key."""
        self._records.keep(record.key, (record, self._clock() + record.lasts))
        while (oldest := next(iter(self._records), None)) is not None and not self.get(oldest):
            self.drop(oldest)

    def drop(self, key: str) -> None:
        """Delete the record."""
        self._records.drop(key)

    def every(self) -> list[Record]:
        """All records that have not expired."""
        return [record for key in list(self._records) if (record := self.get(key))]


def _weight(key: str, kept: tuple[Record, float]) -> int:
    record, until = kept
    return sum(map(getsizeof, (kept, until, record, *record)))


class ProcessHome:
    """A home in this process. `clock` returns seconds since the epoch."""

    name = "memory"
    lasting = False
    shared = False
    failures: tuple[type[Exception], ...] = ()

    def __init__(self, clock: Callable[[], float]) -> None:
        self._shelves: defaultdict[str, _Shelf] = defaultdict(lambda: _Shelf(clock))

    async def open(self) -> object:
        """The content is never lost, so its id is constant."""
        return self.name

    async def get(self, key: str) -> str | None:
        """The sealed text under the key."""
        record = self._shelf(key).get(key)
        return record.sealed if record else None

    async def put(self, *records: Record) -> None:
        """Store each record, unless there is a later one with its key."""
        for record in records:
            before = self._shelf(record.key).get(record.key)
            if before is None or before.at <= record.at:
                self._shelf(record.key).keep(record)

    async def add(self, record: Record) -> bool:
        """Store the record if there is none with its key. Returns whether it was stored."""
        if self._shelf(record.key).get(record.key) is not None:
            return False
        self._shelf(record.key).keep(record)
        return True

    async def delete(self, *keys: str) -> None:
        """Delete these records."""
        for key in keys:
            self._shelf(key).drop(key)

    async def every(self, kind: str) -> AsyncIterator[tuple[str, str]]:
        """All keys of this kind, with their sealed texts."""
        for record in self._shelves[kind].every():
            yield record.key, record.sealed

    async def take(self, key: str, owner: str, lasts: float) -> bool:
        """Always succeeds: no other process uses this home, and `Refresher` runs one refresh per session."""
        return True

    async def give(self, key: str, owner: str) -> bool:
        """Always succeeds."""
        return True

    async def tell(self, ends: Sequence[Record]) -> None:
        """Do nothing: there is no other process."""

    async def news(self) -> tuple[object, list[str], bool]:
        """Nothing: there is no other process."""
        return self.name, [], False

    async def hazard(self) -> None:
        """Nothing: it ends with the process, as everybody knows."""

    async def close(self) -> None:
        """Do nothing."""

    def _shelf(self, key: str) -> _Shelf:
        return self._shelves[key.partition(":")[0]]
