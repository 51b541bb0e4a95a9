"""The authorization code flow (RFC 6749 4.1) with PKCE (RFC 7636): builds requests and parses responses.

The law: nothing here trusts a response. Whatever differs from the RFC becomes a named failure, and no failure
contains a token, a code or a verifier.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from oauthlib.common import add_params_to_uri
from oauthlib.oauth2 import OAuth2Error, WebApplicationClient
from oauthlib.oauth2.rfc6749.parameters import parse_token_response, prepare_token_request

from oauth_proxy.errors import (
    CodeRefused,
    ConsentRefused,
    GrantEnded,
    LoginRefused,
    ProviderNonsense,
    ProviderRefusedUs,
    ProviderUnavailable,
)
from oauth_proxy.identity import Tokens
from oauth_proxy.quotes import quoted

ATTEMPT_LIFETIME = 15 * 60
"""Seconds that a visitor may take between the redirect to Frame.io and the callback."""

_CLOCK_SKEW = 60
_LONGEST_EXPIRES_IN = 366 * 24 * 3600
# RFC 6750 2.1 b64token and other characters found in tokens, but none that could break a header line.
_TOKEN = re.compile(r"[\x21-\x7e]{1,30000}")
_SCOPE = re.compile(r"[\x20-\x7e]{1,2000}")
_LONGEST_WORD = 200
"""Characters quoted of a callback's parameters, because anybody can send a callback."""
_LOGIN_HELPS = ("invalid_grant", "invalid_token", "access_denied")
"""Token endpoint errors that a new login fixes. Adobe's errors `ride_…` also ask for a new login."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A login in progress. The visitor's browser stores it, sealed, until the callback.

    Of the state only the SHA-256 digest is stored; `created` is in seconds since the epoch.
    """

    state_digest: str = field(repr=False)
    verifier: str = field(repr=False)
    created: float

    @classmethod
    def start(cls, state: str, now: float) -> "Attempt":
        """A new attempt for an unguessable state, with a verifier of 64 characters (RFC 7636 4.1)."""
        return cls(digest(state), WebApplicationClient("").create_code_verifier(64), now)

    def goes_with(self, state: str) -> bool:
        """Whether a callback with this state belongs to this attempt."""
        return hmac.compare_digest(digest(state), self.state_digest)

    def is_live(self, now: float) -> bool:
        """Whether the attempt has not expired."""
        return -_CLOCK_SKEW <= now - self.created <= ATTEMPT_LIFETIME

    def encode(self) -> bytes:
        """The attempt encoded as bytes."""
        return json.dumps([self.state_digest, self.verifier, int(self.created)]).encode()

    @classmethod
    def decode(cls, content: bytes) -> "Attempt":
        """Decode what `encode` wrote; only for content that we sealed."""
        return cls(*json.loads(content))


def digest(state: str) -> str:
    """SHA-256 of a state, base64url."""
    hashed = hashlib.sha256(state.encode("utf-8", "surrogateescape")).digest()
    return base64.urlsafe_b64encode(hashed).rstrip(b"=").decode("ascii")


@dataclass(frozen=True, slots=True)
class Client:
    """The proxy's registration at Frame.io; without a secret it is a public client (PKCE)."""

    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    client_secret: str | None = field(default=None, repr=False)


def authorization_url(
    endpoint: str, client: Client, state: str, attempt: Attempt, extra: Mapping[str, str]
) -> str:
    """The authorization request's URL (RFC 6749 4.1.1); the challenge is always S256 (RFC 7636 4.3)."""
    challenge = WebApplicationClient(client.client_id).create_code_challenge(attempt.verifier, "S256")
    parameters = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uri,
        "scope": " ".join(client.scopes),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **extra,
    }
    return str(add_params_to_uri(endpoint, list(parameters.items())))


def redeemable_code(query: Mapping[str, Sequence[str]]) -> str:
    """The authorization code of a callback whose state was checked (RFC 6749 4.1.2).

    `query` maps each parameter to all its values; unknown ones are ignored. Raises ConsentRefused when the
    visitor refused, and LoginRefused or ProviderUnavailable for the provider's other errors.
    """
    if "error" in query:
        _raise_for_callback(single(query, "error") or "", single(query, "error_description") or "")
    code = single(query, "code")
    if not code or not _TOKEN.fullmatch(code):
        raise LoginRefused("the callback has no usable code")
    return code


def single(query: Mapping[str, Sequence[str]], name: str) -> str | None:
    """The value of a parameter; None if it is missing or repeated (RFC 6749 3.1)."""
    found = query.get(name, ())
    return found[0] if len(found) == 1 else None


