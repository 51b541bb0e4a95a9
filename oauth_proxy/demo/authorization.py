"""The authorization request (RFC 6749 4.1.1, RFC 7636 4.3): what makes one valid, and where its answer goes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from multidict import MultiMapping

from oauth_proxy.demo.dialects import Dialect
from oauth_proxy.demo.grants import OAuthError
from oauth_proxy.demo.people import App, Directory

LEAST_STATE = 8  # characters
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # a SHA-256 in base64url


class Refused(Exception):
    """The request earns no redirect: the visitor is told here, at the server (RFC 6749 4.1.2.1)."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclass(frozen=True)
class Ask:
    """A valid authorization request."""

    app: App
    redirect_uri: str
    state: str
    scope: tuple[str, ...] = ()
    challenge: str | None = None

    def answer(self, fields: Mapping[str, str | int]) -> str:
        """The redirect URI with these fields and the state added to its query."""
        joint = "&" if "?" in self.redirect_uri else "?"
        return self.redirect_uri + joint + urlencode(dict(fields) | {"state": self.state})


class SentBack(Exception):
    """The app gets an error at its redirect URI."""

    def __init__(self, ask: Ask, error: OAuthError) -> None:
        super().__init__(str(error))
        self.location = ask.answer(error.fields())


def read_ask(dialect: Dialect, directory: Directory, query: MultiMapping[str]) -> Ask:
    """The request a query makes. Raises Refused until the redirect URI is known to be the app's, then SentBack."""
    if len(set(query.keys())) < len(query):
        raise Refused("A parameter is repeated.", 400)
    app = directory.app(dialect.api, query.get("client_id"))
    if app is None:
        raise Refused("No app is registered under this client_id.", 401)
    state = query.get("state", "")
    if dialect.max_state is not None and len(state) > dialect.max_state:
        raise Refused(f"The state is longer than {dialect.max_state} characters.", 400)
    ask = Ask(app, _redirect_uri(dialect, app, query.get("redirect_uri")), state)
    try:
        return _granted_fields(dialect, ask, query)
    except OAuthError as error:
        raise SentBack(ask, error) from error


def _redirect_uri(dialect: Dialect, app: App, asked: str | None) -> str:
    """Compared character by character (RFC 9700 2.1); v4 quietly takes the app's default instead."""
    if asked is not None and asked in app.redirect_uris:
        return asked
    if dialect.lands_on_default:
        return app.default_redirect_uri
    raise Refused("This redirect_uri is not registered for the app.", 400)


def _granted_fields(dialect: Dialect, ask: Ask, query: MultiMapping[str]) -> Ask:
    if len(ask.state) < LEAST_STATE:
        raise OAuthError("invalid_state", f"A state has at least {LEAST_STATE} characters.")
    if query.get("response_type") != "code":
        raise OAuthError("unsupported_response_type", "Ask for response_type=code.")
    scope = tuple(query.get("scope", "").split())
    if not scope or not set(scope) <= dialect.scopes:
        raise OAuthError("invalid_scope", "Ask for at least one scope, and only for documented ones.")
    return replace(ask, scope=scope, challenge=_challenge(ask.app, query))


def _challenge(app: App, query: MultiMapping[str]) -> str | None:
    challenge, method = query.get("code_challenge"), query.get("code_challenge_method")
    if challenge is None and method is None:
        if app.client_secret is None:
            raise OAuthError("invalid_request", "A PKCE app sends a code_challenge.")
        return None
    # A missing method means plain (RFC 7636 4.3), and plain protects nothing.
    if method != "S256":
        raise OAuthError("invalid_request", "The code_challenge_method is S256.")
    if challenge is None or not CHALLENGE.fullmatch(challenge):
        raise OAuthError("invalid_request", "An S256 code_challenge has 43 characters of base64url.")
    return challenge
