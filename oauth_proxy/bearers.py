"""Programs that send their own access token: Frame.io is asked whose it is, and the result is cached for a minute.

The law: only a response of the provider about this exact token gives access; it is cached under the hash of the
whole token. Everything that strangers can make grow is bounded.
"""

import asyncio
import hashlib
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Generic, Literal, Protocol, TypeVar

from oauth_proxy.bounded import Bounded
from oauth_proxy.cookies import RequestCookies
from oauth_proxy.errors import (
    GrantEnded,
    NotAllowed,
    ProviderBusy,
    ProviderUnavailable,
    TokenRefused,
    TooManyWrongTokens,
)
from oauth_proxy.headers import Fields, bearer_token, brings_token
from oauth_proxy.identity import Identity, Session, Tokens
from oauth_proxy.requests import Request

GOOD_FOR, WRONG_FOR = 60.0, 30.0
"""Seconds for which a result about a valid token, and about a refused one, is cached."""
RECHECK, RECHECK_AGAIN = 300.0, 15.0
"""Seconds until a token with an open request is checked again; and until the next try, if that failed."""
MOST_WRONG, PAUSE = 10, 6.0
"""Refused tokens that a client may send in a burst, and seconds until it may send one more."""
PROVEN_FOR = 86_400.0
"""Seconds for which the limit on refused tokens does not apply to a token that was once accepted."""
_REMEMBERED = 4096
_AT_ONCE = 16
"""Tokens checked at a time, so that strangers do not use all connections to the provider."""
_PATIENCE = 15.0
_PROGRAM = "bearer "

V = TypeVar("V")


def is_of_program(fields: Fields, received: RequestCookies) -> bool:
    """Whether a request has a token of its own by which it would be identified.

    One with a cookie of ours is identified by that alone: it comes from a browser, and the tool's pages may use
    Authorization for a secret that Frame.io must not see.
    """
    return not received.seen and brings_token(fields)


class Describing(Protocol):
    """The provider calls that are needed here."""

    async def profile(self, access_token: str, *, owner: str, asker: Literal["program"]) -> Identity:
        """The token's user."""
        ...


@dataclass(frozen=True, slots=True)
class _Answer:
    """The user of a token, as read `at` a time in seconds since the epoch."""

    identity: Identity
    at: float


@dataclass(slots=True)
class _Flight:
    """A call to the provider in progress, and how many requests wait for it."""

    task: asyncio.Task[_Answer]
    waiting: int = 0


