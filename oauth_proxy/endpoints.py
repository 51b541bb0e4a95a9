"""The proxy's own routes under /oauth2/: sign in, callback, sign out, auth request, user info, keys and script."""

import logging
from collections.abc import Awaitable, Callable, Mapping

from oauth_proxy.access import Access
from oauth_proxy.cookies import Cookies, RequestCookies
from oauth_proxy.errors import NotAllowed, SignInRequired, SomebodyElse
from oauth_proxy.failures import Failures
from oauth_proxy.headers import TrustedProxies, is_known_from
from oauth_proxy.identity import Session
from oauth_proxy.logins import Logins
from oauth_proxy.oauth import single
from oauth_proxy.outcomes import STRANGER, Outcome, Refused, Visit
from oauth_proxy.own_routes import (
    AUTH,
    CALLBACK,
    FRAMED,
    KEYS,
    SCRIPT,
    SEND_AGAIN,
    SIGN_IN,
    SIGN_OUT,
    SIGNED_IN,
    START,
    USERINFO,
    Query,
    read_query,
    require_route,
)
from oauth_proxy.paths import Site, Target
from oauth_proxy.requests import Request
from oauth_proxy.responses import Responses
from oauth_proxy.return_addresses import ReturnAddresses
from oauth_proxy.session import Sessions
from oauth_proxy.telemetry import Audit, Metrics
from oauth_proxy.typed import TypedForms
from oauth_proxy.visitors import Visitors
from oauth_proxy.who import identity_headers, userinfo

log = logging.getLogger(__name__)

Endpoint = Callable[[Request, Query, RequestCookies], Awaitable[Outcome]]


