"""The bookkeeping of an authorization server: codes, grants and their tokens, and when each of them dies.

Law: a code is redeemed once and a refresh token used once; the second use of either ends the whole grant.
"""

import base64
import hashlib
import hmac
import math
import re
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from oauth_proxy.demo.dialects import Dialect

CODE_LIFETIME = 600  # seconds (RFC 6749 4.1.2)
MOST_GRANTS = 10_000  # the oldest is forgotten

VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 4.1

DESCRIPTIONS = {
    "invalid_request": "A parameter is missing, repeated or malformed.",
    "invalid_client": "The app could not be authenticated.",
    "invalid_grant": "The code or refresh token is not valid, has been used, has expired or was revoked.",
    "invalid_scope": "A scope is unknown, or more than was granted.",
    "invalid_state": "The state is too short to be unguessable.",
    "unsupported_grant_type": "This grant type is not offered.",
    "unsupported_response_type": "Only response_type=code is offered.",
    "access_denied": "The resource owner said no.",
}


class OAuthError(Exception):
    """A refusal of RFC 6749 5.2, with Ory Hydra's extra fields."""

    def __init__(self, error: str, hint: str, status: int = 400) -> None:
        super().__init__(f"{error}: {hint}")
        self.error = error
        self.hint = hint
        self.status = status

    def fields(self) -> dict[str, str | int]:
        """The JSON body: error, error_description, error_hint, status_code."""
        return {
            "error": self.error,
            "error_description": DESCRIPTIONS[self.error],
            "error_hint": self.hint,
            "status_code": self.status,
        }


@dataclass
class Grant:
    """What one person allowed one app, and the tokens that are live under it."""

    client_id: str
    person_id: str
    scope: tuple[str, ...]
    redirect_uri: str
    challenge: str | None
    created: float
    lasts: bool = True  # with refresh tokens
    redeemed: bool = False
    revoked: bool = False
    access: str | None = field(default=None, repr=False)
    access_scope: tuple[str, ...] = ()
    access_expires: float = 0
    refresh: str | None = field(default=None, repr=False)
    issued: list[tuple[str, str]] = field(default_factory=list, repr=False)
    ended: set[str] = field(default_factory=set, repr=False)  # tokens that were revoked by themselves


