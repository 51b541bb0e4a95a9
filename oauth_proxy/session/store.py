"""Sessions stored sealed in the visitor's cookies; a session too large for cookies is stored in the memory.

The law: a cookie that is expired, foreign or garbled means "not signed in"; it never causes an error.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from oauth_proxy.bounded import Bounded
from oauth_proxy.cookies import RequestCookies, SealedCookie
from oauth_proxy.errors import SessionsUnavailable, SessionTooLarge
from oauth_proxy.identity import Session, decode, encode
from oauth_proxy.memory import Memory
from oauth_proxy.outcomes import Visit

_POINTER = b"elsewhere: "
_REMEMBERED = 2048
_REMEMBERED_LENGTH = 16 * 1024
_FETCHED = 256
TOUCHES_PER_IDLE = 10
_CLOCK_SKEW = 60.0
"""Seconds by which the clock of another process may be ahead."""

Absence = Literal["not_returned", "repeated", "incomplete", "foreign", "expired", "ended"]
"""Why a request has no session. `not_returned`: it has no cookie of a session at all."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A session as read from a cookie; `by_old_key` if an older key of the ring sealed it.

    Until `settled_until`, in seconds since the epoch, neither its cookie nor its tokens nor its profile are due.
    """

    session: Session
    by_old_key: bool
    settled_until: float = 0.0
    visit: Visit = field(init=False, compare=False)
    """Of a request that brought it, when nothing is due."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "visit", Visit(self.session))


