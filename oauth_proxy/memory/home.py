"""Where a memory can live: what each home offers, whatever it is made of.

The law: a home holds sealed texts under keys that tell nothing, keeps none for ever, and raises what goes wrong.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

DEADLINE = 1.0
"""Seconds a home may take to connect, or to answer."""
TURN = 30.0
"""Seconds after which the turn of a process that died is over: longer than all that is done in one may take."""
LOOK_AGAIN = 0.05
"""Seconds between two tries to get a turn."""
BATCH = 500
"""Records that are read or told at a time."""
NONSENSE: tuple[type[Exception], ...] = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, RuntimeError),
)
"""What an answer that is none may lead to, in the client's code or in ours."""


class Record(NamedTuple):
    """A sealed text; of two under one key the one with the later `at` counts. Gone after `lasts` seconds."""

    key: str
    sealed: str
    at: float
    lasts: float


class Home(Protocol):
    """One place for what processes know together."""

    name: str
    """What it is called in the log and in metrics."""
    lasting: bool
    """Whether it outlives this process, so that other processes may be on it."""
    failures: tuple[type[Exception], ...]
    """What it raises when it is away or talks nonsense."""

    async def open(self) -> object:
        """What names the content until it is emptied; reading what has ended begins anew."""
        ...

    async def get(self, key: str) -> str | None:
        """The sealed text under the key."""
        ...

    async def put(self, *records: Record) -> None:
        """Keep each, unless there is a later one."""
        ...

    async def add(self, record: Record) -> bool:
        """Keep it, unless there is one; whether there was none."""
        ...

    async def delete(self, *keys: str) -> None:
        """Forget these."""
        ...

    def every(self, kind: str) -> AsyncIterator[tuple[str, str]]:
        """Keys that begin with `kind` and a colon, each with its sealed text."""
        ...

    async def take(self, key: str, owner: str, lasts: float) -> bool:
        """Take the turn of this key for `lasts` seconds; False while another owner has it."""
        ...

    async def give(self, key: str, owner: str) -> bool:
        """Give the turn back; False where it was this owner's no more."""
        ...

    async def tell(self, ends: Sequence[Record]) -> None:
        """These have ended; every process reads each of them once."""
        ...

    async def news(self) -> tuple[object, list[str], bool]:
        """What names the content, the sealed ends since the last call, and whether there may be more."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...
