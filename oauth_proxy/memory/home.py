"""Where a memory can live: what each home offers, whatever it is made of.

The law: a home holds sealed texts under keys that tell nothing, keeps none for ever, and raises what goes wrong.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

DEADLINE = 1.0
"""Seconds a home may take to connect, or to answer."""
TURN = 15.0
"""Seconds after which the turn of a process that died is over; longer than a call to the provider may take."""
LOOK_AGAIN = 0.05
"""Seconds between two tries to get a turn."""
BATCH = 500
"""Ends that are read or told at a time."""


class Record(NamedTuple):
    """A sealed text; of two under one key the one with the later `at` counts. Gone after `lasts` seconds."""

    key: str
    sealed: str
    at: float
    lasts: float


class Turn(Protocol):
    """Something that one process at a time may do."""

    async def acquire(self) -> bool:
        """Whether it is ours now; False when others kept it for TURN seconds and more."""
        ...

    async def release(self) -> bool:
        """The next one's turn; whether it had still been ours."""
        ...


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

    async def put(self, record: Record) -> None:
        """Keep it, unless there is a later one."""
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

    def turn(self, key: str) -> Turn:
        """The turn of this key, not ours yet."""
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
