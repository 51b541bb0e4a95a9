"""What the processes of one proxy know together: newest tokens, whose turn it is, what has ended, who was seen."""

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

from oauth_proxy.bounded import Bounded
from oauth_proxy.clock import Clock
from oauth_proxy.errors import ProviderUnavailable
from oauth_proxy.identity import Session, decode, encode
from oauth_proxy.memory.home import TURN, Home
from oauth_proxy.memory.link import Link
from oauth_proxy.memory.records import Entry, read, written
from oauth_proxy.memory.revocations import End, Revocations
from oauth_proxy.oauth import digest
from oauth_proxy.seal import Sealer

log = logging.getLogger(__name__)

LARGEST = 1024 * 1024
"""Bytes of a record: two tokens of the longest answer we read, and more."""
_MOST_RETOLD, _RETOLD_AT_ONCE = 4096, 64


class Note(NamedTuple):
    """Somebody who was seen: what `oauth-proxy sessions` tells of a session, and never a token."""

    session_id: str
    user: str
    email: str | None
    created: float
    seen: float


_read_note = partial(read, Note)


class Memory:
    """The memory of the proxies of one `site`, in a home; `lifetime` and `idle` in seconds.

    `follow` is to be called before anything else, and then about once a second. While the home is away nothing
    fails: nobody knows anything, and everybody is told later.
    """

    def __init__(self, home: Home, sealer: Sealer, site: str, clock: Clock, lifetime: float, idle: float) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._idle = idle
        self._ends = Revocations(lifetime, clock)
        self._told = Bounded[str, Session](_MOST_RETOLD)
        self._link = Link(home, sealer, site, clock, self._ends, self._retell, lifetime)
        self.follow = self._link.follow
        self.close = self._link.close

    @property
    def name(self) -> str:
        """What its home is called."""
        return self._link.home.name

    @property
    def lasting(self) -> bool:
        """Whether what is told here outlives this process, so that other processes may know more than this one."""
        return self._link.home.lasting

    @property
    def trouble(self) -> str | None:
        """Why nothing can be asked or told now; None while all is well."""
        return None if self._link.is_up else f"{self.name} unreachable"

    @property
    def may_miss(self) -> bool:
        """Whether others may know what cannot be learnt here now: the home is away, or was emptied just now."""
        return not self._link.is_settled

    @property
    def cause(self) -> str:
        """What went wrong last, in the home's words."""
        return self._link.cause

    async def newest(self, session_id: str) -> Session | None:
        """The session as last told anywhere; None where nobody has, or nobody can be asked."""
        return await self._link.get(f"session:{digest(session_id)}", decode)

    async def remember(self, session: Session) -> bool:
        """Tell the others; whether they can learn of it now. What they cannot, they are told later."""
        if self.lasting:
            self._told.keep(session.id, session)
        return await self._link.put(self._entry(session))

    async def note(self, session: Session, seen: float) -> None:
        """Somebody was seen."""
        who = session.identity
        note = written(Note(session.id, who.id, who.email, session.created, seen))
        await self._link.put(Entry(f"seen:{digest(session.id)}", note, seen, self._lasts(session)))

    async def noted(self, session_id: str) -> Note | None:
        """What was last noted of a session."""
        return await self._link.get(f"seen:{digest(session_id)}", _read_note)

    async def hold(self, session: Session, now: float) -> None:
        """The session has something open, which is use without a new cookie."""
        await self._link.put(Entry(f"held:{digest(session.id)}", repr(now).encode(), now, self._lasts(session)))

    async def held(self, session_id: str) -> float:
        """When it last had, in any process; 0 for never."""
        return await self._link.get(f"held:{digest(session_id)}", float) or 0.0

    async def notes(self) -> list[Note]:
        """Everybody who was seen and may still be signed in."""
        # Of what is written meanwhile a home may tell twice.
        notes = {note.session_id: note async for note in self._link.every("seen", _read_note)}
        over = self.is_over
        return [each for each in notes.values() if not over(each.session_id, each.created, each.user, each.email)]

    @asynccontextmanager
    async def turn(self, session_id: str) -> AsyncIterator[None]:
        """While this holds, no other process refreshes the session; while the home is away, each is on its own.

        Raises ProviderUnavailable when others take too long.
        """
        key, owner = f"turn:{digest(session_id)}", secrets.token_hex(8)
        is_mine = None
        try:
            is_mine = await self._link.take(key, owner)
            if is_mine is False:
                raise ProviderUnavailable("other processes have been refreshing this session for too long")
            yield
        finally:  # also when asking was broken off: it may have become ours
            if await self._link.give(key, owner) is False and is_mine:
                log.warning("a refresh took longer than its turn of %.0f s", TURN)

    async def claim(self, what: str, lasts: float) -> float | None:
        """How many seconds ago somebody claimed this, within the last `lasts`; None if nobody did, until now."""
        key, now = f"claim:{digest(what)}", self._clock()
        if await self._link.add(Entry(key, repr(now).encode(), now, lasts)):
            return None
        claimed = await self._link.get(key, float)
        return lasts if claimed is None else now - claimed

    async def leave(self, what: str, content: bytes, lasts: float) -> None:
        """Something for whoever comes to `find` it within `lasts` seconds."""
        await self._link.put(Entry(f"left:{digest(what)}", content, self._clock(), lasts))

    async def find(self, what: str) -> bytes | None:
        """What was left."""
        return await self._link.get(f"left:{digest(what)}", bytes)

    async def end(self, session: Session) -> None:
        """This session is over, here at once, and for the others as soon as they can be told."""
        await self._end(End(f"session {session.id}", self._clock(), session.identity.id, session.created))
        await self.forget(session.id)

    async def end_user(self, user: str | None) -> bool:
        """All sessions of an id or email address that have begun by now are over; of everybody for None.

        Whether the others can learn of it now; if not, they are told later.
        """
        return await self._end(End.of_user(user, self._clock()))

    def has_ended(self, session: Session) -> bool:
        """Whether this session is over."""
        who = session.identity
        return self.is_over(session.id, session.created, who.id, who.email)

    def is_over(self, session_id: str, created: float, *names: str | None) -> bool:
        """The same of a session of which no more is known than this; `names` are its person's id and email."""
        return self._ends.has(session_id, created, *names)

    async def forget(self, session_id: str) -> None:
        """Delete what was kept of a session."""
        self._told.drop(session_id)
        name = digest(session_id)
        await self._link.delete(f"session:{name}", f"seen:{name}", f"held:{name}")

    async def _end(self, end: End) -> bool:
        self._ends.learn([end])
        return await self._link.tell(end)

    async def _retell(self) -> None:
        entries = [self._entry(session) for session in self._told.values() if not self.has_ended(session)]
        for at in range(0, len(entries), _RETOLD_AT_ONCE):
            await self._link.put(*entries[at : at + _RETOLD_AT_ONCE])

    def _entry(self, session: Session) -> Entry:
        """Kept for as long as the session may last: what is open keeps old cookies good beyond the idle time."""
        lasts = session.created + self._lifetime - self._clock()
        return Entry(f"session:{digest(session.id)}", encode(session), session.tokens.granted_at, lasts)

    def _lasts(self, session: Session) -> float:
        """Seconds for which it is of use that somebody was seen."""
        return min(self._idle, session.created + self._lifetime - self._clock())
