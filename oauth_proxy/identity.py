"""Who a visitor is and what they hold: plain values.

The law: a token never appears in a repr.
"""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Identity:
    """A person as Frame.io describes them.

    `standing` holds what they are in the accounts and teams that were asked about: `account:ID`, `team:ID`, and
    the same with `:role` behind it for each role they hold there.
    """

    id: str
    email: str | None = None
    name: str | None = None
    account_id: str | None = None
    standing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a successful token request grants (RFC 6749 5.1); times in seconds since the epoch."""

    access: str = field(repr=False)
    granted_at: float
    expires_at: float
    refresh: str | None = field(default=None, repr=False)
    scope: str = ""

    @property
    def due_at(self) -> float:
        """When to ask for successors: a minute before the end, sooner for tokens that live for minutes only."""
        if self.refresh is None:
            return self.expires_at
        return self.expires_at - min(60.0, (self.expires_at - self.granted_at) / 10)


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in visitor; `created` and `seen` in seconds since the epoch.

    `id` is new for every login, so nobody can be given a session in advance.
    """

    id: str
    identity: Identity
    tokens: Tokens
    created: float
    seen: float

    def refreshed(self, tokens: Tokens, identity: Identity, now: float) -> "Session":
        """The same session with its successor tokens and the profile read with them."""
        return replace(self, tokens=tokens, identity=identity, seen=now)


@dataclass(frozen=True, slots=True)
class Seen:
    """Somebody whose sessions a proxy knows; `since` and `last_seen` in seconds since the epoch.

    `connections` are the exchanges they have open at the proxy that was asked.
    """

    id: str
    email: str | None
    since: float
    last_seen: float
    connections: int = 0
