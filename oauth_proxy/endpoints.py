"""The proxy's own routes under /oauth2/: sign in, callback, sign out, auth request, user info and public keys."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from oauth_proxy.access import Access
from oauth_proxy.cookies import Cookies, RequestCookies
from oauth_proxy.errors import (
    AttemptUnknown,
    CookieNotReturned,
    LoginLoop,
    NotAllowed,
    PageKept,
    ProxyError,
    SignInRequired,
    SomebodyElse,
)
from oauth_proxy.headers import TrustedProxies, is_known_from, is_navigation
from oauth_proxy.identity import Session
from oauth_proxy.oauth import Attempt, redeemable_code, single
from oauth_proxy.outcomes import STRANGER, Outcome, Refused, Visit
from oauth_proxy.own_routes import SEND_AGAIN, require_route
from oauth_proxy.paths import Site, Target
from oauth_proxy.provider import LOGIN, Provider
from oauth_proxy.requests import Request
from oauth_proxy.response_headers import identity_headers
from oauth_proxy.responses import SIGN_OUT, SIGNED_IN, START, Responses
from oauth_proxy.return_addresses import Query, ReturnAddresses, read_query
from oauth_proxy.session import MOST_SIGNED_IN, MOST_TRIES, Attempts, Destination, Landing, Redemptions, Sessions
from oauth_proxy.telemetry import Audit, Metrics, facts
from oauth_proxy.typed import TypedForms
from oauth_proxy.visitors import Visitors
from oauth_proxy.windows import is_refetched, shows_document

log = logging.getLogger(__name__)

PREFIX = "/oauth2/"

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
        attempts: Attempts,
        redemptions: Redemptions,
        provider: Provider,
        responses: Responses,
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
        self._cookies, self._attempts, self._sessions, self._visitors = cookies, attempts, sessions, visitors
        self._redemptions, self._provider = redemptions, provider
        self._responses, self._typed, self._askers = responses, typed, askers
        self._return_addresses = return_addresses
        self._logout, self._note_use, self._date, self._keys = logout, note_use, date, keys
        self._metrics, self._audit = metrics, audit
        self._routes: dict[str, Endpoint] = {
            START: self.start,
            "/oauth2/callback": self.callback,
            "/oauth2/sign_in": self.sign_in,
            SIGNED_IN: self.signed_in,
            SIGN_OUT: self.sign_out,
            SEND_AGAIN: self.send_again,
            "/oauth2/auth": self.auth,
            "/oauth2/userinfo": self.userinfo,
            "/oauth2/keys": self.keys,
        }

    async def handle(self, request: Request, target: Target) -> Outcome:
        """Call the route at `target.path`. Raises NotFound, MethodNotAllowed, and what routes raise."""
        require_route(request.method, target)
        query = read_query(target.query.removeprefix("?"))
        return await self._routes[target.path](request, query, self._cookies.read(request.fields))

    async def start(self, request: Request, query: Query, received: RequestCookies) -> Outcome:
        """Redirect to Frame.io, with an attempt's cookie. Only navigations: scripts would collect cookies."""
        return_to = await self._return_addresses.posted(request, query)
        if not _is_for_window(request):
            error = SignInRequired("a login was asked for by something that is not a navigation")
            raise Refused(error, return_to=return_to)
        if "rd" not in query and request.fields[b"x-auth-request-redirect"] and shows_document(request.fields):
            # A front proxy shows this at the address of a page, whose fragment only a script has.
            return Outcome(self._responses.to_login(request, return_to, ()))
        to = Destination(return_to, restarted=False)
        return await self._to_frameio(request, to, received, switch="switch" in query)

    async def callback(self, request: Request, query: Query, received: RequestCookies) -> Outcome:
        """The redirect from Frame.io (RFC 6749 4.1.2): begin a session and redirect, or show why that failed."""
        state = single(query, "state") or ""
        to = await self._attempts.destination(state)
        attempt = self._attempts.find(state, received)
        if attempt is None:
            return await self._without_attempt(request, to, received)
        return_to = to.return_to if to else self._site.url("/")
        finished = self._attempts.finish(state, received)
        try:
            with self._failures_counted():
                code = redeemable_code(query)
            redeem = partial(self._redeem, request, code, attempt, return_to, received)
            landing = await self._redemptions.once(state, redeem)
        except AttemptUnknown:
            return await self._without_attempt(request, to, received, finished)
        except ProxyError as error:
            raise Refused(error, Visit(set_cookies=finished), return_to) from error
        return Outcome(self._responses.redirect(request, landing.url, [*finished, *landing.set_cookies]))

    async def _redeem(
        self, request: Request, code: str, attempt: Attempt, return_to: str, received: RequestCookies
    ) -> Landing:
        """Redeem the code of the first callback of a state. Repeated callbacks get the same redirect."""
        with self._failures_counted():
            tokens = await self._provider.exchange(code, attempt)
            try:
                identity = await self._provider.profile(tokens.access, owner=LOGIN, asker="login")
                counted = await self._count(received)
                visit = await self._sessions.begin(identity, tokens, received)
            except ProxyError:
                self._sessions.discard(tokens)
                raise
        self._metrics.logins.add("signed_in")
        request.session = visit.session
        log.info("signed in", extra=facts(request))
        self._audit.note("sign_in", "visitor", request=request, session=visit.session)
        return Landing(return_to, [*visit.set_cookies, *counted])

    @contextmanager
    def _failures_counted(self) -> Iterator[None]:
        try:
            yield
        except ProxyError as error:
            self._metrics.logins.add(error.name)
            raise

    async def _count(self, received: RequestCookies) -> list[str]:
        """Count logins in a row. Raises LoginLoop or PageKept after too many, without a session or with one."""
        tries, counted = self._attempts.count_try(received)
        if await self._sessions.came_back(received):
            if tries >= MOST_SIGNED_IN:
                raise PageKept("the login is asked for again and again by who is signed in")
        elif tries >= MOST_TRIES:
            raise LoginLoop(self._sessions.why_absent(received))
        return [counted]

    async def _without_attempt(
        self, request: Request, to: Destination | None, received: RequestCookies, finished: Sequence[str] = ()
    ) -> Outcome:
        """A callback without an attempt (repeated, bookmarked, forged or late). Its code is never redeemed.

        `finished` are Set-Cookie values for every response.
        """
        return_to = to.return_to if to else self._site.url("/")
        visit = await self._sessions.resume(received)
        if visit.session is not None:
            counted = await self._count(received)
            set_cookies = [*finished, *visit.set_cookies, *counted]
            return Outcome(self._responses.redirect(request, return_to, set_cookies))
        stranger = Visit(set_cookies=finished)
        if to is None or not _is_for_window(request):
            error = AttemptUnknown("no login attempt of this browser waits for the callback's state")
            self._metrics.logins.add(error.name)
            raise Refused(error, stranger, return_to)
        if to.restarted:
            lost = CookieNotReturned()
            self._metrics.logins.add(lost.name)
            raise Refused(lost, stranger, return_to)
        self._metrics.logins.add("begun_anew")
        log.info("a login is begun anew: its cookie did not come back", extra=facts(request))
        return await self._to_frameio(request, to._replace(restarted=True), received, finished)

    async def _to_frameio(
        self,
        request: Request,
        to: Destination,
        received: RequestCookies,
        finished: Sequence[str] = (),
        *,
        switch: bool = False,
    ) -> Outcome:
        self._metrics.logins_started.add()
        state, attempt, set_cookies = await self._attempts.start(to, received, request.client)
        url = self._provider.authorize_url(state, attempt, switch=switch)
        return Outcome(self._responses.redirect(request, url, [*finished, *set_cookies]))

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
        origin = self._site.origin_at(request.fields[b"host"][0].decode("latin-1"))
        if not is_known_from(origin, request.fields):
            return Outcome(self._responses.confirm_sign_out(request))
        request.session, set_cookies = await self._sessions.end(received)
        self._metrics.sign_outs.add()
        self._audit.note("sign_out", "visitor", request=request, session=request.session)
        url = self._return_addresses.wanted(request, query)
        if self._logout is not None:
            url = self._logout(url or self._site.url("/oauth2/sign_in"))
        if url is not None:
            return Outcome(self._responses.redirect(request, url, set_cookies))
        start_url = self._responses.start_url(self._site.url("/"))
        page = self._responses.pages_for(request).signed_out(start_url=start_url)
        return Outcome(self._responses.page(request, page, set_cookies))

    async def send_again(self, request: Request, query: Query, received: RequestCookies) -> Outcome:
        """A form that we gave back goes on to its own address, if its owner is signed in."""
        request.again = again = self._typed.opened(single(query, "form") or "")
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
        """Who is signed in, as JSON; never a token."""
        visit, session = await self._signed_in(request, received)
        who = session.identity
        content = {
            "id": who.id,
            "email": who.email,
            "name": who.name,
            "account_id": who.account_id,
            "expires_at": int(self._date(session.tokens.expires_at)),
        }
        return Outcome(self._responses.json(request, 200, content, visit.set_cookies))

    async def keys(self, request: Request, query: Query, received: RequestCookies) -> Outcome:
        """The public keys that verify assertions, as a JWK Set (RFC 7517 5); the same for everybody."""
        return Outcome(self._responses.keys(request, self._keys))

    async def _signed_in(
        self, request: Request, received: RequestCookies, return_to: str | None = None
    ) -> tuple[Visit, Session]:
        visit = await self._visitors.identify(request, received)
        if visit.session is None:
            raise Refused(SignInRequired(self._visitors.why_stranger(request, received)), visit, return_to)
        request.session = visit.session
        return visit, visit.session

    async def _let_in(
        self, request: Request, received: RequestCookies, return_to: str | None = None
    ) -> tuple[Visit, Session]:
        visit, session = await self._signed_in(request, received, return_to)
        if (refusal := self._access.refusal(session.identity)) is not None:
            raise Refused(NotAllowed(refusal.cause), self._visitors.refuse(visit, received), return_to)
        return visit, session


def _is_for_window(request: Request) -> bool:
    return is_navigation(request.method, request.fields) or is_refetched(request.method, request.fields)
