"""The token and revocation endpoints (RFC 6749 3.2, RFC 7009): forms in, JSON out."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from oauth_proxy.demo.clients import authenticate, read_form
from oauth_proxy.demo.dialects import Dialect
from oauth_proxy.demo.grants import Grants, OAuthError
from oauth_proxy.demo.people import Api, App, Directory

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}  # RFC 6749 5.1


@dataclass(frozen=True)
class TokenRequest:
    """What was on the wire at a token endpoint. Its secrets stay out of its repr."""

    api: Api
    headers: Mapping[str, str] = field(repr=False)  # names in any case
    form: Mapping[str, str] = field(repr=False)


class Tokens:
    """The endpoints an app calls without its visitor. The handlers raise OAuthError."""

    def __init__(
        self, dialect: Dialect, directory: Directory, grants: Grants, record: deque[TokenRequest]
    ) -> None:
        self._dialect = dialect
        self._directory = directory
        self._grants = grants
        self._record = record

    async def token(self, request: web.Request) -> web.StreamResponse:
        """POST: a code or a refresh token for an access token."""
        form = await read_form(request, query=self._dialect.loose)
        self._record.append(TokenRequest(self._dialect.api, request.headers, form))
        app = self._authenticate(request, form)
        return web.json_response(self._redeem(app, form), headers=NO_STORE)

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """POST: end a token, and in v2 its grant; an unknown token is already what was wanted."""
        form = await read_form(request, query=self._dialect.loose)
        app = self._authenticate(request, form)
        self._grants.revoke(_required(form, "token"), app.client_id)
        return web.Response(headers=NO_STORE)

    def _authenticate(self, request: web.Request, form: Mapping[str, str]) -> App:
        authorization = request.headers.getall("Authorization", [])
        return authenticate(self._directory, self._dialect, authorization, form)

    def _redeem(self, app: App, form: Mapping[str, str]) -> dict[str, Any]:
        match _required(form, "grant_type"):
            case "authorization_code":
                code = _required(form, "code")
                redirect_uri, verifier = form.get("redirect_uri"), form.get("code_verifier")
                return self._grants.redeem(code, app.client_id, redirect_uri, verifier)
            case "refresh_token":
                refresh_token = _required(form, "refresh_token")
                return self._grants.refresh(refresh_token, app.client_id, form.get("scope"))
            case _:
                raise OAuthError("unsupported_grant_type", "Use authorization_code or refresh_token.")


def _required(form: Mapping[str, str], name: str) -> str:
    value = form.get(name)
    if not value:
        raise OAuthError("invalid_request", f"The parameter {name} is missing.")
    return value
