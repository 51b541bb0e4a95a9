"""Which app sent a form to the token or revocation endpoint (RFC 6749 2.3), as strictly as its dialect asks."""

import base64
import binascii
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_plus

from aiohttp import web

from oauth_proxy.demo.dialects import Dialect
from oauth_proxy.demo.grants import OAuthError
from oauth_proxy.demo.people import App, Directory


async def read_form(request: web.Request, *, query: bool = False) -> dict[str, str]:
    """The fields of a urlencoded body (RFC 6749 3.2), and of the query where that counts, too.

    Raises OAuthError for another type or a repeated field.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "The body is application/x-www-form-urlencoded.")
    sent = [(await request.read()).decode("utf-8", "replace")] + ([request.query_string] if query else [])
    pairs = [pair for part in sent for pair in parse_qsl(part, keep_blank_values=True)]
    form = dict(pairs)
    if len(form) < len(pairs):
        raise OAuthError("invalid_request", "A parameter is repeated.")
    return form


def authenticate(directory: Directory, dialect: Dialect, authorization: list[str], form: Mapping[str, str]) -> App:
    """The app that sent the request. Raises OAuthError.

    A secret app shows its secret by HTTP Basic or, in a loose dialect, among the parameters, and never by both. A
    PKCE app has none: it names itself by client_id among the parameters and sends no Authorization header at all.
    """
    if len(authorization) > 1:
        raise _unknown("More than one Authorization header.")
    posted = form.get("client_secret")
    if posted is not None and (authorization or not dialect.loose):
        raise _unknown("Credentials belong in the Authorization header, not in the body.")
    named = directory.app(dialect.api, form.get("client_id"))
    if not authorization:
        return _pkce_app(named) if posted is None else _secret_app(named, posted)
    client_id, secret = _basic(authorization[0])
    if form.get("client_id", client_id) != client_id:
        raise _unknown("The body names another client_id than the Authorization header.")
    return _secret_app(directory.app(dialect.api, client_id), secret)


def _pkce_app(app: App | None) -> App:
    if app is None:
        raise _unknown("Without an Authorization header the body names a registered client_id.")
    if app.client_secret is not None:
        raise _unknown("This app has a secret and authenticates by HTTP Basic.")
    return app


def _secret_app(app: App | None, secret: str) -> App:
    if app is None:
        raise _unknown("No such app.")
    if app.client_secret is None:
        raise _unknown("A PKCE app sends no Authorization header.")
    if not hmac.compare_digest(app.client_secret.encode(), secret.encode()):
        raise _unknown("Wrong secret.")
    return app


def _basic(header: str) -> tuple[str, str]:
    """client_id and secret, each form-urlencoded before they were joined (RFC 6749 2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    try:
        pair = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _unknown("The Authorization header is not HTTP Basic.") from error
    client_id, colon, secret = pair.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise _unknown("The Authorization header is not HTTP Basic.")
    return unquote_plus(client_id), unquote_plus(secret)


def _unknown(hint: str) -> OAuthError:
    return OAuthError("invalid_client", hint, status=401)