class Endpoints:
    """Handles requests of browsers, and auth requests of front proxies, to our routes."""

    def __init__(
        self,
        site: Site,
        access: Access,
        cookies: Cookies,
        visitors: Visitors,
        sessions: Sessions,
        logins: Logins,
        responses: Responses,
        failures: Failures,
        return_addresses: ReturnAddresses,
        typed: TypedForms,
        askers: TrustedProxies,
        metrics: Metrics,
        audit: Audit,
        *,
        logout: Callable[[str], str] | None,
        date: Callable[[float], float],
        keys: Mapping[str, object],
        note_use: Callable[[Session], None],
    ) -> None:
        self._site, self._access = site, access
        self._cookies, self._sessions, self._visitors = cookies, sessions, visitors
        self._responses, self._failures, self._typed, self._askers = responses, failures, typed, askers
        self._return_addresses = return_addresses
        self._logout, self._note_use, self._date, self._keys = logout, note_use, date, keys
        self._metrics, self._audit = metrics, audit
        self._routes: dict[str, Endpoint] = {
            START: logins.start,
            CALLBACK: logins.callback,
            FRAMED: logins.framed,
            SIGN_IN: self.sign_in,
            SIGNED_IN: self.signed_in,
            SIGN_OUT: self.sign_out,
            SEND_AGAIN: self.send_again,
            AUTH: self.auth,
            USERINFO: self.userinfo,
            KEYS: self.keys,
            SCRIPT: self.script,
        }

    async def handle(self, request: Request, target: Target) -> Outcome:
        """Call the route at `target.path`. Raises NotFound, MethodNotAllowed, and what routes raise."""
        require_route(request.method, target)
        route = self._routes[target.path]
        return await route(request, read_query(target.query), self._cookies.read(request.fields))

    async def sign_in(self, request: Request, query: Query, received: RequestCookies) -> Outcome:
        """The page that offers to sign in."""
        return_to = self._return_addresses.of(request, query)
        start_url, leads_to = self._responses.start_url(return_to), self._site.shown(return_to)
        page = self._responses.pages_for(request).sign_in(start_url=start_url, leads_to=leads_to)
        return Outcome(self._responses.page(request, page))

    async def signed_in(self, request: Request, query: Query, received: RequestCookies) -> Outcome:
        """Where a login in a window beside another one leads: says who is signed in, and closes the window."""
        visit, session = await self._let_in(request, received, return_to=self._site.url(SIGNED_IN))
        page = self._responses.pages_for(request).signed_in(
            email=session.identity.email, name=session.identity.name
        )
        return Outcome(self._responses.page(request, page, visit.set_cookies))

    async def sign_out(self, request: Request, query: Query, received: RequestCookies) -> Outcome:
        """End the session; redirect to `rd` if that is a safe address, else show the signed-out page.

        If another site may have sent the request, ask the visitor first.
        """
        origin = self._site.origin_at(request.fields.host)
        if not is_known_from(origin, request.fields):
            return Outcome(self._failures.confirm_sign_out(request))
        request.session, set_cookies = await self._sessions.end(received)
        self._metrics.sign_outs.add()
        self._audit.note("sign_out", "visitor", request=request, session=request.session)
        url = self._return_addresses.wanted(request, query)
        if self._logout is not None:
            url = self._logout(url or self._site.url(SIGN_IN))
        if url is not None:
            return Outcome(self._responses.redirect(request, url, set_cookies))
        start_url = self._responses.start_url(self._site.url("/"))
        page = self._responses.pages_for(request).signed_out(start_url=start_url)
        return Outcome(self._responses.page(request, page, set_cookies))

    async def send_again(self, request: Request, query: Query, received: RequestCookies) -> Outcome:
        """A form that we gave back goes on to its own address, if its owner is signed in."""
        self._typed.require_own(request)
        again = self._typed.again(query)
        visit = STRANGER
        if again.who is not None:
            visit, session = await self._signed_in(request, received)
            if session.identity.id != again.who:
                raise Refused(SomebodyElse("a form that another person has filled in, or nobody known"), visit)
        await self._typed.read_past(request)
        return Outcome(self._responses.repeat(request, again.url, visit.set_cookies))

    async def auth(self, request: Request, query: Query, received: RequestCookies) -> Outcome:
        """202, 401 or 403 for a front proxy's auth request, with the user in headers.

        Only a peer in `auth_request_from` gets the access token: any other may be a page's script.
        """
        visit, session = await self._let_in(request, received)
        self._note_use(session)
        headers = identity_headers(session.identity)
        if self._askers.trusts(request.remote or ""):
            token = session.tokens.access
            headers |= {"X-Auth-Request-Access-Token": token, "Authorization": f"Bearer {token}"}
        return Outcome(self._responses.empty(request, 202, headers, visit.set_cookies))

    async def userinfo(self, request: Request, query: Query, received: RequestCookies) -> Outcome:
        """Who is signed in, and until when; never a token. With `passive`, asking is no use of the session."""
        visit, session = await self._signed_in(request, received, passive="passive" in query)
        content = userinfo(session, await self._sessions.ends(session), self._date)
        return Outcome(self._responses.json(request, 200, content, visit.set_cookies))

    async def script(self, request: Request, query: Query, received: RequestCookies) -> Outcome:
        """The script for pages of the tool; the same for everybody."""
        return Outcome(self._responses.script(request, single(query, "v")))

    async def keys(self, request: Request, query: Query, received: RequestCookies) -> Outcome:
        """The public keys that verify assertions, as a JWK Set (RFC 7517 5); the same for everybody."""
        return Outcome(self._responses.keys(request, self._keys))

    async def _signed_in(
        self, request: Request, received: RequestCookies, return_to: str | None = None, *, passive: bool = False
    ) -> tuple[Visit, Session]:
        visit = await (self._visitors.look if passive else self._visitors.identify)(request, received)
        if visit.session is None:
            raise Refused(SignInRequired(self._visitors.why_stranger(received)), visit, return_to)
        request.session = visit.session
        return visit, visit.session

    async def _let_in(
        self, request: Request, received: RequestCookies, return_to: str | None = None
    ) -> tuple[Visit, Session]:
        visit, session = await self._signed_in(request, received, return_to)
        if (refusal := self._access.refusal(session.identity)) is not None:
            raise Refused(NotAllowed(refusal.cause), self._visitors.refuse(visit, received), return_to)
        return visit, session
