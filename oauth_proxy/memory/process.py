"""The memory of a proxy on its own: in the process, gone with it, and never away."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from sys import getsizeof

from oauth_proxy.bounded import Weighed
from oauth_proxy.memory.home import Record

MOST_BYTES = 48 * 1024 * 1024
"""Of one kind of records, with all that is held for them."""


class _Shelf:
    """The records of one kind, bounded in bytes: what was kept longest ago, or is over, goes first.

    Each kind has its own, so that strangers' login attempts push no visitor's tokens out.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._records = Weighed[str, tuple[Record, float]](MOST_BYTES, _weight)

    def get(self, key: str) -> Record | None:
        """The record, where it is not over."""
        record, until = self._records.get(key) or (None, 0.0)
        return record if self._clock() < until else None

    def keep(self, record: Record) -> None:
        """In the place of whatever had that key."""
        self._records.keep(record.key, (record, self._clock() + record.lasts))
        while (oldest := next(iter(self._records), None)) is not None and not self.get(oldest):
            self.drop(oldest)

    def drop(self, key: str) -> None:
        """Forget it."""
        self._records.drop(key)

    def every(self) -> list[Record]:
        """All that are not over."""
        return [record for key in list(self._records) if (record := self.get(key))]


def _weight(key: str, kept: tuple[Record, float]) -> int:
    record, until = kept
    return sum(map(getsizeof, (kept, until, record, *record)))


class ProcessHome:
    """`clock` tells seconds since the epoch."""

    name = "memory"
    lasting = False
    failures: tuple[type[Exception], ...] = ()

    def __init__(self, clock: Callable[[], float]) -> None:
        self._shelves: defaultdict[str, _Shelf] = defaultdict(lambda: _Shelf(clock))

    async def open(self) -> object:
        """It is always the same."""
        return self.name

    async def get(self, key: str) -> str | None:
        """The sealed text under the key."""
        record = self._shelf(key).get(key)
        return record.sealed if record else None

    async def put(self, *records: Record) -> None:
        """Keep each, unless there is a later one."""
        for record in records:
            before = self._shelf(record.key).get(record.key)
            if before is None or before.at <= record.at:
                self._shelf(record.key).keep(record)

    async def add(self, record: Record) -> bool:
        """Keep it, unless there is one."""
        if self._shelf(record.key).get(record.key) is not None:
            return False
        self._shelf(record.key).keep(record)
        return True

    async def delete(self, *keys: str) -> None:
        """Forget these."""
        for key in keys:
            self._shelf(key).drop(key)

    async def every(self, kind: str) -> AsyncIterator[tuple[str, str]]:
        """Keys of this kind, each with its sealed text."""
        for record in self._shelves[kind].every():
            yield record.key, record.sealed

    async def take(self, key: str, owner: str, lasts: float) -> bool:
        """At once: no other process is here, and within this one nobody refreshes a session twice at a time."""
        return True

    async def give(self, key: str, owner: str) -> bool:
        """It was ours."""
        return True

    async def tell(self, ends: Sequence[Record]) -> None:
        """There is nobody to tell."""

    async def news(self) -> tuple[object, list[str], bool]:
        """Nobody else has ended anything."""
        return self.name, [], False

    async def close(self) -> None:
        """There is nothing to close."""

    def _shelf(self, key: str) -> _Shelf:
        return self._shelves[key.partition(":")[0]]
