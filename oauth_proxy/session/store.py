"""Sessions kept in the visitor's own cookies, sealed; only one too large for them stays with the replicas.

The law: a cookie that is old, foreign or garbled is a stranger's, never an error.
"""

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from oauth_proxy.cookies import Received, SealedCookie
from oauth_proxy.errors import SessionsUnavailable, SessionTooLarge
from oauth_proxy.identity import Identity, Session, Tokens
from oauth_proxy.session.memory import ALONE, Memory

_VERSION = 1
_POINTER = b"elsewhere: "
_REMEMBERED = 2048
_REMEMBERED_LENGTH = 16 * 1024
_FETCHED = 256
_TOUCHES_PER_IDLE = 10

Absence = Literal["not_returned", "repeated", "incomplete", "foreign", "expired"]


def encode(session: Session) -> bytes:
    """The session as bytes fit for sealing."""
    who, tokens = session.identity, session.tokens
    fields = [
        _VERSION,
        [session.id, session.created, session.seen],
        [who.id, who.email, who.name, who.account_id, who.standing],
        [tokens.access, tokens.granted_at, tokens.expires_at, tokens.refresh, tokens.scope],
    ]
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def decode(content: bytes) -> Session | None:
    """The session that `encode` wrote, or None for one of another version."""
    version, *fields = json.loads(content.decode("utf-8", "surrogatepass"))
    if version != _VERSION:
        return None
    (session_id, created, seen), (person, email, name, account_id, standing), tokens = fields
    who = Identity(person, email, name, account_id, tuple(standing))
    return Session(session_id, who, Tokens(*tokens), created, seen)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A session as a cookie brought it; `by_old_key` when an older key of the ring had sealed it.

    Before `settled_until`, in seconds since the epoch, neither its cookie nor its tokens are due.
    """

    session: Session
    by_old_key: bool
    settled_until: float = 0.0


class CookieStore:
    """Reads and writes sessions. `lifetime` and `idle` in seconds; `clock` tells seconds since the epoch.

    A session that no browser would keep is put into `memory`, and the cookie holds a sealed pointer to it.
    """

    def __init__(
        self,
        cookie: SealedCookie,
        *,
        lifetime: float,
        idle: float,
        clock: Callable[[], float],
        memory: Memory = ALONE,
    ) -> None:
        self._cookie = cookie
        self._lifetime = lifetime
        self._idle = idle
        self._clock = clock
        self._memory = memory
        self._opened: OrderedDict[str, Loaded] = OrderedDict()
        self._fetched: OrderedDict[str, Loaded] = OrderedDict()

    async def load(self, received: Received) -> Loaded | None:
        """The session the request brought, or None for a stranger's.

        Raises SessionsUnavailable when it is too large for cookies and cannot be fetched.
        """
        text = self._cookie.text(received)
        if text is None:
            return None
        loaded = self._opened.get(text) or self._fetched.get(text) or self._open(text) or await self._fetch(text)
        return loaded if loaded and self._is_live(loaded.session) else None

    def remembered(self, received: Received) -> Loaded | None:
        """The session the request brought, where it was loaded before and nothing is due."""
        text = self._cookie.text(received)
        loaded = self._opened.get(text) if text is not None else None
        if loaded is None or self._clock() >= loaded.settled_until:
            return None
        if received.line:
            self._cookie.remember(received)
        return loaded

    def is_due(self, loaded: Loaded) -> bool:
        """Whether the cookie should be written anew: to keep an idle limit sliding, or for a new key."""
        return loaded.by_old_key or self._clock() >= self._due_at(loaded.session)

    def ends_at(self, session: Session) -> float:
        """When the session is over however busy it is, in seconds since the epoch."""
        return session.created + self._lifetime

    def why_absent(self, received: Received) -> Absence:
        """Why a request that should have brought a session brought none."""
        if self._cookie.name not in received.seen:
            return "incomplete" if self._cookie.clear(received) else "not_returned"
        if self._cookie.name not in received.ours:
            return "repeated"
        text = self._cookie.text(received)
        if text is None:
            return "incomplete"
        return "foreign" if self._cookie.open(text) is None else "expired"

    async def save(self, session: Session, received: Received) -> list[str]:
        """Set-Cookie values that keep the session.

        When a browser would not keep it and replicas have nowhere to put it, raises SessionTooLarge; when they
        cannot put it there now, SessionsUnavailable.
        """
        remaining = self.ends_at(session) - self._clock()
        try:
            return self._cookie.set(encode(session), remaining, received)
        except SessionTooLarge:
            if self._memory is ALONE:
                raise
        if not await self._memory.remember(session):
            raise SessionsUnavailable("a session too large for cookies could not be kept")
        return self._cookie.set(_pointer(session), remaining, received)

    def clear(self, received: Received) -> list[str]:
        """Set-Cookie values that end whatever session the request brought."""
        return self._cookie.clear(received)

    def _due_at(self, session: Session) -> float:
        return min(session.seen + self._idle / _TOUCHES_PER_IDLE, self.ends_at(session))

    def _is_live(self, session: Session) -> bool:
        now = self._clock()
        return now - session.created < self._lifetime and now - session.seen < self._idle

    def _open(self, text: str) -> Loaded | None:
        """Opening costs more than remembering; both the number and the size of what is remembered are bounded."""
        content = self._cookie.open(text)
        session = decode(content) if content is not None and not content.startswith(_POINTER) else None
        if session is None:
            return None
        by_old_key = self._cookie.is_due(text)
        settled_until = 0.0 if by_old_key else min(self._due_at(session), session.tokens.due_at)
        loaded = Loaded(session, by_old_key, settled_until)
        if len(text) <= _REMEMBERED_LENGTH:
            self._opened[text] = loaded
            if len(self._opened) > _REMEMBERED:
                self._opened.popitem(last=False)
        return loaded

    async def _fetch(self, text: str) -> Loaded | None:
        """The session that a cookie points to; fewer of these are remembered, because they are large."""
        content = self._cookie.open(text)
        if content is None or not content.startswith(_POINTER):
            return None
        session_id, seen = json.loads(content.removeprefix(_POINTER))
        known = await self._memory.newest(session_id)
        if known is None:
            if self._memory.trouble:
                raise SessionsUnavailable("a session too large for cookies could not be fetched")
            return None
        loaded = Loaded(replace(known.session, seen=seen), by_old_key=self._cookie.is_due(text))
        self._fetched[text] = loaded
        if len(self._fetched) > _FETCHED:
            self._fetched.popitem(last=False)
        return loaded


def _pointer(session: Session) -> bytes:
    return _POINTER + json.dumps([session.id, session.seen]).encode()
