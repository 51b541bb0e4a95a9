"""The differences between Frame.io's v2 and v4, as values; nothing here makes a call."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from oauth_proxy.identity import Identity, TokenMark
from oauth_proxy.oauth import digest


@dataclass(frozen=True, slots=True)
class Memberships:
    """Ids of the accounts and teams whose members have access by configuration. Only these are looked up."""

    accounts: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """A short text that no other set has; empty for none (see Identity.asked)."""
        ids = [*(f"account:{each}" for each in self.accounts), *(f"team:{each}" for each in self.teams)]
        return digest(" ".join(sorted(ids)))[:12] if ids else ""


@dataclass(frozen=True, slots=True)
class Question:
    """A request for a user's memberships: a path of the API, and how to read its JSON (see Identity.standing).

    `read` raises KeyError, TypeError or ValueError for JSON of another shape.
    """

    path: str
    read: Callable[[Mapping[str, object]], Iterable[str]]
    next: Callable[[Mapping[str, object]], str | None] = lambda response: None
    """The address of the next page, if there is one. It raises what `read` raises."""


@dataclass(frozen=True, slots=True)
class Api:
    """What differs between v2 and v4: addresses, the JSON of a profile, and properties of tokens."""

    name: str
    authorize_url: str
    token_url: str
    api_url: str
    revoke_url: str | None
    profile_path: str
    read_profile: Callable[[Mapping[str, object]], Identity]
    """Raises KeyError, TypeError or ValueError for anything that is not a profile."""
    questions: Callable[[Memberships], Sequence[Question]]
    repeats_scope: bool
    """Whether a refresh request repeats the scope."""
    lifetime: int
    """Lifetime in seconds of an access token, if the token response has no expires_in."""
    mark: TokenMark | None = None
    """A header that the API needs, besides Authorization, with some access tokens."""


def text(value: object) -> str | None:
    """An optional field of a profile: a string of at most 320 characters, or None."""
    return value if isinstance(value, str) and 0 < len(value) <= 320 else None


def required(value: object) -> str:
    """A required field of a profile. Raises ValueError if it is missing."""
    found = text(value)
    if found is None:
        raise ValueError("the profile has no id")
    return found
