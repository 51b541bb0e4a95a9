"""Once a second: read new ends, recheck sessions with open streams, and cancel requests of ended sessions."""

import asyncio
import logging
from collections import Counter
from itertools import count

from oauth_proxy.access import Access, Places
from oauth_proxy.bearers import Bearers
from oauth_proxy.bounded import Bounded
from oauth_proxy.clock import Clock
from oauth_proxy.commands import WINDOW
from oauth_proxy.identity import Seen, Session
from oauth_proxy.libc import give_back_memory
from oauth_proxy.memory import Memory
from oauth_proxy.session import OpenExchanges, Refresher, Sessions
from oauth_proxy.siblings import Siblings
from oauth_proxy.telemetry import SILENT, Audit, By

log = logging.getLogger(__name__)

_TRIM_EVERY = 30
_NOTED = 4096


class Watch:
    """`access` decides who has access where; `lifetime` of sessions is in seconds."""

    def __init__(
        self,
        memory: Memory,
        refresher: Refresher,
        sessions: Sessions,
        bearers: Bearers,
        open_exchanges: OpenExchanges,
        *,
        lifetime: float,
        access: Access,
        clock: Clock,
        siblings: Siblings,
        audit: Audit = SILENT,
    ) -> None:
        self._audit = audit
        self._noted = Bounded[str, None](_NOTED)
        self._memory = memory
        self._refresher = refresher
        self._sessions = sessions
        self._bearers = bearers
        self._open_exchanges = open_exchanges
        self._lifetime = lifetime
        self._access = access
        self._clock = clock
        self._siblings = siblings

    async def look(self) -> None:
        """Do all these checks once."""
        self._clock.wake()
        await self._memory.follow()
        opened = list(self._open_exchanges.sessions())
        visitors = [session for session in opened if not session.program]
        self._refresher.tend(visitors)
        self._sessions.tend(visitors)
        self._bearers.tend(session for session in opened if session.program)
        self.sweep()

    async def forever(self) -> None:
        """Call `look` every second, and return free memory to the system now and then."""
        for seconds in count(1):
            await asyncio.sleep(1)
            if seconds % _TRIM_EVERY == 0:
                give_back_memory()
            try:
                await self.look()
            except Exception:  # continue in any case: ends of other processes must be read
                log.exception("a fault of ours while looking for ended sessions")

    async def end_user(self, user: str | None) -> str | None:
        """End all sessions of an id or email address, or of everybody for None, and cancel their requests.

        Returns why the store could not be written (it will be later); None if it was.
        """
        told = await self._memory.end_user(user)
        self.sweep()
        return None if told else self._memory.trouble

    def sweep(self) -> None:
        """Cancel the requests of sessions that are over, now."""
        self._open_exchanges.sweep(self._is_over, self._access.places)

    async def seen(self) -> list[Seen]:
        """The sessions that are known, with their users."""
        found = []
        connections: Counter[str] = Counter()
        used: dict[str, float] = {}
        for open_now, last_used in await self._siblings.gather("use"):
            connections.update(open_now)
            used |= {name: max(when, used.get(name, 0.0)) for name, when in last_used.items()}
        for note in await self._memory.notes():
            last = max(note.seen, used.get(note.session_id, 0.0))
            dates = self._clock.date(note.created), self._clock.date(last)
            found.append(Seen(note.user, note.email, *dates, connections[note.session_id]))
        return found

    async def is_first(self, nonce: str, lasts: float = WINDOW) -> bool:
        """Whether no process of this proxy has accepted the command with this nonce in the last seconds."""
        return await self._memory.claim(f"command {nonce}", lasts) is None

    def _is_over(self, session: Session, places: Places) -> bool:
        """Whether a session is over: it was ended, its lifetime has passed, or it has no access there any more."""
        if self._memory.has_ended(session):
            return True  # whoever ended it has written so
        newest = (self._bearers if session.program else self._refresher).newest(session)
        refusal = self._access.refusal(newest.identity, places)
        is_unknown = not (session.program or self._refresher.is_asked(newest))  # Frame.io is being asked
        if self._clock() >= session.created + self._lifetime:
            self._note(session, "proxy", "its lifetime has passed")
        elif session.program and self._bearers.is_refused(session):
            self._note(session, "provider", "the program's token is refused")
        elif refusal is None or is_unknown:
            return False
        elif refusal.everywhere:
            self._note(session, "proxy", refusal.cause)
        return True

    def _note(self, session: Session, by: By, why: str) -> None:
        """Write the end of a session that has something open to the audit stream, once."""
        if session.id not in self._noted:
            self._noted.keep(session.id, None)
            self._audit.note("session_ended", by, why, session=session)
