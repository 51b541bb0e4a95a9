"""One refresh per session; every request that waits or comes later, in any process, shares its result.

The law: no refresh token is sent twice. Frame.io's are single-use, and using one again may revoke the whole grant.
So the newest tokens of every session are remembered, and replace those of an older cookie. A failure pauses the
refreshes of its own session only; the provider module decides whether Frame.io cannot be reached at all.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress

from oauth_proxy.bounded import Bounded
from oauth_proxy.errors import GrantEnded, NotAllowed, ProviderUnavailable, ProxyError
from oauth_proxy.identity import Identity, Session
from oauth_proxy.memory import Memory
from oauth_proxy.session.flights import Flights
from oauth_proxy.session.needs import Refreshing
from oauth_proxy.session.pauses import Pauses
from oauth_proxy.telemetry import SILENT, Audit

log = logging.getLogger(__name__)

_REMEMBERED = 4096
_LONGEST_CALL = 10.0
"""Seconds that a refresh may take at most. Tokens that stay valid for longer are not urgent."""
_TENDED_AT_ONCE = 8


class Refresher:
    """Keeps the tokens and profiles of sessions up to date, and ends sessions whose grant has ended.

    A profile is read after each refresh, and `recheck` seconds after it was last read, with the memberships that
    `asked` names. `clock` returns seconds since the epoch; `memory` is shared by all processes. `count` is called
    with how each refresh ended (`done`, `ended`, `failed`), and with `shared` for each wait for one that had begun
    before.
    """

    def __init__(
        self,
        provider: Refreshing,
        clock: Callable[[], float],
        memory: Memory,
        *,
        recheck: float = 3600.0,
        asked: str = "",
        count: Callable[[str], None] = lambda result: None,
        audit: Audit = SILENT,
    ) -> None:
        self._audit = audit
        self._provider = provider
        self._clock = clock
        self._memory = memory
        self._recheck = recheck
        self.asked = asked
        self._count = count
        self._newest = Bounded[str, Session](_REMEMBERED)
        self._renewals = Flights[Session]()
        self._profile_reads = Flights[Session]()
        self._unrenewed = Pauses("tokens not refreshed", clock)
        self._unread = Pauses("profile not read", clock)
        self._owed = Bounded[str, None](_REMEMBERED)
        self._refused = Bounded[str, str](_REMEMBERED)
        self._tending: set[asyncio.Task[None]] = set()

    @property
    def sizes(self) -> dict[str, int]:
        """The number of entries in what grows with use: sessions remembered, owed a profile, and read now."""
        return {"newest": len(self._newest), "owed": len(self._owed), "tended": len(self._tending)}

    async def fresh(self, session: Session) -> Session:
        """The session with an access token that is valid now: the same session, or its refreshed successor.

        Its profile is the newest; if that cannot be read soon, the last known one. Raises GrantEnded when the
        provider ended the grant, and ProviderUnavailable when the token has expired and there is no new one.
        """
        for _ in range(3):  # the machine may sleep after each response, until its tokens have expired
            session = self.newest(session)
            if self._is_due(session):
                session = await self._renewed(session)
            if self._is_unread(session):
                session = await self._described(session)
            if self._is_good(session):
                return session
        raise ProviderUnavailable("new tokens run out faster than they can be used")

    def is_asked(self, session: Session) -> bool:
        """Whether the profile was read with the memberships that the rules of today are about."""
        return session.identity.asked == self.asked

    async def asked_again(self, session: Session) -> Session:
        """The session with a profile that was read with the memberships of today. Raises what `fresh` raises."""
        session = await self.fresh(session)
        if self.is_asked(session):
            return session
        if left := self._unread.left(session.id):
            raise ProviderUnavailable("reading the profile failed a moment ago", retry_after=int(left) + 1)
        reads = self._profile_reads
        return await (reads.join(session.id) or reads.start(session.id, self._read(session))).result()

    def has_news(self, session: Session) -> bool:
        """Whether newer tokens or a newer profile are known, or will be soon, or may have to be asked for."""
        if session.id in self._renewals or not self.is_asked(session):
            return True
        known = self._newest.get(session.id)
        return known is not None and (known.is_newer_than(session) or self._is_unread(known))

    def newest(self, session: Session) -> Session:
        """The newer of this session and the one last refreshed in this process."""
        known = self._newest.get(session.id)
        return known if known is not None and known.is_newer_than(session) else session

    async def newest_anywhere(self, session: Session) -> Session:
        """The session as last refreshed in any process."""
        known = await self._memory.newest(session.id)
        if known is not None and known.is_newer_than(self.newest(session)):
            self._remember(known)
        return self.newest(session)

    def settled_until(self, session: Session) -> float:
        """When tokens or profile are next due, in seconds since the epoch."""
        if session.profile_at < session.tokens.granted_at:
            return 0.0
        return min(session.tokens.due_at, session.profile_at + self._recheck)

    def tend(self, open_sessions: Iterable[Session]) -> None:
        """Read the due profiles of `open_sessions`, and profiles that could not be read before.

        Call this about once a second: a session with only a WebSocket open makes no request that would do it.
        """
        for session_id in list(self._owed):
            owed = self._newest.get(session_id)
            if owed is None or not self._is_good(owed):
                self._owed.drop(session_id)  # the next request reads it, with newer tokens
            elif self._may_read(owed) and len(self._profile_reads) < _TENDED_AT_ONCE:
                self._profile_reads.start(owed.id, self._read(owed))
        for session in map(self.newest, open_sessions):
            if len(self._tending) < _TENDED_AT_ONCE and self._may_tend(session):
                task = asyncio.create_task(self._tended(session))
                self._tending.add(task)
                task.add_done_callback(self._tending.discard)

    async def landed(self, session: Session) -> Session:
        """The newest version of the session, once no refresh of it is in progress here."""
        if (flight := self._renewals.join(session.id)) is not None:
            with suppress(ProxyError):
                await flight.result()
        return await self.newest_anywhere(session)

    async def close(self) -> None:
        """Let the refreshes in progress finish: their refresh tokens are already used."""
        for task in self._tending:
            task.cancel()
        await self._renewals.close()
        await self._profile_reads.close()

    async def _tended(self, session: Session) -> None:
        with suppress(ProxyError):  # logged where it was raised
            await self.asked_again(session)

    async def _renewed(self, session: Session) -> Session:
        """Return the session with new tokens, or with the present ones if a refresh fails while they are valid."""
        flight = self._renewals.join(session.id)
        if flight is not None:
            self._count("shared")
        if self._is_good(session):
            if flight is None and (self._unrenewed.left(session.id) or self._may_wait_for_others(session)):
                return session
            flight = flight or self._renewals.start(session.id, self._renew(session))
            with suppress(ProviderUnavailable, TimeoutError):
                return await flight.result_soon()
            if self._is_good(session):
                return session
        return await (flight or self._renewals.start(session.id, self._renew(session))).result()

    async def _renew(self, session: Session) -> Session:
        """The session with refreshed tokens. Only one process at a time asks for them."""
        session = await self.newest_anywhere(session)
        if not self._is_due(session):
            return session
        if session.tokens.refresh is None:
            async with self._ending(session):
                raise GrantEnded("its access token has run out, and the provider granted no refresh token")
        if left := self._unrenewed.left(session.id):
            raise ProviderUnavailable("refreshing it failed a moment ago", retry_after=int(left) + 1)
        async with self._memory.lease(session.id):
            await self._memory.follow()
            if self._memory.has_ended(session):
                raise GrantEnded("it was ended in another process")
            session = await self.newest_anywhere(session)
            if self._may_wait_for_others(session):
                raise ProviderUnavailable("others may have refreshed it, and cannot be asked")
            if self._is_due(session):
                session = await self._ask_for_tokens(session)
            else:
                self._count("shared")
        return session

    async def _ask_for_tokens(self, session: Session) -> Session:
        try:
            with self._unrenewed.after_failures_of(session):
                async with self._ending(session):
                    tokens = await self._provider.refresh(session.tokens, owner=session.id)
        except ProxyError as error:
            self._count("ended" if isinstance(error, GrantEnded) else "failed")
            raise
        self._count("done")
        # Remember this before anything else can fail: the old refresh token cannot be used any more.
        session = self._remember(self.newest(session).renewed(tokens, self._clock()))
        log.debug("tokens refreshed", extra={"user": session.identity.id})
        await self._memory.remember(session)
        return session

    async def _described(self, session: Session) -> Session:
        """The session with its current profile; with the last known one if reading takes too long or fails."""
        flight = self._profile_reads.join(session.id)
        if flight is None:
            if not self._may_read(session):
                return session
            flight = self._profile_reads.start(session.id, self._read(session))
        try:
            return await flight.result_soon()
        except (ProviderUnavailable, TimeoutError):
            self._owed.keep(session.id, None)
            return session

    async def _read(self, session: Session) -> Session:
        with self._unread.after_failures_of(session):
            async with self._ending(session):
                identity = await self._profile(session)
        self._owed.drop(session.id)
        newest = await self.newest_anywhere(session)  # its tokens may have been replaced in the meantime
        session = self._remember(newest.described(identity, self._clock()))
        log.debug("profile read", extra={"user": identity.id})
        await self._memory.remember(session)
        return session

    async def _profile(self, session: Session) -> Identity:
        try:
            return await self._provider.profile(session.tokens.access, owner=session.id)
        except NotAllowed as error:
            raise GrantEnded(error.cause) from None
        except GrantEnded:
            newest = await self.newest_anywhere(session)
            if newest.tokens != session.tokens or not self._is_good(session):
                # The token expired or was replaced, so the refusal does not mean that the grant ended.
                raise ProviderUnavailable("the profile was asked with a token of before") from None
            if session.tokens.refresh is None:
                raise
            # Perhaps this token alone has ended, as after a machine was paused whose clocks then stood still.
            self._refused.keep(session.id, session.tokens.access)
            raise ProviderUnavailable("its token is refused before its time; a refresh says why") from None

    @asynccontextmanager
    async def _ending(self, session: Session) -> AsyncIterator[None]:
        """End the session if its grant turns out to have ended.

        This is recorded before the lease is released, even if the clients have disconnected: no process may send
        this refresh token again.
        """
        try:
            yield
        except GrantEnded as error:
            log.info("session ended by the provider: %s", error.cause, extra={"user": session.identity.id})
            self._audit.note("session_ended", "provider", error.cause, session=session)
            await self._memory.end(session)
            raise

    def _is_good(self, session: Session) -> bool:
        return self._clock() < session.tokens.expires_at and not self._is_refused(session)

    def _is_due(self, session: Session) -> bool:
        return self._clock() >= session.tokens.due_at or self._is_refused(session)

    def _is_refused(self, session: Session) -> bool:
        """Whether Frame.io has refused the access token, although it should be valid still."""
        return self._refused.get(session.id) == session.tokens.access

    def _is_unread(self, session: Session) -> bool:
        read_at = session.profile_at
        return read_at < session.tokens.granted_at or self._clock() >= read_at + self._recheck

    def _may_read(self, session: Session) -> bool:
        return session.id not in self._profile_reads and not self._unread.left(session.id)

    def _may_tend(self, session: Session) -> bool:
        """Whether a provider call can succeed now: not while a refresh that is due is paused."""
        may_renew = not (self._is_due(session) and self._unrenewed.left(session.id))
        is_due = self._is_unread(session) or not self.is_asked(session)
        return is_due and self._may_read(session) and may_renew

    def _may_wait_for_others(self, session: Session) -> bool:
        """Whether to wait: another process may have new tokens but cannot be asked, and these are valid."""
        tokens = session.tokens
        urgent = min(_LONGEST_CALL, (tokens.expires_at - tokens.due_at) / 6)
        return self._memory.may_miss and self._clock() < tokens.expires_at - urgent

    def _remember(self, successor: Session) -> Session:
        self._newest.keep(successor.id, successor)
        return successor
