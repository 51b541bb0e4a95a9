"""What tells one dialect of Frame.io from the other, as values; none of it asks anybody."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from oauth_proxy.identity import Identity, TokenMark


@dataclass(frozen=True, slots=True)
class Memberships:
    """The accounts and teams whose members the configuration lets in, by id; nothing else is asked about."""

    accounts: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Question:
    """One call about somebody's standing: a path of the API, and how to read the answer (see Identity.standing).

    `read` raises KeyError, TypeError or ValueError for an answer that is not one.
    """

    path: str
    read: Callable[[Mapping[str, object]], Iterable[str]]
    next: Callable[[Mapping[str, object]], str | None] = lambda answer: None
    """The address of the answer's next page, where it has one; it raises what `read` raises."""


@dataclass(frozen=True, slots=True)
class Api:
    """What tells v2 from v4: addresses, the shape of a profile, and what a token is and brings."""

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
    """Whether a refresh names the scope again."""
    lifetime: int
    """Seconds that an access token lives whose answer does not say."""
    mark: TokenMark | None = None
    """What the API wants to be told, besides the Authorization, of some access tokens."""


def text(value: object) -> str | None:
    """An optional field of a profile: a string of bearable length, or nothing."""
    return value if isinstance(value, str) and 0 < len(value) <= 320 else None


def required(value: object) -> str:
    """A field no profile can do without. Raises ValueError where it is missing."""
    found = text(value)
    if found is None:
        raise ValueError("the profile has no id")
    return found
