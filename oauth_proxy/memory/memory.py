"""What the processes of one proxy know together: newest tokens, whose turn it is, what has ended, who was seen."""

import json
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from oauth_proxy.clock import Clock
from oauth_proxy.errors import ProviderUnavailable
from oauth_proxy.identity import Session, decode, encode
from oauth_proxy.memory.ends import End, Ends
from oauth_proxy.memory.home import TURN, Home
from oauth_proxy.memory.link import Link
from oauth_proxy.oauth import digest
from oauth_proxy.seal import Sealer

log = logging.getLogger(__name__)

LARGEST = 1024 * 1024
"""Bytes of a record: two tokens of the longest answer we read, and more."""
_MOST_RETOLD = 4096


class Note(NamedTuple):
    """Somebody who was seen: what `oauth-proxy sessions` tells of a session, and never a token."""

    session_id: str
    user: str
    email: str | None
    created: float
    seen: float


class Memory:
    """The memory of the proxies of one `site`, in a home; `lifetime` and `idle` in seconds.

    `follow` is to be called before anything else, and then about once a second. While the home is away nothing
    fails: nobody knows anything, and everybody is told later.
    """

    def __init__(self, home: Home, sealer: Sealer, site: str, clock: Clock, lifetime: float, idle: float) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._idle = idle
        self._ends = Ends(lifetime, clock)
        self._told: OrderedDict[str, Session] = OrderedDict()
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
    def cause(self) -> str:
        """What went wrong last, in the home's words."""
        return self._link.cause

    async def newest(self, session_id: str) -> Session | None:
        """The session as last told anywhere; None where nobody has, or nobody can be asked."""
        content = await self._link.get(f"session:{digest(session_id)}")
        return decode(content) if content else None

    async def remember(self, session: Session) -> bool:
        """Tell the others; whether they can learn of it now. What they cannot, they are told later."""
        self._told.pop(session.id, None)
        if self.lasting:
            self._told[session.id] = session
            if len(self._told) > _MOST_RETOLD:
                self._told.popitem(last=False)
        return await self._put(session)

    async def note(self, session: Session, seen: float) -> None:
        """Somebody was seen."""
        who = session.identity
        note = json.dumps(Note(session.id, who.id, who.email, session.created, seen))
        await self._link.put(f"seen:{digest(session.id)}", note.encode(), seen, self._lasts(session))

    async def noted(self, session_id: str) -> Note | None:
        """What was last noted of a session."""
        content = await self._link.get(f"seen:{digest(session_id)}")
        return Note(*json.loads(content)) if content else None

    async def hold(self, session: Session, now: float) -> None:
        """The session has something open, which is use without a new cookie."""
        await self._link.put(f"held:{digest(session.id)}", repr(now).encode(), now, self._lasts(session))

    async def held(self, session_id: str) -> float:
        """When it last had, in any process; 0 for never."""
        content = await self._link.get(f"held:{digest(session_id)}")
        return float(content) if content else 0.0

    async def notes(self) -> list[Note]:
        """Everybody who was seen and may still be signed in."""
        notes = [Note(*json.loads(content)) async for content in self._link.every("seen")]
        return [note for note in notes if not self.is_over(note.session_id, note.created, note.user, note.email)]

    @asynccontextmanager
    async def turn(self, session_id: str) -> AsyncIterator[None]:
        """While this holds, no other process refreshes the session; while the home is away, each is on its own.

        Raises ProviderUnavailable when others take too long.
        """
        turn = self._link.home.turn(f"turn:{digest(session_id)}")
        is_mine = await self._link.acquire(turn)
        if is_mine is False:
            raise ProviderUnavailable("other processes have been refreshing this session for too long")
        try:
            yield
        finally:
            if is_mine:
                with self._link.forgiving():
                    if not await turn.release():
                        log.warning("a refresh took longer than its turn of %.0f s", TURN)

    async def claim(self, what: str, lasts: float) -> float | None:
        """How many seconds ago somebody claimed this, within the last `lasts`; None if nobody did, until now."""
        key, now = f"claim:{digest(what)}", self._clock()
        if await self._link.add(key, repr(now).encode(), lasts):
            return None
        claimed = await self._link.get(key)
        return now - float(claimed) if claimed else lasts

    async def leave(self, what: str, content: bytes, lasts: float) -> None:
        """Something for whoever comes to `find` it within `lasts` seconds."""
        await self._link.put(f"left:{digest(what)}", content, self._clock(), lasts)

    async def find(self, what: str) -> bytes | None:
        """What was left."""
        return await self._link.get(f"left:{digest(what)}")

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
        self._told.pop(session_id, None)
        name = digest(session_id)
        await self._link.delete(f"session:{name}", f"seen:{name}", f"held:{name}")

    async def _end(self, end: End) -> bool:
        self._ends.learn([end])
        return await self._link.tell([end])

    async def _put(self, session: Session) -> bool:
        at = max(session.tokens.granted_at, session.profile_at)
        return await self._link.put(f"session:{digest(session.id)}", encode(session), at, self._lasts(session))

    async def _retell(self) -> None:
        for session in list(self._told.values()):
            await self._put(session)

    def _lasts(self, session: Session) -> float:
        """Seconds: the idle time, because older cookies are not good for longer, so nobody asks after that."""
        return min(self._idle, session.created + self._lifetime - self._clock())
