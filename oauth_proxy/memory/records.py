"""The format of records: versioned JSON, sealed for its key, so that no record can be used under another key.

The law: a later release may only add fields at the end, which this one skips. Any other change gets a new format
version, which this release does not read.
"""

import json
import logging
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar

from oauth_proxy.memory.home import NONSENSE, Record
from oauth_proxy.seal import Sealer, Unsealable

log = logging.getLogger(__name__)

T = TypeVar("T")
Fields = TypeVar("Fields", bound=NamedTuple)

_VERSION = 1


class Entry(NamedTuple):
    """A record before it is sealed. Of two with the same key, the one with the later `at` wins."""

    key: str
    content: bytes
    at: float
    lasts: float


class Records:
    """Seals and opens records of one `site`; `home` is their home's name, for the log."""

    def __init__(self, sealer: Sealer, site: str, home: str) -> None:
        self._sealer = sealer
        self._site = site
        self._home = home
        self._complaints: set[str] = set()

    def sealed(self, entry: Entry) -> Record:
        """The entry as a sealed record."""
        return Record(entry.key, self.seal(entry.content, entry.key), entry.at, entry.lasts)

    def seal(self, content: bytes, key: str) -> str:
        """Seal the content; `opened` opens it with the same key."""
        return self._sealer.seal(content, f"{self._site}:{key}")

    def opened(self, sealed: str, key: str, read: Callable[[bytes], T]) -> T | None:
        """The content that was sealed for this key, decoded by `read`; None if it cannot be opened or decoded.

        A failure is logged once until `complain_again`, because it may concern every record.
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

    def judged(
        self, sealed: str, key: str, read: Callable[[bytes], object]
    ) -> Literal["ours", "version", "secret"]:
        """Whether this is ours, or another version's or another secret's; nothing is logged."""
        try:
            read(self._sealer.open(sealed, f"{self._site}:{key}"))
        except Unsealable:
            return "secret"
        except NONSENSE:
            return "version"
        return "ours"

    def complain_again(self) -> None:
        """Log the next failure again."""
        self._complaints.clear()


def written(thing: NamedTuple) -> bytes:
    """The tuple encoded as bytes."""
    return json.dumps([_VERSION, *thing]).encode()


def read(kind: type[Fields], content: bytes) -> Fields:
    """Decode what `written` encoded. Raises ValueError or TypeError for another format version."""
    version, *fields = json.loads(content)
    if version != _VERSION:
        raise ValueError(f"version {version!r}")
    return kind(*fields[: len(kind._fields)])
