"""One refresh per session, its outcome shared by every request that waits or comes late, at any replica.

The law: no refresh token is sent twice. Frame.io's are single-use, and using one again may revoke the whole grant,
so the newest tokens of every session are remembered, and an older cookie is answered with those.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol, TypeVar

from oauth_proxy.errors import GrantEnded, NotAllowed, ProviderUnavailable
from oauth_proxy.identity import Identity, Session, Tokens
from oauth_proxy.session.ended import Ended
from oauth_proxy.session.memory import ALONE, Memory

log = logging.getLogger(__name__)

_REMEMBERED = 4096
_PATIENCE = 3.0
"""Seconds a request waits for a refresh while its present token is still good."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


T = TypeVar("T")


class _RanOut(Exception):
    """The access token is no longer good."""


class Refreshing(Protocol):
    """What is needed of the provider."""

    async def refresh(self, tokens: Tokens, *, owner: str) -> Tokens:
        """Successor tokens."""
        ...

    async def profile(self, access_token: str, *, owner: str) -> Identity:
        """Who the bearer is."""
        ...


class Refresher:
    """Keeps sessions' tokens fresh, and ends those whose grant has `ended`.

    `clock` tells seconds since the epoch; `memory` is what replicas share.
    """

    def __init__(
        self, provider: Refreshing, clock: Callable[[], float], ended: Ended, memory: Memory = ALONE
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._ended = ended
        self._memory = memory
        self._flights: dict[str, asyncio.Task[Session]] = {}
        self._newest: OrderedDict[str, Session] = OrderedDict()
        self._unread: set[str] = set()
        self._pause = 0.0
        self._not_before = 0.0

    async def fresh(self, session: Session) -> Session:
        """The session with tokens that are good now: itself, or its successor.

        Raises GrantEnded when the provider ended it, and ProviderUnavailable when its token has run out and
        the provider cannot be asked.
        """
        session = self.newest(session)
        flight = self._flights.get(session.id)
        if flight is None:
            if not self._is_due(session) and session.id not in self._unread:
                return session
            flight = self._start(session)
        return await self._outcome(session, flight)

    def has_news(self, session: Session) -> bool:
        """Whether there are newer tokens than these, or soon will be, or it is not known yet whose they are."""
        known = self._newest.get(session.id)
        return session.id in self._flights or (
            known is not None
            and (known.tokens.granted_at > session.tokens.granted_at or session.id in self._unread)
        )

    def newest(self, session: Session) -> Session:
        """The session as last refreshed here, should the request have brought an older one."""
        known = self._newest.get(session.id)
        if known is not None and known.tokens.granted_at > session.tokens.granted_at:
            return known
        return session

    async def newest_anywhere(self, session: Session) -> Session:
        """The session as last refreshed here or at another replica."""
        known = await self._memory.newest(session.id)
        if known is not None and known.session.tokens.granted_at > self.newest(session).tokens.granted_at:
            self._remember(known.session, read=known.read)
        return self.newest(session)

    async def close(self) -> None:
        """Let refreshes in flight finish: their tokens are spent already."""
        await asyncio.gather(*self._flights.values(), return_exceptions=True)

    def _start(self, session: Session) -> asyncio.Task[Session]:
        """A task of its own: a visitor who hangs up must not cancel what others wait for."""
        flight = asyncio.create_task(self._refresh(session))
        self._flights[session.id] = flight
        flight.add_done_callback(lambda done: self._land(session.id, done))
        return flight

    def _land(self, session_id: str, flight: asyncio.Task[Session]) -> None:
        del self._flights[session_id]
        if not flight.cancelled():
            flight.exception()  # nobody may be waiting any more; the cause was logged where it happened

    async def _outcome(self, session: Session, flight: asyncio.Task[Session]) -> Session:
        is_good = self._clock() < session.tokens.expires_at
        try:
            async with asyncio.timeout(_PATIENCE if is_good else None):
                return await asyncio.shield(flight)
        except (ProviderUnavailable, TimeoutError):
            if self._clock() < session.tokens.expires_at:
                return session
            raise

    async def _refresh(self, session: Session) -> Session:
        """New tokens where they are due, and the profile read with them: whoever lost the account is out."""
        for _ in range(2):  # a machine may sleep between the two, and the new tokens run out before they are used
            if self._is_due(session):
                session = await self._renew(session)
            if session.id not in self._unread:
                return session
            with suppress(_RanOut):
                return await self._read(session)
        raise ProviderUnavailable("new tokens ran out before they were used, twice")

    async def _renew(self, session: Session) -> Session:
        """The session with the successors of its tokens, for which one replica asks."""
        session = await self.newest_anywhere(session)
        if not self._is_due(session):
            return session
        self._check_pause()
        async with self._memory.turn(session.id):
            await self._ended.follow()
            if self._ended.has(session):
                raise GrantEnded("it was ended at another replica")
            session = await self.newest_anywhere(session)
            if self._is_due(session):
                async with self._ending(session):
                    tokens = await self._asked(self._provider.refresh(session.tokens, owner=session.id))
                # Remembered before anything else can fail: the old refresh token is spent from here on.
                session = self._remember(session.refreshed(tokens, session.identity, self._clock()), read=False)
                await self._memory.remember(session, read=False)
        return session

    async def _read(self, session: Session) -> Session:
        """The session with the profile as it is now; _RanOut is raised when its tokens are too old to ask."""
        self._check_pause()
        async with self._ending(session):
            try:
                identity = await self._asked(self._provider.profile(session.tokens.access, owner=session.id))
            except NotAllowed as error:
                raise GrantEnded(error.cause) from None
            except GrantEnded:
                if self._clock() >= session.tokens.expires_at:  # that is why: it says nothing of the grant
                    raise _RanOut from None
                raise
        session = self._remember(session.refreshed(session.tokens, identity, self._clock()), read=True)
        await self._memory.remember(session, read=True)
        return session

    @asynccontextmanager
    async def _ending(self, session: Session) -> AsyncIterator[None]:
        """Ends the session where its grant turns out to have ended.

        Before anybody else's turn, and though those who asked may have hung up: nobody may ask again.
        """
        try:
            yield
        except GrantEnded as error:
            log.info("session ended by the provider: %s", error.cause, extra={"user": session.identity.id})
            await self._ended.end(session)
            raise

    def _is_due(self, session: Session) -> bool:
        return self._clock() >= session.tokens.due_at

    def _remember(self, successor: Session, *, read: bool) -> Session:
        self._newest[successor.id] = successor
        self._newest.move_to_end(successor.id)
        (self._unread.discard if read else self._unread.add)(successor.id)
        if len(self._newest) > _REMEMBERED:
            forgotten, _ = self._newest.popitem(last=False)
            self._unread.discard(forgotten)
        return successor

    async def _asked(self, question: Awaitable[T]) -> T:
        """The provider's answer. After a failure nobody asks for a while, and for longer after each."""
        try:
            answer = await question
        except ProviderUnavailable as error:
            self._pause = min(self._pause * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)
            self._not_before = self._clock() + self._pause
            log.warning("tokens not refreshed, asking again in %.0f s: %s", self._pause, error.cause)
            raise
        self._pause = 0.0
        return answer

    def _check_pause(self) -> None:
        if self._clock() < self._not_before:
            raise ProviderUnavailable("the provider failed a moment ago and is not asked again yet")
