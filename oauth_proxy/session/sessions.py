"""Who is signed in: sessions begin, are resumed, and end."""

import asyncio
import logging
import math
import secrets
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import replace

from oauth_proxy.bounded import Bounded
from oauth_proxy.cookies import RequestCookies
from oauth_proxy.errors import GrantEnded, ProviderUnavailable, SessionsUnavailable, SessionTooLarge
from oauth_proxy.identity import Identity, Session, Tokens
from oauth_proxy.memory import Memory
from oauth_proxy.outcomes import Visit
from oauth_proxy.session.needs import Revoking
from oauth_proxy.session.refresh import Refresher
from oauth_proxy.session.store import TOUCHES_PER_IDLE, Absence, CookieStore

log = logging.getLogger(__name__)

_PATIENCE = 5.0
"""Seconds for which a sign-out waits for the provider; after that the visitor need not."""
_NOTED, _NOTED_AT_ONCE = 65_536, 32
_REFUSED = 4096
"""Sessions of people who may not enter whose tokens need not be revoked again."""


class Sessions:
    """`idle` in seconds; `allows` tells who may enter, `clock` seconds since the epoch.

    Nothing is remembered of those who may not enter: anybody with a Frame.io account could fill the memory.
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
    ) -> None:
        self._store = store
        self._refresher = refresher
        self._memory = memory
        self._provider = provider
        self._allows = allows
        self._clock = clock
        self._idle = idle
        self._refused = Bounded[str, None](_REFUSED)
        self._noted = Bounded[str, float](_NOTED)
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, identity: Identity, tokens: Tokens, received: RequestCookies) -> Visit:
        """A session of its own for somebody who has just signed in.

        Its cookies replace those of whoever was signed in before; if that was somebody else, they are signed out.
        Raises SessionTooLarge, or SessionsUnavailable for one that would fit if the memory could keep it.
        """
        now = self._clock()
        session = Session(secrets.token_urlsafe(16), identity, tokens, created=now, seen=now, profile_at=now)
        set_cookies = await self._store.save(session, received)
        with suppress(SessionsUnavailable):
            replaced = await self._of(received)
            if replaced is not None and replaced.identity.id != identity.id:
                self._in_background(self._end(replaced))
        if self._allows(identity):
            await self._memory.note(session, now)
        return Visit(session, set_cookies)

    def cached(self, received: RequestCookies) -> Visit | None:
        """The visit that `resume` would find, where that is known already and nothing is due; None elsewhere."""
        loaded = self._store.cached(received)
        if loaded is None or self._memory.has_ended(loaded.session) or self._refresher.has_news(loaded.session):
            return None
        return Visit(loaded.session)

    async def resume(self, received: RequestCookies) -> Visit:
        """The request's session with tokens that are good now.

        Raises ProviderUnavailable when they have run out and the provider cannot be asked for others, and
        SessionsUnavailable when only the memory keeps the session and it cannot be asked.
        """
        loaded = await self._store.load(received)
        if loaded is None or self._memory.has_ended(loaded.session):
            return Visit(None)
        newest = self._refresher.newest(loaded.session)
        if not self._allows(newest.identity):
            return Visit(newest)  # about to be refused, as who they are now: nothing more is asked for them
        try:
            session = await self._refresher.fresh(loaded.session)
        except GrantEnded:
            return Visit(None, self._store.clear(received))
        if session is loaded.session and not self._store.is_due(loaded):
            return Visit(session)
        session = replace(session, seen=self._clock())
        self._in_background(self._memory.note(session, session.seen))
        try:
            return Visit(session, await self._store.save(session, received))
        except (SessionsUnavailable, SessionTooLarge):
            return Visit(session)  # an older cookie leads to the new tokens for as long as they are remembered

    async def end(self, received: RequestCookies) -> Visit:
        """Sign out: the cookies go, a copy of them is refused, and the provider is told where that is possible.

        It is finished although the visitor hangs up.
        """
        session = None
        with suppress(SessionsUnavailable):  # its cookies go all the same
            session = await self._of(received)
        if session is not None:
            ending = self._in_background(self._end(session))
            await asyncio.wait([ending], timeout=_PATIENCE)
        return Visit(None, self._store.clear(received))

    def refuse(self, session: Session, received: RequestCookies) -> list[str]:
        """Set-Cookie values that make the browser forget the session of somebody who may not enter.

        Their tokens are revoked, once. A program's token is its own.
        """
        if not session.program and session.id not in self._refused:
            self._refused.keep(session.id, None)
            self._in_background(self._end(session))
        return self._store.clear(received)

    def discard(self, tokens: Tokens) -> None:
        """Revoke the tokens of a login that did not end in a session."""
        self._in_background(self._revoke(tokens))

    def tend(self, open_sessions: Iterable[Session]) -> None:
        """Note that sessions with something open are in use; to be called about once a second.

        Their cookies do not tell it, and other processes, and this one after a restart, would call them idle.
        """
        now, every = self._clock(), self._idle / TOUCHES_PER_IDLE
        due = [each for each in open_sessions if now >= (self._noted.get(each.id) or each.seen) + every]
        # After a restart all of them are due at once; the memory has others to answer.
        for session in due[: max(_NOTED_AT_ONCE, math.ceil(2 * len(due) / every))]:
            self._noted.keep(session.id, now)
            self._in_background(self._hold(session, now))

    async def came_back(self, received: RequestCookies) -> bool:
        """Whether the request brought a session that has not ended; nobody is asked if its tokens are good."""
        return await self._of(received) is not None

    def why_absent(self, received: RequestCookies) -> Absence:
        """Why a request that should have brought a session brought none."""
        return self._store.why_absent(received)

    async def close(self) -> None:
        """Let what was begun be finished."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _of(self, received: RequestCookies) -> Session | None:
        loaded = await self._store.load(received)
        return None if loaded is None or self._memory.has_ended(loaded.session) else loaded.session

    async def _end(self, session: Session) -> None:
        """Over here at once and everywhere; then the newest tokens are revoked, those of a late refresh, too."""
        newest = await self._refresher.newest_anywhere(session)
        if self._allows(newest.identity) or self._allows(session.identity):  # a copy says who they were
            await self._memory.end(session)
        else:
            await self._memory.forget(session.id)
        newest = await self._refresher.landed(newest)
        with suppress(ProviderUnavailable):
            async with self._memory.turn(session.id):  # nobody refreshes it any more
                newest = await self._refresher.newest_anywhere(newest)
        await self._memory.forget(session.id)
        await self._revoke(newest.tokens)

    async def _hold(self, session: Session, now: float) -> None:
        """What is open keeps an old cookie good, so its successor must be remembered for as long."""
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

    def _in_background(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
