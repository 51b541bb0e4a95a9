"""What the replicas of one proxy know together, as far as there is a place where they can put it.

The law: none of this fails. Where the others cannot be asked, a proxy goes on with what it knows itself.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.identity import Session
from oauth_proxy.settings import Redis, Settings

if TYPE_CHECKING:
    from oauth_proxy.session.records import Records


@dataclass(frozen=True, slots=True)
class Known:
    """A session as some replica last refreshed it, and whether its profile was `read` with those tokens."""

    session: Session
    read: bool


class Ends(Protocol):
    """What has ended, as each replica knows it: pairs of what, and when in seconds since the epoch."""

    def learn(self, entries: Iterable[tuple[str, float]]) -> None:
        """Others have ended these."""
        ...

    def known(self) -> list[tuple[str, float]]:
        """Everything that has ended, as far as it is known here."""
        ...


class Memory(Protocol):
    """The replicas' common memory."""

    @property
    def trouble(self) -> str | None:
        """Why nothing can be asked or told now; None while all is well."""
        ...

    async def newest(self, session_id: str) -> Known | None:
        """The session as last refreshed anywhere; None where nobody has said, or nobody can be asked."""
        ...

    async def remember(self, session: Session, *, read: bool | None = None) -> bool:
        """Tell the others; whether they can learn of it now. What they cannot, they are told later.

        `read` is whether its profile was read with its tokens; None leaves that as it was told.
        """
        ...

    def turn(self, session_id: str) -> AbstractAsyncContextManager[None]:
        """While this holds, no other replica refreshes the session.

        Raises ProviderUnavailable when others take too long.
        """
        ...

    async def end(self, what: str, when: float, session_id: str) -> None:
        """Tell the others that this is over, and forget the session's tokens."""
        ...

    async def follow(self, ends: Ends) -> None:
        """Learn what the others have ended; to be called about once a second."""
        ...

    async def close(self) -> None:
        """Nothing is asked any more."""
        ...


class Alone:
    """The memory of a proxy without replicas: there is nobody to tell."""

    trouble = None

    async def newest(self, session_id: str) -> Known | None:
        """Nothing."""
        return None

    async def remember(self, session: Session, *, read: bool | None = None) -> bool:
        """Nobody can learn of it."""
        return False

    def turn(self, session_id: str) -> AbstractAsyncContextManager[None]:
        """At once."""
        return nullcontext()

    async def end(self, what: str, when: float, session_id: str) -> None:
        """Nobody is told."""

    async def follow(self, ends: Ends) -> None:
        """Nobody has ended anything."""

    async def close(self) -> None:
        """There is nothing to close."""


ALONE = Alone()
EVERYBODY = "everybody"


def memory_for(settings: Settings, clock: Callable[[], float]) -> Memory:
    """The memory that `session.store` names. Raises ConfigurationError where its package is not installed."""
    where = settings.session.store
    if where == "cookie":
        return ALONE
    records = _records(settings, where, clock)
    from oauth_proxy.session.redis import RedisMemory

    return RedisMemory(records)


async def end_user(settings: Settings, where: Redis, user: str | None, now: float) -> None:
    """Tell all replicas that somebody's sessions that have begun by `now` are over; `user` is an id or an email.

    None is everybody.

    Raises ConfigurationError where they cannot be told.
    """
    records = _records(settings, where, lambda: now)
    from oauth_proxy.session.records import FAILURES

    try:
        await records.tell([user_entry(user, now)])
    except FAILURES as error:
        raise ConfigurationError([f"session.store: {where} cannot be told: {error}"]) from None
    finally:
        await records.close()


def user_entry(user: str | None, now: float) -> tuple[str, float]:
    """What ends all sessions of somebody, or of everybody for None, that have begun by `now`."""
    return EVERYBODY if user is None else f"user {user.lower()}", now


def _records(settings: Settings, where: Redis, clock: Callable[[], float]) -> "Records":
    try:
        from oauth_proxy.session.records import Records
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] != "redis":
            raise
        raise ConfigurationError(
            ["session.store: redis:// needs the package redis: pip install 'frameio-oauth-proxy[redis]'"]
        ) from None
    return Records(settings, where, clock)