def _raise_for_callback(error: str, description: str) -> None:
    cause = f"callback error {quoted(error, longest=_LONGEST_WORD)}: {quoted(description, longest=_LONGEST_WORD)}"
    if error == "access_denied":
        raise ConsentRefused(cause)
    if error in ("server_error", "temporarily_unavailable"):
        raise ProviderUnavailable(cause)
    raise LoginRefused(cause)


def code_request(client: Client, code: str, verifier: str) -> str:
    """The form that redeems a code (RFC 6749 4.1.3); a public client adds its client_id."""
    return str(
        prepare_token_request(
            "authorization_code",
            code=code,
            redirect_uri=client.redirect_uri,
            code_verifier=verifier,
            client_id=client.client_id,
            include_client_id=client.client_secret is None,
        )
    )


def refresh_request(client: Client, refresh_token: str, scope: str = "") -> str:
    """The form that refreshes tokens (RFC 6749 6). It has a scope parameter only if `scope` is given."""
    return str(
        prepare_token_request(
            "refresh_token",
            refresh_token=refresh_token,
            scope=scope.split(),
            client_id=client.client_id,
            include_client_id=client.client_secret is None,
        )
    )


def granted_tokens(
    status: int,
    body: bytes,
    *,
    now: float,
    lifetime: int = 3600,
    previous: Tokens | None = None,
    sent: Iterable[str] = (),
) -> Tokens:
    """The tokens of a token response (RFC 6749 5.1) whose status is neither 429 nor 5xx.

    `lifetime` in seconds is used if the response has no expires_in. `previous` are the tokens being refreshed:
    their refresh token and scope stay if the response has none. `sent` are the secrets of the request, which no
    failure repeats even if the response does.
    Raises CodeRefused or, when refreshing, GrantEnded if only a new login helps; ProviderRefusedUs if our own
    credentials are refused; ProviderNonsense for everything else.
    """
    response = _json_object(status, body, sent)
    try:
        token = parse_token_response(body, scope=None)
    except OAuth2Error as error:
        cause = f"the token endpoint answered {status}: {_explained(response, [*sent, *_granted(response)])}"
        raise _refusal(error.error, cause, refreshing=previous is not None) from None
    except (ValueError, OverflowError, TypeError, AttributeError, RecursionError):
        raise ProviderNonsense("the token endpoint's answer is not a token answer") from None
    access, refresh = _usable(response.get("access_token")), _usable(response.get("refresh_token"))
    if status != 200 or access is None or (refresh is None and response.get("refresh_token") is not None):
        raise ProviderNonsense(f"the token endpoint answered {status} without usable tokens")
    if str(response.get("token_type", "bearer")).lower() != "bearer":
        raise ProviderNonsense("the token endpoint granted a token that is not a bearer token")
    # oauthlib drops a zero, but an expires_in of 0 differs from a missing one.
    expires_in = lifetime if response.get("expires_in") is None else token.get("expires_in", 0)
    if not 0 < expires_in <= _LONGEST_EXPIRES_IN:
        raise ProviderNonsense("the token endpoint's expires_in is out of bounds")
    kept, granted = (previous.refresh, previous.scope) if previous else (None, "")
    return Tokens(access, now, now + expires_in, refresh or kept, _scope(response.get("scope")) or granted)


def _json_object(status: int, body: bytes, sent: Iterable[str]) -> dict[str, object]:
    try:
        response = json.loads(body)
    except (ValueError, RecursionError):
        response = None
    if not isinstance(response, dict):
        # A success that cannot be parsed may hold tokens, which could not be found and removed.
        shown = "" if status < 300 else f": {quoted(body.decode('utf-8', 'replace'), sent)}"
        raise ProviderNonsense(f"the token endpoint answered {status} without a JSON object{shown}")
    return response


def _explained(response: Mapping[str, object], secrets: Sequence[str]) -> str:
    """The server's explanation of an error; error_hint is from Ory Hydra."""
    told = (response.get("error"), response.get("error_description", ""), response.get("error_hint"))
    return " ".join(quoted(text, secrets) for text in told if text is not None)


def _granted(response: Mapping[str, object]) -> list[str]:
    return [
        text for name in ("access_token", "refresh_token", "id_token") if (text := _usable(response.get(name)))
    ]


def _usable(token: object) -> str | None:
    return token if isinstance(token, str) and _TOKEN.fullmatch(token) else None


def _scope(scope: object) -> str:
    return scope if isinstance(scope, str) and _SCOPE.fullmatch(scope) else ""


def _refusal(error: object, cause: str, *, refreshing: bool) -> ProviderNonsense | LoginRefused:
    if error in _LOGIN_HELPS or str(error).startswith("ride_"):
        return GrantEnded(cause) if refreshing else CodeRefused(cause)
    if error in ("invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"):
        return ProviderRefusedUs(cause)
    return ProviderNonsense(cause)
