"""The state that the processes of a proxy share: newest tokens, refresh leases, ended sessions, who was seen."""

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
from oauth_proxy.memory.bell import Bell
from oauth_proxy.memory.home import LEASE, Home
from oauth_proxy.memory.link import Link
from oauth_proxy.memory.records import Entry, read, written
from oauth_proxy.memory.revocations import Revocation, Revocations
from oauth_proxy.oauth import digest
from oauth_proxy.seal import Sealer

log = logging.getLogger(__name__)

LARGEST = 1024 * 1024
"""Bytes of a record: enough for two tokens of the longest response that we read."""
_MOST_RETOLD, _RETOLD_AT_ONCE = 4096, 64


class Note(NamedTuple):
    """What `oauth-proxy sessions` shows of a session that was in use; never a token."""

    session_id: str
    user: str
    email: str | None
    created: float
    seen: float


_read_note = partial(read, Note)


class Memory:
    """The memory of the proxies of one `site`, stored in a home; `lifetime` and `idle` are in seconds.

    Call `follow` before anything else, and then about once a second. While the home cannot be reached nothing
    fails: reads return nothing, and writes that matter are repeated later.

    Workers of one proxy share the `bell`. Before a request is decided, call `catch_up`.
    """

    def __init__(
        self, home: Home, sealer: Sealer, site: str, clock: Clock, lifetime: float, idle: float, bell: Bell
    ) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._idle = idle
        self._ends = Revocations(lifetime, clock)
        self._told = Bounded[str, Session](_MOST_RETOLD)
        self._link = Link(home, sealer, site, clock, self._ends, self._retell, lifetime, bell)
        self.follow = self._link.follow
        self.close = self._link.close

    @property
    def name(self) -> str:
        """The name of its home."""
        return self._link.home.name

    @property
    def lasting(self) -> bool:
        """Whether the content outlives a restart of the proxy."""
        return self._link.home.lasting

    @property
    def trouble(self) -> str | None:
        """Why the home cannot be used now; None if it can."""
        return None if self._link.is_up else f"{self.name} unreachable"

    @property
    def sizes(self) -> dict[str, int]:
        """The number of entries that this process holds: ends, and sessions to tell a home that lost them."""
        return {"ends": len(self._ends), "retold": len(self._told)}

    @property
    def is_behind(self) -> bool:
        """Whether another worker has published an end that this one has not read: `catch_up` first."""
        return self._link.is_behind

    async def catch_up(self) -> None:
        """Read what other workers have published, if there is anything."""
        if self._link.is_behind:
            await self._link.follow()

    @property
    def may_miss(self) -> bool:
        """Whether others may know more than can be read now: the home is away, or just lost its content."""
        return not self._link.is_settled

    @property
    def cause(self) -> str:
        """The text of the home's last error."""
        return self._link.cause

    async def newest(self, session_id: str) -> Session | None:
        """The session as any process last stored it; None if none did, or the home cannot be reached."""
        return await self._link.get(f"session:{digest(session_id)}", decode)

    async def remember(self, session: Session) -> bool:
        """Store the session for other processes. Returns whether that worked; if not, it is stored later."""
        if self._link.home.shared:
            self._told.keep(session.id, session)
        return await self._link.put(self._entry(session))

    async def note(self, session: Session, seen: float) -> None:
        """Record that the session was in use at `seen`."""
        who = session.identity
        note = written(Note(session.id, who.id, who.email, session.created, seen))
        await self._link.put(Entry(f"seen:{digest(session.id)}", note, seen, self._lasts(session)))

    async def noted(self, session_id: str) -> Note | None:
        """The last note about a session."""
        return await self._link.get(f"seen:{digest(session_id)}", _read_note)

    async def hold(self, session: Session, now: float) -> None:
        """Record that the session has a request or stream open: use that renews no cookie."""
        await self._link.put(Entry(f"held:{digest(session.id)}", repr(now).encode(), now, self._lasts(session)))

    async def held(self, session_id: str) -> float:
        """When that was last recorded by any process; 0 for never."""
        return await self._link.get(f"held:{digest(session_id)}", float) or 0.0

    async def notes(self) -> list[Note]:
        """Notes of all sessions that may still be signed in."""
        # A home may list twice what is written in the meantime.
        notes = {note.session_id: note async for note in self._link.every("seen", _read_note)}
        over = self.is_over
        return [each for each in notes.values() if not over(each.session_id, each.created, each.user, each.email)]

    @asynccontextmanager
    async def lease(self, session_id: str) -> AsyncIterator[None]:
        """Inside this context no other process refreshes the session, unless the home cannot be reached.

        Raises ProviderUnavailable if other processes take too long.
        """
        key, owner = f"turn:{digest(session_id)}", secrets.token_hex(8)
        is_mine = None
        try:
            is_mine = await self._link.take(key, owner)
            if is_mine is False:
                raise ProviderUnavailable("other processes have been refreshing this session for too long")
            yield
        finally:  # also after a cancelled `take`, which may have succeeded
            if await self._link.give(key, owner) is False and is_mine:
                log.warning("a refresh took longer than its lease of %.0f s", LEASE)

    async def claim(self, what: str, lasts: float) -> float | None:
        """Claim this for `lasts` seconds. None if that worked, else how many seconds ago it was claimed before."""
        key, now = f"claim:{digest(what)}", self._clock()
        if await self._link.add(Entry(key, repr(now).encode(), now, lasts)):
            return None
        claimed = await self._link.get(key, float)
        return lasts if claimed is None else now - claimed

    async def leave(self, what: str, content: bytes, lasts: float) -> None:
        """Store content that `find` returns, in any process, for `lasts` seconds."""
        await self._link.put(Entry(f"left:{digest(what)}", content, self._clock(), lasts))

    async def find(self, what: str) -> bytes | None:
        """The content that `leave` stored."""
        return await self._link.get(f"left:{digest(what)}", bytes)

    async def drop(self, what: str) -> None:
        """Delete the content that `leave` stored."""
        await self._link.delete(f"left:{digest(what)}")

    async def end(self, session: Session) -> None:
        """End this session: in this process at once, in others as soon as they can read it."""
        await self._end(self._end_of(session))
        await self.forget(session.id)

    def end_here(self, session: Session) -> None:
        """End this session in this process. Call `end` soon: others do not learn of it before."""
        self._ends.learn([self._end_of(session)])

    async def end_pointed(self, session_id: str) -> None:
        """As `end`, for a session of which only the id is known here."""
        await self._end(Revocation(f"session {session_id}", self._clock()))
        await self.forget(session_id)

    async def end_user(self, user: str | None) -> bool:
        """End all present sessions of an id or email address; of everybody for None.

        Returns whether it could be published to other processes; if not, it is published later.
        """
        return await self._end(Revocation.of_user(user, self._clock()))

    def has_ended(self, session: Session) -> bool:
        """Whether this session was ended."""
        if not self._ends:
            return False
        who = session.identity
        return self.is_over(session.id, session.created, who.id, who.email)

    def is_over(self, session_id: str, created: float, *names: str | None) -> bool:
        """Whether a session with this id was ended; `names` are the id and the email of its user."""
        return self._ends.has(session_id, created, *names)

    async def forget(self, session_id: str) -> None:
        """Delete the records of a session."""
        self._told.drop(session_id)
        name = digest(session_id)
        await self._link.delete(f"session:{name}", f"seen:{name}", f"held:{name}")

    async def _end(self, end: Revocation) -> bool:
        self._ends.learn([end])
        return await self._link.tell(end)

    def _end_of(self, session: Session) -> Revocation:
        return Revocation(f"session {session.id}", self._clock(), session.identity.id, session.created)

    async def _retell(self) -> None:
        entries = [self._entry(session) for session in self._told.values() if not self.has_ended(session)]
        for at in range(0, len(entries), _RETOLD_AT_ONCE):
            await self._link.put(*entries[at : at + _RETOLD_AT_ONCE])

    def _entry(self, session: Session) -> Entry:
        """Kept for the session's whole lifetime: an open stream keeps old cookies valid beyond the idle time."""
        lasts = session.created + self._lifetime - self._clock()
        return Entry(f"session:{digest(session.id)}", encode(session), session.tokens.granted_at, lasts)

    def _lasts(self, session: Session) -> float:
        """Seconds for which a record of use matters: the idle limit, or less near the end of the lifetime."""
        return min(self._idle, session.created + self._lifetime - self._clock())
