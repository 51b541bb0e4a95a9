"""The API for tools: a tool gets a visitor's fresh token here, on a listener that visitors cannot reach.

The law: a client without a valid handle learns only that the handle is not valid.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Protocol

from aiohttp import web

from oauth_proxy import server
from oauth_proxy.errors import BadRequest, GrantEnded, ProxyError, SignInRequired
from oauth_proxy.identity import Session
from oauth_proxy.outcomes import Outcome
from oauth_proxy.sockets import Listener
from oauth_proxy.telemetry import SILENT, Audit

log = logging.getLogger(__name__)

HANDLE = "X-OAuth-Proxy-Handle"
CHALLENGE = "Handle"
"""The challenge of a 401 (RFC 9110 11.6.1)."""
_NOT_STORED = {"Cache-Control": "no-store", "Server": "oauth-proxy"}


class Handling(Protocol):
    """The calls of `Handles` that are needed here."""

    async def session(self, handle: str) -> Session:
        """The handle's session, with an access token that is valid now."""
        ...


class ToolApi:
    """Serves tokens to tools. `date` converts a moment of `Clock` to the system clock's time."""

    def __init__(self, handles: Handling, date: Callable[[float], float], audit: Audit = SILENT) -> None:
        self._audit = audit
        self._handles = handles
        self._date = date

    async def handle(self, request: web.BaseRequest) -> Outcome:
        """GET /token with the handle in X-OAuth-Proxy-Handle: `{"access_token": …, "expires_at": …}` as JSON.

        401 for an invalid handle; 503 with Retry-After while it cannot be checked.
        """
        if request.raw_path.partition("?")[0] != "/token":
            return _respond(404, {"error": "not_found", "message": "GET /token is here."})
        if request.method != "GET":
            return _respond(
                405, {"error": "method_not_allowed", "message": "GET /token is here."}, {"Allow": "GET"}
            )
        try:
            session = await self._session(request)
        except ProxyError as error:
            if error.status == 401:
                self._audit.note("refused_at_door", "tool", error.cause, client=request.remote)
            return self._refusal(error)
        except Exception:
            log.exception("a fault of ours")
            return _respond(500, {"error": "proxy_error", "message": ProxyError.sentence})
        self._audit.note("token_given", "tool", session=session, client=request.remote)
        expires_at = int(self._date(session.tokens.expires_at))
        return _respond(200, {"access_token": session.tokens.access, "expires_at": expires_at})

    async def _session(self, request: web.BaseRequest) -> Session:
        sent = request.headers.getall(HANDLE, [])
        if len(sent) != 1:
            raise SignInRequired("not exactly one handle")
        try:
            return await self._handles.session(sent[0])
        except GrantEnded as error:
            raise SignInRequired(error.cause) from None

    def refuse(self, request: web.BaseRequest, error: BadRequest) -> Outcome:
        """Respond to bytes that could not be parsed as a request."""
        del request
        return self._refusal(error)

    def _refusal(self, error: ProxyError) -> Outcome:
        log.warning("no token for a tool: %s", error.cause, extra={"failure": error.name, "status": error.status})
        headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else {}
        if error.status == 401:
            headers["WWW-Authenticate"] = CHALLENGE
        return _respond(error.status, {"error": error.name, "message": error.sentence}, headers)


async def service(stack: AsyncExitStack, api: ToolApi, listener: Listener) -> server.Service:
    """Prepare to serve the API at this listener until `stack` closes."""
    tools = server.Server(api.handle, refusal=api.refuse, answered=lambda request, outcome, took: None)
    return await server.service(stack, tools, listener)


def _respond(status: int, content: dict[str, object], headers: Mapping[str, str] = _NOT_STORED) -> Outcome:
    return Outcome(web.json_response(content, status=status, headers={**_NOT_STORED, **headers}))
