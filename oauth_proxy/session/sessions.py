"""The life of sessions: begin, resume and end them."""

import asyncio
import logging
import math
import secrets
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from oauth_proxy.bounded import Bounded
from oauth_proxy.cookies import RequestCookies
from oauth_proxy.errors import GrantEnded, ProviderUnavailable, SessionsUnavailable, SessionTooLarge
from oauth_proxy.identity import Identity, Session, Tokens
from oauth_proxy.memory import Memory
from oauth_proxy.outcomes import Ends, Visit
from oauth_proxy.session.needs import Revoking
from oauth_proxy.session.refresh import Refresher
from oauth_proxy.session.store import TOUCHES_PER_IDLE, Absence, CookieStore
from oauth_proxy.telemetry import SILENT, Audit

log = logging.getLogger(__name__)

T = TypeVar("T")

_PATIENCE = 5.0
"""Seconds that the response to a sign-out waits for the provider; the work then goes on without it."""
_REPLACED = "somebody else signed in with the same browser"
_NOTED, _NOTED_AT_ONCE = 65_536, 32
_REFUSED = 4096
"""Sessions of people without access whose tokens were revoked already."""


class Sessions:
    """`idle` is in seconds; `allows` decides who has access; `clock` returns seconds since the epoch.

    People without access are not recorded: anybody with a Frame.io account could fill the memory.
    """

    def __init__(
        self,
        store: CookieStore,
        refresher: Refresher,
        memory: Memory,
        provider: Revoking,
        *,
        idle: float,
        allows: Callable[[Identity], bool],
        clock: Callable[[], float],
        audit: Audit = SILENT,
    ) -> None:
        self._audit = audit
        self._store = store
        self._refresher = refresher
        self._memory = memory
        self._provider = provider
        self._allows = allows
        self._clock = clock
        self._idle = idle
        self._refused = Bounded[str, None](_REFUSED)
        self._noted = Bounded[str, float](_NOTED)
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def in_background(self) -> int:
        """The number of writes and provider calls that go on although no response waits for them."""
        return len(self._tasks)

    async def begin(self, identity: Identity, tokens: Tokens, received: RequestCookies) -> Visit:
        """A new session for somebody who has just signed in.

        Its cookies replace those of the browser's previous session, which ends if it was somebody else's. Raises
        SessionTooLarge, or SessionsUnavailable when it needs the memory and that cannot store it now.
        """
        now = self._clock()
        session = Session(secrets.token_urlsafe(16), identity, tokens, created=now, seen=now, profile_at=now)
        set_cookies = await self._store.save(session, received)
        with suppress(SessionsUnavailable):
            replaced = await self._of(received)
            if replaced is not None and replaced.identity.id != identity.id:
                self._audit.note("session_ended", "visitor", _REPLACED, session=replaced)
                self._in_background(self._end(replaced))
        if self._allows(identity):
            await self._memory.note(session, now)
        return Visit(session, set_cookies)

    def cached(self, received: RequestCookies) -> Visit | None:
        """The result of `resume` if it is known without waiting and nothing is due; otherwise None."""
        loaded = None if self._memory.is_behind else self._store.cached(received)
        if loaded is None or self._memory.has_ended(loaded.session) or self._refresher.has_news(loaded.session):
            return None
        return loaded.visit

    async def resume(self, received: RequestCookies) -> Visit:
        """The request's session with an access token that is valid now.

        Raises ProviderUnavailable when the provider cannot be asked for a new token, and the old one has expired,
        or for what a new rule is about, and no other rule lets them in; and SessionsUnavailable when the session
        is stored in the memory only and that cannot be asked.
        """
        await self._memory.catch_up()
        loaded = await self._store.load(received)
        if loaded is None or self._memory.has_ended(loaded.session):
            return Visit(None)
        newest = self._refresher.newest(loaded.session)
        is_refused = not self._allows(newest.identity)
        if is_refused and self._refresher.is_asked(newest):
            return Visit(newest)  # no provider call is made for it
        try:
            # Of a rule that is new in the file, Frame.io has not been asked yet whether it fits.
            current = self._refresher.asked_again if is_refused else self._refresher.fresh
            session = await current(loaded.session)
        except GrantEnded:
            return Visit(None, self._store.clear(received))
        if session is loaded.session and not self._store.is_due(loaded):
            return Visit(session)
        session = replace(session, seen=self._clock())
        self._in_background(self._memory.note(session, session.seen))
        try:
            return Visit(session, await self._store.save(session, received))
        except (SessionsUnavailable, SessionTooLarge):
            return Visit(session)  # the old cookie still finds the new tokens while they are remembered

    async def end(self, received: RequestCookies) -> tuple[Session | None, list[str]]:
        """Sign out: clear the cookies, refuse copies of them, and revoke the tokens at the provider if possible.

        This is completed even if the client disconnects. Returns the session, if there was one, and the Set-Cookie
        values that delete it.
        """
        ending = self._in_background(self._ended(received))
        await asyncio.wait([ending], timeout=_PATIENCE)
        session = ending.result() if ending.done() else self._store.brought(received)
        return session, self._store.clear(received)

    def refuse(self, session: Session, received: RequestCookies) -> list[str]:
        """Set-Cookie values that delete the session of somebody without access.

        Its tokens are revoked, once. A program's token is not: we did not obtain it.
        """
        if not session.program and session.id not in self._refused:
            self._refused.keep(session.id, None)
            self._audit.note("session_ended", "proxy", "no rule of access.allow fits", session=session)
            self._in_background(self._end(session))
        return self._store.clear(received)

    def discard(self, tokens: Tokens) -> None:
        """Revoke the tokens of a login that failed to create a session."""
        self._in_background(self._revoke(tokens))

    def tend(self, open_sessions: Iterable[Session]) -> None:
        """Record in the memory that `open_sessions` are in use. Call this about once a second.

        Their cookies do not show it: other processes, and this one after a restart, would take them for idle.
        """
        now, every = self._clock(), self._idle / TOUCHES_PER_IDLE
        due = [each for each in open_sessions if now >= (self._noted.get(each.id) or each.seen) + every]
        # After a restart all are due at once; this limit leaves the memory time for other work.
        for session in due[: max(_NOTED_AT_ONCE, math.ceil(2 * len(due) / every))]:
            self._noted.keep(session.id, now)
            self._in_background(self._hold(session, now))

    async def came_back(self, received: RequestCookies) -> Session | None:
        """The session that the request brought, if it has not ended. This does not count as its use."""
        session = await self._of(received)
        return session and replace(self._refresher.newest(session), seen=session.seen)

    async def ends(self, session: Session) -> Ends:
        """When the session ends."""
        if session.program:
            return Ends(self._clock())
        return Ends(self._clock(), self._store.ends_at(session), await self._store.idle_at(session))

    def brought(self, received: RequestCookies) -> Session | None:
        """The session whose cookie the request brought, good or not, as far as the cookie tells."""
        return self._store.brought(received)

    def why_absent(self, received: RequestCookies) -> Absence:
        """Why a request that should have brought a session brought none."""
        return self._store.why_absent(received)

    async def close(self) -> None:
        """Let the background work finish."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _of(self, received: RequestCookies) -> Session | None:
        loaded = await self._store.load(received)
        return None if loaded is None or self._memory.has_ended(loaded.session) else loaded.session

    async def _ended(self, received: RequestCookies) -> Session | None:
        """The request's session, once it has ended; None if there was none, or if it cannot be fetched now."""
        try:
            session = await self._of(received)
        except SessionsUnavailable as error:
            if (pointed := self._store.pointed(received)) is not None:
                await self._memory.end_pointed(pointed)
                log.warning("signed out here, but the tokens were not revoked at Frame.io: %s", error.cause)
            return None
        if session is not None:
            await self._end(session)
        return session

    async def _end(self, session: Session) -> None:
        """End the session everywhere; then revoke its newest tokens, also those of a refresh in progress."""
        if self._may_come_back(session):
            self._memory.end_here(session)  # at once: the memory may be slow, or hang
        newest = await self._refresher.newest_anywhere(session)
        if self._may_come_back(newest) or self._may_come_back(session):  # copied cookies hold the old profile
            await self._memory.end(session)
        else:
            await self._memory.forget(session.id)
        newest = await self._refresher.landed(newest)
        with suppress(ProviderUnavailable):
            async with self._memory.lease(session.id):  # now no process is refreshing it
                newest = await self._refresher.newest_anywhere(newest)
        await self._memory.forget(session.id)
        await self._revoke(newest.tokens)

    def _may_come_back(self, session: Session) -> bool:
        """Whether a copy of the cookie would be let in, or Frame.io asked whether it is to be."""
        return self._allows(session.identity) or not self._refresher.is_asked(session)

    async def _hold(self, session: Session, now: float) -> None:
        """Record the use. An open stream keeps an old cookie valid, so keep its newer tokens too."""
        await self._memory.note(session, now)
        await self._memory.hold(session, now)
        newest = await self._refresher.newest_anywhere(session)
        if newest is not session and not self._memory.has_ended(newest):
            await self._memory.remember(newest)

    async def _revoke(self, tokens: Tokens) -> None:
        try:
            await self._provider.revoke(tokens)
        except ProviderUnavailable as error:
            log.warning("signed out here, but the tokens were not revoked at Frame.io: %s", error.cause)

    def _in_background(self, work: Coroutine[None, None, T]) -> "asyncio.Task[T]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