class CookieStore:
    """Reads and writes sessions. `lifetime` and `idle` are seconds; `clock` returns seconds since the epoch.

    A session too large for a browser is stored in `memory`, if that outlives the process, and the cookie holds a
    sealed pointer to it. `settled_until` returns until when nothing of a session is due; `held` returns when it
    was last seen with a long request or stream open.
    """

    def __init__(
        self,
        cookie: SealedCookie,
        *,
        lifetime: float,
        idle: float,
        clock: Callable[[], float],
        memory: Memory,
        settled_until: Callable[[Session], float],
        held: Callable[[str], float],
    ) -> None:
        self._cookie = cookie
        self._lifetime = lifetime
        self._idle = idle
        self._clock = clock
        self._memory = memory
        self._settled_until = settled_until
        self._held = held
        self._opened = Bounded[str, Loaded](_REMEMBERED)
        self._fetched = Bounded[str, Loaded](_FETCHED)

    async def load(self, received: RequestCookies) -> Loaded | None:
        """The session that the request brought; None if it brought no valid one.

        Raises SessionsUnavailable when it is too large for cookies and cannot be fetched.
        """
        text = self._cookie.text(received)
        if text is None:
            return None
        loaded = self._opened.get(text) or self._fetched.get(text) or self._open(text) or await self._fetch(text)
        return loaded if loaded and await self._is_live(loaded.session) else None

    def cached(self, received: RequestCookies) -> Loaded | None:
        """The session that the request brought, if it was loaded before and nothing is due."""
        text = self._cookie.text(received)
        loaded = self._opened.get(text) if text is not None else None
        return None if loaded is None or self._clock() >= loaded.settled_until else loaded

    def is_due(self, loaded: Loaded) -> bool:
        """Whether to write the cookie again: to extend the idle limit, or to seal it with the current key."""
        return loaded.by_old_key or self._clock() >= self._due_at(loaded.session)

    def ends_at(self, session: Session) -> float:
        """When the session's lifetime ends, used or not, in seconds since the epoch."""
        return session.created + self._lifetime

    async def idle_at(self, session: Session) -> float:
        """When the session ends unless it is used before, in seconds since the epoch; at most `ends_at`.

        What was used is what counts for `load`: the cookie's own time, and what is or was open.
        """
        held = max(self._held(session.id), await self._memory.held(session.id))
        return min(max(session.seen, held) + self._idle, self.ends_at(session))

    def why_absent(self, received: RequestCookies) -> Absence:
        """Why a request that should have brought a session brought none."""
        if self._cookie.name not in received.seen:
            return "incomplete" if self._cookie.clear(received) else "not_returned"
        if self._cookie.name not in received.ours:
            return "repeated"
        text = self._cookie.text(received)
        if text is None:
            return "incomplete"
        content = self._cookie.open(text)
        if content is None:
            return "foreign"
        return "ended" if self._was_ended(content) else "expired"

    def brought(self, received: RequestCookies) -> Session | None:
        """The session whose cookie the request brought, good or not; None if it brought none that we sealed."""
        content = self._content(received)
        return None if content is None or content.startswith(_POINTER) else decode(content)

    def pointed(self, received: RequestCookies) -> str | None:
        """The id of the session in the memory that the request's cookie points to; None if it points to none."""
        content = self._content(received)
        return None if content is None or not content.startswith(_POINTER) else _pointed(content)[0]

    async def save(self, session: Session, received: RequestCookies) -> list[str]:
        """Set-Cookie values that store the session.

        Raises SessionTooLarge when it is too large for a browser and the memory does not outlive the process, and
        SessionsUnavailable when the memory cannot store it now.
        """
        remaining = self.ends_at(session) - self._clock()
        try:
            return self._cookie.set(encode(session), remaining, received)
        except SessionTooLarge:
            if not self._memory.lasting:
                raise
        if not await self._memory.remember(session):
            raise SessionsUnavailable("a session too large for cookies could not be kept")
        return self._cookie.set(_pointer(session), remaining, received)

    def clear(self, received: RequestCookies) -> list[str]:
        """Set-Cookie values that delete the session cookies the request brought."""
        return self._cookie.clear(received)

    def _due_at(self, session: Session) -> float:
        return min(session.seen + self._idle / TOUCHES_PER_IDLE, self.ends_at(session))

    async def _is_live(self, session: Session) -> bool:
        """Whether it is within both limits, and was not created in the future (by a wrong clock)."""
        now = self._clock()
        if not -_CLOCK_SKEW <= now - session.created < self._lifetime:
            return False
        if now - session.seen < self._idle:
            return True
        # The cookie is old, but a WebSocket, which sets no cookie, may have been open since.
        held = self._held(session.id)
        if now - held >= self._idle:  # not used here, but perhaps in another process
            held = await self._memory.held(session.id)
        return now - held < self._idle

    def _was_ended(self, content: bytes) -> bool:
        """Whether the session of an opened cookie was ended before its time."""
        if content.startswith(_POINTER):
            session_id, _ = _pointed(content)
            return self._memory.is_over(session_id, math.inf)  # whose it is, is not known: its own end counts
        session = decode(content)
        return session is not None and self._memory.has_ended(session)

    def _content(self, received: RequestCookies) -> bytes | None:
        """What the request's cookie holds, good or not; None if it brought none that we sealed."""
        text = self._cookie.text(received)
        return None if text is None else self._cookie.open(text)

    def _open(self, text: str) -> Loaded | None:
        """Open a sealed session and cache it, because decryption is slow. Number and size are bounded."""
        content = self._cookie.open(text)
        session = decode(content) if content is not None and not content.startswith(_POINTER) else None
        if session is None:
            return None
        by_old_key = self._cookie.is_due(text)
        is_ahead = session.created > self._clock() + _CLOCK_SKEW  # `load` refuses it, so `cached` may not have it
        is_due = by_old_key or is_ahead
        settled_until = 0.0 if is_due else min(self._due_at(session), self._settled_until(session))
        loaded = Loaded(session, by_old_key, settled_until)
        if len(text) <= _REMEMBERED_LENGTH:
            self._opened.keep(text, loaded)
        return loaded

    async def _fetch(self, text: str) -> Loaded | None:
        """The session in the memory that a cookie points to. Fewer of these are cached, because they are large."""
        content = self._cookie.open(text)
        if content is None or not content.startswith(_POINTER):
            return None
        session_id, seen = _pointed(content)
        session = await self._memory.newest(session_id)
        if session is None:
            if self._memory.trouble:
                raise SessionsUnavailable("a session too large for cookies could not be fetched")
            return None
        loaded = Loaded(replace(session, seen=seen), by_old_key=self._cookie.is_due(text))
        self._fetched.keep(text, loaded)
        return loaded


def _pointer(session: Session) -> bytes:
    return _POINTER + json.dumps([session.id, session.seen]).encode()


def _pointed(content: bytes) -> tuple[str, float]:
    """The id of the session that a pointer names, and when it was last seen with this cookie."""
    session_id, seen = json.loads(content.removeprefix(_POINTER))
    return session_id, seen
