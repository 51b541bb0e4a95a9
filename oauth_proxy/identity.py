"""Users, tokens and sessions as plain values, and their encoding as bytes.

The law: a token never appears in a repr.
"""

import json
from dataclasses import dataclass, field, replace
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Identity:
    """A user as Frame.io describes them.

    `standing` holds their memberships in the accounts and teams that the configuration names: `account:ID`,
    `team:ID`, and the same with `:role` appended for each of their roles. `asked` names the set of these accounts
    and teams (see Memberships): of others nothing is known.
    """

    id: str
    email: str | None = None
    name: str | None = None
    account_id: str | None = None
    standing: tuple[str, ...] = ()
    asked: str = ""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The content of a token response (RFC 6749 5.1); times in seconds since the epoch."""

    access: str = field(repr=False)
    granted_at: float
    expires_at: float
    refresh: str | None = field(default=None, repr=False)
    scope: str = ""

    @property
    def due_at(self) -> float:
        """When to refresh: a minute before expiry, or a tenth of the lifetime if that is less."""
        if self.refresh is None:
            return self.expires_at
        return self.expires_at - min(60.0, (self.expires_at - self.granted_at) / 10)


class TokenMark(NamedTuple):
    """A header to send with access tokens that begin with `begins`, and with no others."""

    begins: str
    name: str
    value: str

    def headers(self, token: str) -> dict[str, str]:
        """The headers to send with this token."""
        return {self.name: self.value} if token.startswith(self.begins) else {}


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in visitor; `created` and `seen` in seconds since the epoch.

    `id` is new for every login, which prevents session fixation. `profile_at` is when the identity was read. A
    `program` session stands for a program's own token; it is neither refreshed nor stored.
    """

    id: str
    identity: Identity
    tokens: Tokens
    created: float
    seen: float
    profile_at: float = 0.0
    program: bool = False

    def is_newer_than(self, other: "Session") -> bool:
        """Whether this is a later version of the other session: refreshed later, or its profile read later."""
        mine = self.tokens.granted_at, self.profile_at
        return mine > (other.tokens.granted_at, other.profile_at)

    def renewed(self, tokens: Tokens, now: float) -> "Session":
        """The same session with new tokens."""
        return replace(self, tokens=tokens, seen=now)

    def described(self, identity: Identity, now: float) -> "Session":
        """The same session with the profile that was read at `now`."""
        return replace(self, identity=identity, profile_at=now, seen=now)


@dataclass(frozen=True, slots=True)
class Seen:
    """A signed-in user and their number of open requests; times in seconds since the epoch."""

    id: str
    email: str | None
    since: float
    last_seen: float
    connections: int = 0


_VERSION = 2


def encode(session: Session) -> bytes:
    """The session encoded as bytes."""
    who, tokens = session.identity, session.tokens
    fields = [
        _VERSION,
        [session.id, session.created, session.seen, session.profile_at],
        [who.id, who.email, who.name, who.account_id, who.standing, who.asked],
        [tokens.access, tokens.granted_at, tokens.expires_at, tokens.refresh, tokens.scope],
    ]
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def decode(content: bytes) -> Session | None:
    """Decode what `encode` wrote, in this version or 0.1.0; None for another format."""
    version, *fields = json.loads(content.decode("utf-8", "surrogatepass"))
    if version not in (1, _VERSION):
        return None
    (session_id, created, seen, *profile_at), (person, email, name, account_id, standing, *asked), tokens = fields
    who, held = Identity(person, email, name, account_id, tuple(standing), *asked), Tokens(*tokens)
    # 0.1.0 read the profile with each refresh, and stored no time for it.
    return Session(session_id, who, held, created, seen, *profile_at or [held.granted_at])