class Bearers:
    """Turns tokens in requests into sessions, if `enabled`. `clock` returns seconds since the epoch."""

    def __init__(self, provider: Describing, clock: Callable[[], float], *, enabled: bool) -> None:
        self._provider = provider
        self._clock = clock
        self._enabled = enabled
        self._good = _Cache[_Answer](clock)
        self._wrong = _Cache[str](clock)
        self._busy = _Cache[str](clock)
        self._proven = _Cache[bool](clock)
        self._unanswered = _Cache[str](clock)
        self._limit = _Limit(clock)
        self._flights: dict[bytes, _Flight] = {}
        self._rechecks: dict[str, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    @property
    def waiting(self) -> int:
        """The number of requests that wait until the provider has said whose their token is."""
        return sum(flight.waiting for flight in self._flights.values())

    @property
    def sizes(self) -> dict[str, int]:
        """The number of entries in everything that grows with use."""
        return {
            "good": len(self._good),
            "wrong": len(self._wrong),
            "busy": len(self._busy),
            "proven": len(self._proven),
            "unanswered": len(self._unanswered),
            "clients": len(self._limit),
            "asked": len(self._flights),
            "rechecked": len(self._rechecks),
        }

    def has_token(self, request: Request, received: RequestCookies) -> bool:
        """Whether the request is identified by its own token."""
        return self._enabled and is_of_program(request.fields, received)

    async def session(self, request: Request) -> Session:
        """The session of a request that has a token.

        It is never refreshed: its `expires_at` is when the provider's response is no longer trusted.

        Raises TokenMalformed, TokenRefused, TooManyWrongTokens, and ProviderUnavailable if it cannot be checked.
        """
        token = bearer_token(request.fields)
        key = hashlib.sha256(token.encode("ascii")).digest()
        known = await self._whose(key, token, request.client)
        tokens = Tokens(token, known.at, known.at + GOOD_FOR)
        name = f"{_PROGRAM}{key.hex()}"
        return Session(name, known.identity, tokens, known.at, known.at, profile_at=known.at, program=True)

    def tend(self, open_sessions: Iterable[Session]) -> None:
        """Check the tokens of programs with open requests again, when due. Call this about once a second."""
        for session in open_sessions:
            if session.id in self._rechecks or len(self._rechecks) >= _AT_ONCE:
                continue
            if self._is_due(session):
                task = self._rechecks[session.id] = asyncio.create_task(self._recheck(session))
                task.add_done_callback(partial(self._rechecked, session.id))

    def is_refused(self, session: Session) -> bool:
        """Whether the provider refused the token of a program's session."""
        return self._wrong.get(_key(session)) is not None

    def newest(self, session: Session) -> Session:
        """A program's session with the identity that was last read."""
        known = self._good.last(_key(session))
        return session if known is None else session.described(known.identity, known.at)

    async def _recheck(self, session: Session) -> None:
        key = _key(session)
        try:
            with suppress(TokenRefused):
                await self._shared(key, session.tokens.access, session.id)
        except (ProviderUnavailable, TooManyWrongTokens) as error:
            wait = max(RECHECK_AGAIN, error.retry_after or 0)
            self._unanswered.keep(key, error.cause, self._clock() + wait)

    def _rechecked(self, session_id: str, task: "asyncio.Task[None]") -> None:
        del self._rechecks[session_id]

    def _is_due(self, session: Session) -> bool:
        """Whether a program's token must be checked again."""
        key = _key(session)
        if self._busy.get(key) or self._unanswered.get(key) or self.is_refused(session):
            return False
        known = self._good.last(key)
        return self._clock() >= max(session.profile_at, known.at if known else 0.0) + RECHECK

    async def _whose(self, key: bytes, token: str, client: str) -> _Answer:
        if (known := self._good.get(key)) is not None:
            return known
        if (cause := self._wrong.get(key)) is not None:
            raise TokenRefused(f"{cause}, a moment ago")
        if (cause := self._busy.get(key)) is not None:
            raise ProviderBusy(f"{cause}, a moment ago", retry_after=self._busy.seconds_left(key))
        return await self._shared(key, token, client)

    async def _shared(self, key: bytes, token: str, client: str) -> _Answer:
        """The provider's result about a token. All requests that wait for it share one call."""
        flight = self._flights.get(key)
        if flight is None:
            flight = _Flight(asyncio.create_task(self._ask(key, token, client)))
            self._flights[key] = flight
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting:  # done, or all clients disconnected: strangers leave no work behind
                del self._flights[key]
                flight.task.cancel()

    def _owner(self, key: bytes) -> str:
        """The owner of a failed check: the token, if it was once accepted; all other tokens share one owner."""
        return f"{_PROGRAM}{key.hex()}" if self._proven.get(key) else _PROGRAM

    async def close(self) -> None:
        """Cancel all checks of open requests."""
        for task in self._rechecks.values():
            task.cancel()
        await asyncio.gather(*self._rechecks.values(), return_exceptions=True)

    async def _ask(self, key: bytes, token: str, client: str) -> _Answer:
        try:
            async with asyncio.timeout(_PATIENCE), self._turns:
                if not self._proven.get(key):
                    self._limit.check(client)  # here, as a token ahead in the queue may have been refused
                now = self._clock()
                known = _Answer(await self._provider.profile(token, owner=self._owner(key), asker="program"), now)
        except (GrantEnded, NotAllowed) as error:
            self._limit.count(client)
            self._wrong.keep(key, error.cause, self._clock() + WRONG_FOR)
            self._proven.drop(key)
            raise TokenRefused(error.cause) from None
        except ProviderBusy as error:
            self._busy.keep(key, error.cause, self._clock() + (error.retry_after or 0))
            raise
        except TimeoutError:
            raise ProviderUnavailable(f"nobody could say within {_PATIENCE:g} s whose a token is") from None
        self._good.keep(key, known, now + GOOD_FOR)
        self._proven.keep(key, True, now + PROVEN_FOR)
        return known


class _Cache(Generic[V]):
    """Results about tokens, by the token's hash; each has an expiry time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept = Bounded[bytes, tuple[V, float]](_REMEMBERED)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes) -> V | None:
        """The value, unless it has expired."""
        kept = self._kept.get(key)
        return kept[0] if kept is not None and self._clock() < kept[1] else None

    def seconds_left(self, key: bytes) -> int:
        """Seconds until the value expires, at least 1."""
        _, until = self._kept.get(key) or (None, 0.0)
        return max(1, math.ceil(until - self._clock()))

    def last(self, key: bytes) -> V | None:
        """The last value, even if it has expired."""
        kept = self._kept.get(key)
        return kept[0] if kept is not None else None

    def drop(self, key: bytes) -> None:
        """Delete the value."""
        self._kept.drop(key)

    def keep(self, key: bytes, value: V, until: float) -> None:
        """Store the value until a time in seconds since the epoch."""
        self._kept.keep(key, (value, until))


class _Limit:
    """Limits refused tokens per client to MOST_WRONG in a burst, then one every PAUSE seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._forgotten_at = Bounded[str, float](_REMEMBERED)

    def __len__(self) -> int:
        return len(self._forgotten_at)

    def check(self, client: str) -> None:
        """Raises TooManyWrongTokens if the client has reached the limit."""
        open_for = (self._forgotten_at.get(client) or 0.0) - self._clock()
        wait = open_for - (MOST_WRONG - 1) * PAUSE
        if wait > 0:
            raise TooManyWrongTokens("a client brings one wrong token after another", retry_after=math.ceil(wait))

    def count(self, client: str) -> None:
        """Count one refused token."""
        self._forgotten_at.keep(client, max(self._forgotten_at.get(client) or 0.0, self._clock()) + PAUSE)


def _key(session: Session) -> bytes:
    """The hash of the token of a program's session."""
    return bytes.fromhex(session.id.removeprefix(_PROGRAM))
