"""The memory of a proxy on its own: in the process, gone with it, and never away."""

from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence

from oauth_proxy.memory.home import Record

MOST_BYTES = 48 * 1024 * 1024
"""Of one kind of records."""
_OVERHEAD = 300
"""Bytes that a record takes besides its text, roughly."""


class _Shelf:
    """The records of one kind, bounded in bytes: what was kept longest ago, or is over, goes first.

    Each kind has its own, so that strangers' login attempts push no visitor's tokens out.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._records: OrderedDict[str, tuple[Record, float]] = OrderedDict()
        self._bytes = 0

    def get(self, key: str) -> Record | None:
        """The record, where it is not over."""
        record, until = self._records.get(key, (None, 0.0))
        return record if self._clock() < until else None

    def keep(self, record: Record) -> None:
        """In the place of whatever had that key."""
        self.drop(record.key)
        self._records[record.key] = record, self._clock() + record.lasts
        self._bytes += len(record.sealed) + _OVERHEAD
        while self._records:
            oldest = next(iter(self._records))
            if self._bytes <= MOST_BYTES and self.get(oldest):
                break
            self.drop(oldest)

    def drop(self, key: str) -> None:
        """Forget it."""
        dropped = self._records.pop(key, None)
        if dropped is not None:
            self._bytes -= len(dropped[0].sealed) + _OVERHEAD

    def every(self) -> list[Record]:
        """All that are not over."""
        return [record for key in list(self._records) if (record := self.get(key))]


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
