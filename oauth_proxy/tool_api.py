"""What a tool asks for while it works for a visitor: a fresh token, on a listener that visitors do not reach.

The law: who has no good handle is told that, and nothing else.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

from aiohttp import web

from oauth_proxy import server
from oauth_proxy.errors import BadRequest, GrantEnded, ProxyError, SignInRequired
from oauth_proxy.identity import Session
from oauth_proxy.outcomes import Outcome
from oauth_proxy.settings import Listen

log = logging.getLogger(__name__)

HANDLE = "X-OAuth-Proxy-Handle"
CHALLENGE = "Handle"
"""What a 401 asks for (RFC 9110 11.6.1)."""
SOCKET_MODE = 0o660
"""Of a Unix socket: its group may ask, too. Its folder says which group that is, and who gets that far."""
_NOT_STORED = {"Cache-Control": "no-store", "Server": "oauth-proxy"}


class Handling(Protocol):
    """What is needed of the handles."""

    async def session(self, handle: str) -> Session:
        """The handle's session, with a token that is good now."""
        ...


class ToolApi:
    """`date` turns a moment of the house's clock into the date that others know it by."""

    def __init__(self, handles: Handling, date: Callable[[float], float]) -> None:
        self._handles = handles
        self._date = date

    async def handle(self, request: web.BaseRequest) -> Outcome:
        """GET /token with the handle in X-OAuth-Proxy-Handle: `{"access_token": …, "expires_at": …}` as JSON.

        401 for any other handle than a good one; 503 with Retry-After while nobody can tell.
        """
        if request.raw_path.partition("?")[0] != "/token":
            return _answer(404, {"error": "not_found", "message": "GET /token is here."})
        if request.method != "GET":
            return _answer(
                405, {"error": "method_not_allowed", "message": "GET /token is here."}, {"Allow": "GET"}
            )
        try:
            session = await self._session(request)
        except ProxyError as error:
            return self._refusal(error)
        except Exception:
            log.exception("a fault of ours")
            return _answer(500, {"error": "proxy_error", "message": ProxyError.sentence})
        expires_at = int(self._date(session.tokens.expires_at))
        return _answer(200, {"access_token": session.tokens.access, "expires_at": expires_at})

    async def _session(self, request: web.BaseRequest) -> Session:
        sent = request.headers.getall(HANDLE, [])
        if len(sent) != 1:
            raise SignInRequired("not exactly one handle")
        try:
            return await self._handles.session(sent[0])
        except GrantEnded as error:
            raise SignInRequired(error.cause) from None

    def refuse(self, request: web.BaseRequest, error: BadRequest) -> Outcome:
        """The outcome of bytes that could not be read as a request."""
        del request
        return self._refusal(error)

    def _refusal(self, error: ProxyError) -> Outcome:
        log.warning("no token for a tool: %s", error.cause, extra={"failure": error.name, "status": error.status})
        headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else {}
        if error.status == 401:
            headers["WWW-Authenticate"] = CHALLENGE
        return _answer(error.status, {"error": error.name, "message": error.sentence}, headers)


async def serve(stack: AsyncExitStack, api: ToolApi, at: Listen) -> None:
    """Serve it there until `stack` closes. Raises ConfigurationError for a place that cannot be used."""
    tools = server.Server(api.handle, refusal=api.refuse, answered=lambda request, outcome, took: None)
    await server.listen(stack, tools, at, None, 0.1)
    if at.path:
        _share(Path(at.path))


def _share(socket: Path) -> None:
    socket.chmod(SOCKET_MODE)


def _answer(status: int, content: dict[str, object], headers: Mapping[str, str] = _NOT_STORED) -> Outcome:
    return Outcome(web.json_response(content, status=status, headers={**_NOT_STORED, **headers}))