class Grants:
    """All grants of one login. The clock and all lifetimes are in seconds."""

    def __init__(
        self,
        dialect: Dialect,
        clock: Callable[[], float],
        *,
        access_lifetime: float,
        refresh_lifetime: float,
        rotate: bool,
    ) -> None:
        self.rotate = rotate
        self.token_size = 3000
        self._dialect = dialect
        self._clock = clock
        self.access_lifetime = access_lifetime
        self._refresh_lifetime = refresh_lifetime
        self._grants: deque[Grant] = deque()
        self._held: dict[tuple[str, str], Grant] = {}

    def authorize(
        self,
        *,
        client_id: str,
        person_id: str,
        scope: tuple[str, ...],
        redirect_uri: str,
        challenge: str | None,
        lasts: bool,
    ) -> str:
        """A fresh code for what the person just allowed."""
        grant = self._open(Grant(client_id, person_id, scope, redirect_uri, challenge, self._clock(), lasts))
        return self._keep(grant, "code", secrets.token_urlsafe(32))

    def redeem(self, code: str, client_id: str, redirect_uri: str | None, verifier: str | None) -> dict[str, Any]:
        """The token answer for a code (RFC 6749 4.1.4). Raises OAuthError; the code is used up all the same."""
        grant = self._of(client_id, "code", code)
        if grant.redeemed:
            grant.revoked = True
            raise OAuthError("invalid_grant", "The code was used before, so its tokens are revoked.")
        grant.redeemed = True
        if grant.revoked or self._clock() >= grant.created + CODE_LIFETIME:
            raise OAuthError("invalid_grant", "The code has expired.")
        may_be_absent = redirect_uri is None and not self._dialect.repeats_redirect_uri
        if redirect_uri != grant.redirect_uri and not may_be_absent:
            raise OAuthError("invalid_grant", "The redirect_uri is not the one the code was sent to.")
        _check_verifier(grant.challenge, verifier)
        return self._issue(grant, grant.scope, expires_in=int(self.access_lifetime))

    def refresh(self, token: str, client_id: str, scope: str | None) -> dict[str, Any]:
        """The token answer for a refresh token (RFC 6749 6). Raises OAuthError."""
        grant = self._of(client_id, "refresh", token)
        if token in grant.ended:
            raise OAuthError("invalid_grant", "The refresh token was revoked.")
        if grant.refresh != token:
            grant.revoked = True
            raise OAuthError("invalid_grant", "The refresh token was used before, so the grant is revoked.")
        if grant.revoked or self._clock() >= grant.created + self._refresh_lifetime:
            raise OAuthError("invalid_grant", "The grant was revoked or has expired.")
        if scope is None and self._dialect.repeats_scope:
            raise OAuthError("invalid_request", "A refresh names its scope.")
        asked = grant.scope if scope is None else tuple(scope.split())
        if not set(asked) <= set(grant.scope):
            raise OAuthError("invalid_scope", "A refresh cannot ask for more than was granted.")
        # The second between issuing and answering is what makes Frame.io say 3599 now and then.
        return self._issue(grant, asked, expires_in=int(self.access_lifetime) - 1)

    def revoke(self, token: str, client_id: str) -> None:
        """End an access or refresh token, in v2 with its grant; an unknown token is none (RFC 7009 2.2)."""
        grant = self._held.get(("access", token)) or self._held.get(("refresh", token))
        if grant is not None and grant.client_id == client_id:
            grant.ended.add(token)
            grant.revoked = grant.revoked or self._dialect.revokes_grant

    def revoke_person(self, person_id: str) -> None:
        """End every grant that person gave."""
        for grant in self._grants:
            if grant.person_id == person_id:
                grant.revoked = True

    def expire_access_tokens(self) -> None:
        """Let every access token's life end now; refresh tokens live on."""
        for grant in self._grants:
            grant.access_expires = self._clock()

    def __iter__(self) -> Iterator[Grant]:
        return iter(self._grants)

    def holder(self, token: str) -> Grant | None:
        """The grant that any token or code, dead or alive, was issued under."""
        kinds = ("access", "refresh", "code")
        return next((grant for kind in kinds if (grant := self._held.get((kind, token)))), None)

    def issued(self, kind: str) -> list[str]:
        """Every code, access or refresh token that is remembered, by when its grant began."""
        return [token for grant in self._grants for of, token in grant.issued if of == kind]

    def live(self, token: str) -> Grant | None:
        """The grant a live access token stands for, or None."""
        grant = self._held.get(("access", token))
        if grant is None or grant.revoked or grant.access != token or token in grant.ended:
            return None
        return grant if self._clock() < grant.access_expires else None

    def developer_token(self, person_id: str) -> str:
        """A token for the person's own scripts: every scope, no expiry, no app."""
        scope = tuple(self._dialect.scopes)
        grant = self._open(Grant("", person_id, scope, "", None, self._clock(), redeemed=True))
        grant.access = self._keep(grant, "access", f"fio-u-{secrets.token_urlsafe(48)}")
        grant.access_scope, grant.access_expires = scope, math.inf
        return grant.access

    def _of(self, client_id: str, kind: Literal["code", "refresh"], token: str) -> Grant:
        grant = self._held.get((kind, token))
        if grant is None or grant.client_id != client_id:
            raise OAuthError("invalid_grant", f"No such {kind} was issued to this app.")
        return grant

    def _issue(self, grant: Grant, scope: tuple[str, ...], expires_in: int) -> dict[str, Any]:
        grant.access = self._keep(grant, "access", self._dialect.mint(self.token_size))
        grant.access_scope = scope
        grant.access_expires = self._clock() + self.access_lifetime
        answer = {
            "access_token": grant.access,
            "expires_in": expires_in,
            "scope": " ".join(scope),
            "token_type": "bearer",
        }
        if grant.refresh is None or self.rotate:
            grant.refresh = None
            if self._dialect.offline in scope and grant.lasts:
                grant.refresh = self._keep(grant, "refresh", self._dialect.mint(self.token_size))
                answer["refresh_token"] = grant.refresh
        if "openid" in scope:
            answer["id_token"] = self._dialect.mint(1000)
        return answer

    def _open(self, grant: Grant) -> Grant:
        self._grants.append(grant)
        if len(self._grants) > MOST_GRANTS:
            for key in self._grants.popleft().issued:
                del self._held[key]
        return grant

    def _keep(self, grant: Grant, kind: str, token: str) -> str:
        self._held[kind, token] = grant
        grant.issued.append((kind, token))
        return token


def _check_verifier(challenge: str | None, verifier: str | None) -> None:
    """S256 only (RFC 7636 4.6); a verifier without a challenge is a downgrade (RFC 9700 4.8)."""
    if challenge is None and verifier is None:
        return
    if challenge is None or verifier is None:
        raise OAuthError("invalid_grant", "Either the code_challenge or the code_verifier is missing.")
    if not VERIFIER.fullmatch(verifier):
        raise OAuthError("invalid_grant", "A code_verifier has 43 to 128 unreserved characters.")
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    if not hmac.compare_digest(digest, challenge):
        raise OAuthError("invalid_grant", "The code_verifier does not match the code_challenge.")
