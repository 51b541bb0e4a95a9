"""Who is signed in: sessions begin, are resumed, and end."""

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from oauth_proxy.cookies import Received
from oauth_proxy.errors import GrantEnded, ProviderUnavailable, SessionsUnavailable
from oauth_proxy.identity import Identity, Session, Tokens
from oauth_proxy.session.ended import Ended
from oauth_proxy.session.refresh import Refresher
from oauth_proxy.session.store import Absence, CookieStore

log = logging.getLogger(__name__)


class Revoking(Protocol):
    """What is needed of the provider."""

    async def revoke(self, tokens: Tokens) -> None:
        """End the grant."""
        ...


class Visit(NamedTuple):
    """One request's visitor: their session, None for a stranger, and the Set-Cookie values to answer with."""

    session: Session | None
    set_cookies: Sequence[str] = ()


class Sessions:
    """`clock` tells seconds since the epoch."""

    def __init__(
        self,
        store: CookieStore,
        refresher: Refresher,
        ended: Ended,
        provider: Revoking,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._refresher = refresher
        self._ended = ended
        self._provider = provider
        self._clock = clock

    async def begin(self, identity: Identity, tokens: Tokens, received: Received) -> Visit:
        """A session of its own for somebody who has just signed in.

        Its cookies replace those of whoever was signed in before. Raises SessionTooLarge, or SessionsUnavailable
        for one that would fit if replicas could keep it.
        """
        now = self._clock()
        session = Session(secrets.token_urlsafe(16), identity, tokens, created=now, seen=now)
        return Visit(session, await self._store.save(session, received))

    def at_hand(self, received: Received) -> Visit | None:
        """The visit that `resume` would find, where that is known already and nothing is due; None elsewhere."""
        loaded = self._store.remembered(received)
        if loaded is None or self._ended.has(loaded.session) or self._refresher.has_news(loaded.session):
            return None
        return Visit(loaded.session)

    async def resume(self, received: Received) -> Visit:
        """The request's session with tokens that are good now.

        Raises ProviderUnavailable when they have run out and the provider cannot be asked for others, and
        SessionsUnavailable when only replicas keep the session and they cannot be asked.
        """
        loaded = await self._store.load(received)
        if loaded is None or self._ended.has(loaded.session):
            return Visit(None)
        try:
            session = await self._refresher.fresh(loaded.session)
        except GrantEnded:
            return Visit(None, self._store.clear(received))
        if session is loaded.session and not self._store.is_due(loaded):
            return Visit(session)
        session = replace(session, seen=self._clock())
        try:
            return Visit(session, await self._store.save(session, received))
        except SessionsUnavailable:
            return Visit(session)  # the cookie's pointer leads to the new tokens once they can be told

    async def end(self, received: Received) -> Visit:
        """Sign out: the cookies go, a copy of them is refused, and the provider is told where that is possible."""
        loaded = await self._store.load(received)
        if loaded is not None and not self._ended.has(loaded.session):
            newest = await self._refresher.newest_anywhere(loaded.session)
            await self._ended.end(loaded.session)
            await self._revoke(newest)
        return Visit(None, self._store.clear(received))

    async def came_back(self, received: Received) -> bool:
        """Whether the request brought a session that has not ended; nobody is asked if its tokens are good."""
        loaded = await self._store.load(received)
        return loaded is not None and not self._ended.has(loaded.session)

    def why_absent(self, received: Received) -> Absence:
        """Why a request that should have brought a session brought none."""
        return self._store.why_absent(received)

    def forget(self, received: Received) -> list[str]:
        """Set-Cookie values that make the browser forget the session it sent."""
        return self._store.clear(received)

    async def _revoke(self, session: Session) -> None:
        try:
            await self._provider.revoke(session.tokens)
        except ProviderUnavailable as error:
            log.warning("signed out here, but the tokens were not revoked at Frame.io: %s", error.cause)
