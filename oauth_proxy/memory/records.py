"""How things are written into records: sealed, each for its key, so that another version is not confused.

The law: a later version may only add fields at the end, which this one skips; whatever else changes gets a new
version, which this one does not read.
"""

import json
import logging
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from oauth_proxy.memory.home import NONSENSE, Record
from oauth_proxy.seal import Sealer, Unsealable

log = logging.getLogger(__name__)

T = TypeVar("T")
Fields = TypeVar("Fields", bound=NamedTuple)

_VERSION = 1


class Entry(NamedTuple):
    """A record before it is sealed; of two under one key the one with the later `at` counts."""

    key: str
    content: bytes
    at: float
    lasts: float


class Records:
    """Seals and opens for one `site`; `home` is where the records are, for the log."""

    def __init__(self, sealer: Sealer, site: str, home: str) -> None:
        self._sealer = sealer
        self._site = site
        self._home = home
        self._complaints: set[str] = set()

    def sealed(self, entry: Entry) -> Record:
        """The record that keeps the entry."""
        return Record(entry.key, self.seal(entry.content, entry.key), entry.at, entry.lasts)

    def seal(self, content: bytes, key: str) -> str:
        """The content as `opened` opens it for the same key."""
        return self._sealer.seal(content, f"{self._site}:{key}")

    def opened(self, sealed: str, key: str, read: Callable[[bytes], T]) -> T | None:
        """What was sealed for this key, as `read` reads it; None, and a line in the log, for what it cannot read.

        The log says so once, until `complain_again`: it may be true of all that is there.
        """
        try:
            return read(self._sealer.open(sealed, f"{self._site}:{key}"))
        except Unsealable:
            why = "cannot open; do all processes have the same session.secret?"
        except NONSENSE:
            why = "cannot read; did another version of the proxy write it?"
        if why not in self._complaints:
            self._complaints.add(why)
            log.error("%s holds what this proxy %s", self._home, why)
        return None

    def complain_again(self) -> None:
        """Whatever cannot be read from now on is told of."""
        self._complaints.clear()


def written(thing: NamedTuple) -> bytes:
    """The thing as bytes fit for sealing."""
    return json.dumps([_VERSION, *thing]).encode()


def read(kind: type[Fields], content: bytes) -> Fields:
    """The thing that `written` wrote. Raises ValueError or TypeError for one of another version."""
    version, *fields = json.loads(content)
    if version != _VERSION:
        raise ValueError(f"version {version!r}")
    return kind(*fields[: len(kind._fields)])
