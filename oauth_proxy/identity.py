"""Who a visitor is and what they hold: plain values, and the bytes they are kept as.

The law: a token never appears in a repr.
"""

import json
from dataclasses import dataclass, field, replace
from typing import NamedTuple


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


class TokenMark(NamedTuple):
    """A header that goes along with access tokens which begin like this, and with no others."""

    begins: str
    name: str
    value: str

    def headers(self, token: str) -> dict[str, str]:
        """What goes along with this token."""
        return {self.name: self.value} if token.startswith(self.begins) else {}


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in visitor; `created` and `seen` in seconds since the epoch.

    `id` is new for every login, so nobody can be given a session in advance. `profile_at` is when the identity was
    read. A session of a `program` is its own token; it is neither refreshed nor kept.
    """

    id: str
    identity: Identity
    tokens: Tokens
    created: float
    seen: float
    profile_at: float = 0.0
    program: bool = False

    def is_newer_than(self, other: "Session") -> bool:
        """Whether this is what became of the other one: refreshed, or its profile read, after it."""
        mine = self.tokens.granted_at, self.profile_at
        return mine > (other.tokens.granted_at, other.profile_at)

    def renewed(self, tokens: Tokens, now: float) -> "Session":
        """The same session with the successors of its tokens."""
        return replace(self, tokens=tokens, seen=now)

    def described(self, identity: Identity, now: float) -> "Session":
        """The same session with the profile as it was read now."""
        return replace(self, identity=identity, profile_at=now, seen=now)


@dataclass(frozen=True, slots=True)
class Seen:
    """Somebody who is signed in, and how many exchanges of theirs are open; times in seconds since the epoch."""

    id: str
    email: str | None
    since: float
    last_seen: float
    connections: int = 0


_VERSION = 2


def encode(session: Session) -> bytes:
    """The session as bytes fit for sealing."""
    who, tokens = session.identity, session.tokens
    fields = [
        _VERSION,
        [session.id, session.created, session.seen, session.profile_at],
        [who.id, who.email, who.name, who.account_id, who.standing],
        [tokens.access, tokens.granted_at, tokens.expires_at, tokens.refresh, tokens.scope],
    ]
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def decode(content: bytes) -> Session | None:
    """The session that `encode` wrote, here or in version 0.1.0; None for one of another version."""
    version, *fields = json.loads(content.decode("utf-8", "surrogatepass"))
    if version not in (1, _VERSION):
        return None
    (session_id, created, seen, *profile_at), (person, email, name, account_id, standing), tokens = fields
    who, held = Identity(person, email, name, account_id, tuple(standing)), Tokens(*tokens)
    # 0.1.0 read the profile with each refresh, and kept no time for it.
    return Session(session_id, who, held, created, seen, *profile_at or [held.granted_at])
