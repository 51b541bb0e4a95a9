"""The interface of a home, the place where the memory is stored (this process, SQLite or Redis).

The law: a home holds sealed texts under keys that reveal nothing, keeps none forever, and raises every error.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

DEADLINE = 1.0
"""Seconds that a home may take to connect, or to reply."""
LEASE = 30.0
"""Seconds after which a lease ends although its process died; longer than the work in a lease may take."""
LOOK_AGAIN = 0.05
"""Seconds between two attempts to take a lease."""
BATCH = 500
"""Records that are read or written at a time."""
NONSENSE: tuple[type[Exception], ...] = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, RuntimeError),
)
"""Errors that a malformed reply may cause, in the client library or in our code."""


class Record(NamedTuple):
    """A sealed text. Of two with one key, the one with the later `at` wins. It expires after `lasts` seconds."""

    key: str
    sealed: str
    at: float
    lasts: float


class Hazard(NamedTuple):
    """What could make a home lose what it is told, and what to do about it; two sentences."""

    means: str
    advice: str


class Home(Protocol):
    """A place for the state that processes share."""

    name: str
    """Its name in the log and in metrics."""
    lasting: bool
    """Whether it outlives a restart of the proxy."""
    shared: bool
    """Whether several processes use it, so that its content may be lost while this one goes on."""
    failures: tuple[type[Exception], ...]
    """What it raises when it cannot be reached or sends malformed replies."""

    async def open(self) -> object:
        """Connect. Returns an id of the content, which changes when that is lost. `news` begins anew."""
        ...

    async def get(self, key: str) -> str | None:
        """The sealed text under the key."""
        ...

    async def put(self, *records: Record) -> None:
        """Store each record, unless there is a later one with its key."""
        ...

    async def add(self, record: Record) -> bool:
        """Store the record if there is none with its key. Returns whether it was stored."""
        ...

    async def delete(self, *keys: str) -> None:
        """Delete these records."""
        ...

    def every(self, kind: str) -> AsyncIterator[tuple[str, str]]:
        """All keys that begin with `kind` and a colon, with their sealed texts."""
        ...

    async def take(self, key: str, owner: str, lasts: float) -> bool:
        """Take the lease of this key for `lasts` seconds; False while another owner has it."""
        ...

    async def give(self, key: str, owner: str) -> bool:
        """Release the lease; False if this owner no longer had it."""
        ...

    async def tell(self, ends: Sequence[Record]) -> None:
        """Publish ends of sessions; every process reads each of them once."""
        ...

    async def news(self) -> tuple[object, list[str], bool]:
        """The id of the content, the sealed ends since the last call, and whether there may be more."""
        ...

    async def hazard(self) -> Hazard | None:
        """What could make it lose what it is told, as far as it says."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...
