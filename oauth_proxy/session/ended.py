"""Sessions that were ended before their time, so that a copy of their cookie opens nothing.

The law: an end is remembered for as long as the session could have lasted, and forgotten after that.
"""

import json
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from oauth_proxy.identity import Session
from oauth_proxy.session.memory import ALONE, EVERYBODY, Memory, user_entry

log = logging.getLogger(__name__)

_MOST = 100_000


class Ended:
    """What has ended: single sessions, and all of somebody's that began before a moment.

    `lifetime` in seconds; `clock` tells seconds since the epoch. `journal` remembers across restarts, `memory`
    across replicas.
    """

    def __init__(
        self,
        lifetime: float,
        clock: Callable[[], float],
        journal: "Journal | None" = None,
        memory: Memory = ALONE,
    ) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._journal = journal
        self._memory = memory
        self._at: OrderedDict[str, float] = OrderedDict()

    async def end(self, session: Session) -> None:
        """This session is over."""
        now, what = self._clock(), f"session {session.id}"
        self._remember(what, now)
        if self._journal is not None:
            try:
                self._journal.append(what, now)
            except OSError as error:
                log.warning("an ended session is remembered only until the next restart: %s", error)
        await self._memory.end(what, now, session.id)

    async def end_user(self, user: str | None) -> str | None:
        """All sessions of an id or email address that have begun by now are over; everybody's for None.

        Returns why that is not kept elsewhere; None when it is, or when there is nowhere to keep it.
        """
        what, now = user_entry(user, self._clock())
        self._remember(what, now)
        if self._journal is not None:
            try:
                self._journal.append(what, now)
            except OSError as error:
                return str(error)
        await self._memory.end(what, now, "")
        return self._memory.trouble

    def has(self, session: Session) -> bool:
        """Whether this session is over."""
        at = self._at
        if not at:
            return False
        if f"session {session.id}" in at:
            return True
        who = session.identity
        names = [f"user {name.lower()}" for name in (who.id, who.email) if name is not None]
        return any(at.get(each, 0.0) >= session.created for each in (EVERYBODY, *names))

    async def follow(self) -> None:
        """Learn what others have ended since the last call; everything at the first."""
        if self._journal is not None:
            try:
                self.learn(self._journal.news())
            except OSError as error:
                log.warning("the journal of ended sessions cannot be read: %s", error)
        await self._memory.follow(self)

    def learn(self, entries: Iterable[tuple[str, float]]) -> None:
        """Others have ended these: what, and when."""
        for what, when in entries:
            self._remember(what, when)

    def known(self) -> list[tuple[str, float]]:
        """Everything that has ended: what, and when."""
        return list(self._at.items())

    def _remember(self, what: str, when: float) -> None:
        self._at[what] = max(when, self._at.pop(what, 0.0))
        while self._at and (
            len(self._at) > _MOST or next(iter(self._at.values())) < self._clock() - self._lifetime
        ):
            self._at.popitem(last=False)


class Journal:
    """A file of ended sessions, a JSON line each; several processes may append to it and follow it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def append(self, what: str, when: float) -> None:
        """Add a line. Raises OSError.

        It is one write to a file opened for appending, so the lines of several processes do not mix.
        """
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write((json.dumps([what, when]) + "\n").encode())

    def end_user(self, user: str, now: float) -> None:
        """All sessions of somebody that have begun by `now` are over; `user` is an id or an email address.

        Raises OSError.
        """
        self.append(*user_entry(user, now))

    def news(self) -> Iterator[tuple[str, float]]:
        """What has been added since the last call; everything at the first."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._read += len(line)
                    yield from _entry(line)
        except FileNotFoundError:
            return


def _entry(line: bytes) -> Iterator[tuple[str, float]]:
    try:
        what, when = json.loads(line)
        yield str(what), float(when)
    except (ValueError, TypeError):
        log.warning("a line of the journal of ended sessions cannot be read")
