"""The two logins Frame.io speaks, as values: v2 (applications.frame.io) and v4 (Adobe IMS)."""

import base64
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from oauth_proxy.demo.people import Api

DAY = 86_400

V2_SCOPES = frozenset(
    ["offline", "account.read", "team.read", "team.create", "team.update", "auditlog.read"]
    + [
        f"{noun}.{verb}"
        for noun in ("project", "asset", "comment", "reviewlink", "presentation", "webhook", "action")
        for verb in ("create", "read", "update", "delete")
    ]
)
V4_SCOPES = frozenset(["openid", "email", "profile", "offline_access", "additional_info.roles"])


@dataclass(frozen=True)
class Dialect:
    """What one login asks and answers, where the two differ."""

    api: Api
    root: str  # the login's paths begin here
    authorize: str
    token: str
    revoke: str
    logout: str | None  # the page that ends the browser's own session there
    scopes: frozenset[str]
    offline: str  # the scope without which there is no refresh token
    refresh_lifetime: float  # seconds, from the login on
    max_state: int | None  # characters
    lands_on_default: bool  # an unregistered redirect_uri: the app's default one instead of an error
    repeats_redirect_uri: bool  # the token request must name the redirect_uri again
    repeats_scope: bool  # a refresh must name the scope again
    scope_in_callback: bool
    loose: bool  # credentials may stand in the body, and all parameters in the query (client_secret_post)
    lasts_without_secret: bool  # apps without a secret get refresh tokens, too
    revokes_grant: bool  # a revoked token takes its whole grant with it
    mint: Callable[[int], str]  # a token; the argument is its size in bytes where that can vary


def opaque(size: int) -> str:
    """An opaque token of Ory Hydra's shape, always 87 characters: a key, a dot, a signature."""
    del size
    return f"{secrets.token_urlsafe(32)}.{secrets.token_urlsafe(32)}"


def jwt(size: int) -> str:
    """A token shaped like Adobe's JWTs, exactly `size` bytes long (at least 512), signed by nobody."""
    header = _part({"alg": "RS256", "x5u": "ims_na1-key-at-1.cer", "kid": "ims_na1-key-at-1", "itt": "at"})
    # Random, so that no compression makes it small. A third of the size; the signature fills the rest.
    claims = _part({"id": secrets.token_urlsafe(size * 3 // 16), "as": "ims-na1"})
    signature = size - len(header) - len(claims) - 2
    if signature < 1:
        raise ValueError(f"a JWT of {size} bytes has no room for a signature; 512 is the least")
    return f"{header}.{claims}.{secrets.token_urlsafe(signature)[:signature]}"


def _part(claims: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()


V2 = Dialect(
    api="v2",
    root="/oauth2",
    authorize="/oauth2/auth",
    token="/oauth2/token",  # noqa: S106 - a path
    revoke="/oauth2/revoke",
    logout=None,
    scopes=V2_SCOPES,
    offline="offline",
    refresh_lifetime=30 * DAY,
    max_state=None,
    lands_on_default=False,
    repeats_redirect_uri=True,
    repeats_scope=True,
    scope_in_callback=True,
    loose=False,
    lasts_without_secret=True,
    revokes_grant=True,
    mint=opaque,
)
V4 = Dialect(
    api="v4",
    root="/ims",
    authorize="/ims/authorize/v2",
    token="/ims/token/v3",  # noqa: S106 - a path
    revoke="/ims/revoke",
    logout="/ims/logout/v1",
    scopes=V4_SCOPES,
    offline="offline_access",
    refresh_lifetime=14 * DAY,
    max_state=4096,
    lands_on_default=True,
    repeats_redirect_uri=False,
    repeats_scope=False,
    scope_in_callback=False,
    loose=True,
    lasts_without_secret=False,  # Adobe's Single Page App credential
    revokes_grant=False,
    mint=jwt,
)
