"""An OAuth server for public clients: Authlib's code, PKCE, refresh, revocation and bearer checks, over dicts.

Only what Authlib leaves to its users stands here: where codes and tokens are kept, and who the client is.
"""

# Authlib publishes no types.
# mypy: disable-error-code="import-untyped, misc"

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import flask
import werkzeug.serving
from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import (
    AuthorizationCodeGrant,
    ClientMixin,
    OAuth2Request,
    RefreshTokenGrant,
    TokenMixin,
)
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge

PERSON = {"sub": "editor", "email": "editor@studio.example.com", "name": "Editor"}
ACCESS_LIFETIME = 3600


@dataclass(frozen=True)
class PublicClient(ClientMixin):
    client_id: str
    redirect_uri: str

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return False

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "none"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token")


@dataclass(frozen=True)
class Code:
    """What was allowed; Authlib reads the last two by these names."""

    client_id: str
    redirect_uri: str
    scope: str
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


@dataclass(frozen=True)
class Token(TokenMixin):
    client_id: str
    scope: str
    expires_at: float

    def check_client(self, client: PublicClient) -> bool:
        return client.client_id == self.client_id

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return time.time() >= self.expires_at

    def is_revoked(self) -> bool:
        return False


class Server(AuthorizationServer):
    """`forms` are the bodies of token requests, in order; `refuses` says by which error a token is refused."""

    def __init__(self, app: flask.Flask, client: PublicClient) -> None:
        self.codes: dict[str, Code] = {}
        self.access: dict[str, Token] = {}
        self.refresh: dict[str, Token] = {}
        self.forms: list[dict[str, str]] = []
        self.refuses: dict[str, str] = {}
        super().__init__(app, {client.client_id: client}.get, self.keep)
        self.register_grant(Codes, [CodeChallenge(required=True)])
        self.register_grant(Refreshes)
        self.register_endpoint(Revocations)

    def keep(self, token: dict[str, Any], request: OAuth2Request) -> None:
        kept = Token(request.client.client_id, token["scope"], time.time() + token["expires_in"])
        self.access[token["access_token"]] = kept
        self.refresh[token["refresh_token"]] = kept


class Codes(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)
    server: Server

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        asked = request.payload.data
        self.server.codes[code] = Code(
            request.client.client_id,
            asked["redirect_uri"],
            asked["scope"],
            asked["code_challenge"],
            asked["code_challenge_method"],
        )

    def query_authorization_code(self, code: str, client: PublicClient) -> Code | None:
        found = self.server.codes.get(code)
        return found if found and found.client_id == client.client_id else None

    def delete_authorization_code(self, authorization_code: Code) -> None:
        self.server.codes = {
            code: kept for code, kept in self.server.codes.items() if kept is not authorization_code
        }

    def authenticate_user(self, authorization_code: Code) -> dict[str, str]:
        return PERSON


class Refreshes(RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)
    INCLUDE_NEW_REFRESH_TOKEN = True
    server: Server

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        if refresh_token in self.server.refuses:
            raise OAuth2Error(error=self.server.refuses[refresh_token])
        return self.server.refresh.get(refresh_token)

    def authenticate_user(self, refresh_token: Token) -> dict[str, str]:
        return PERSON

    def revoke_old_credential(self, refresh_token: Token) -> None:
        """Rotation: whatever was granted before is dead."""
        for tokens in (self.server.access, self.server.refresh):
            for name in [name for name, kept in tokens.items() if kept is refresh_token]:
                del tokens[name]


class Revocations(RevocationEndpoint):
    """Each token by itself: the other one of its grant lives on."""

    CLIENT_AUTH_METHODS = ("none",)
    server: Server

    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
        kept = self.server.refresh if token_type_hint == "refresh_token" else self.server.access
        return kept.get(token_string)

    def revoke_token(self, token: Token, request: OAuth2Request) -> None:
        for tokens in (self.server.access, self.server.refresh):
            tokens.pop(request.form["token"], None)


class Bearers(BearerTokenValidator):
    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server

    def authenticate_token(self, token_string: str) -> Token | None:
        return self.server.access.get(token_string)


def make(client: PublicClient) -> tuple[flask.Flask, Server]:
    app = flask.Flask(__name__)
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"authorization_code": ACCESS_LIFETIME}
    server = Server(app, client)
    bearers = ResourceProtector()
    bearers.register_token_validator(Bearers(server))

    @app.get("/authorize")
    def ask() -> str:
        server.get_consent_grant(end_user=PERSON)
        return '<!doctype html><title>Allow?</title><form method="post"><button>Allow</button></form>'

    @app.post("/authorize")
    def allow() -> flask.Response:
        grant = server.get_consent_grant(end_user=PERSON)
        answer: flask.Response = server.create_authorization_response(grant_user=PERSON, grant=grant)
        return answer

    @app.post("/token")
    def token() -> flask.Response:
        server.forms.append(flask.request.form.to_dict())
        answer: flask.Response = server.create_token_response()
        return answer

    @app.post("/revoke")
    def revoke() -> flask.Response:
        answer: flask.Response = server.create_endpoint_response("revocation")
        return answer

    @app.get("/userinfo")
    def userinfo() -> dict[str, str]:
        with bearers.acquire():
            return PERSON

    return app, server


@contextmanager
def serving(client: PublicClient) -> Iterator[tuple[str, Server]]:
    """The server on a thread of its own; its URL, and what it keeps."""
    app, server = make(client)
    listener = werkzeug.serving.make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=listener.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.server_port}", server
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()
