"""A login from its start to its session, or to the page that says why there is none.

The law: a code is redeemed once, and only for the browser that began the login.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from oauth_proxy.cookies import RequestCookies
from oauth_proxy.errors import (
    AttemptUnknown,
    CookieNotReturned,
    LoginLoop,
    PageKept,
    ProxyError,
    SignInRequired,
)
from oauth_proxy.framing import Framing
from oauth_proxy.headers import is_navigation
from oauth_proxy.oauth import Attempt, redeemable_code, single
from oauth_proxy.outcomes import Outcome, Refused, Visit
from oauth_proxy.own_routes import FRAMED, Query
from oauth_proxy.paths import Site
from oauth_proxy.provider import LOGIN, Provider
from oauth_proxy.requests import Request
from oauth_proxy.responses import Responses
from oauth_proxy.return_addresses import ReturnAddresses
from oauth_proxy.session import MOST_SIGNED_IN, MOST_TRIES, Attempts, Destination, Landing, Redemptions, Sessions
from oauth_proxy.telemetry import Audit, Metrics, facts
from oauth_proxy.windows import is_refetched, shows_document

log = logging.getLogger(__name__)


class Logins:
    """The routes by which a login begins and ends (RFC 6749 4.1)."""

    def __init__(
        self,
        site: Site,
        sessions: Sessions,
        attempts: Attempts,
        redemptions: Redemptions,
        provider: Provider,
        responses: Responses,
        return_addresses: ReturnAddresses,
        metrics: Metrics,
        audit: Audit,
    ) -> None:
        self._site, self._sessions, self._attempts = site, sessions, attempts
        self._redemptions, self._provider = redemptions, provider
        self._responses, self._return_addresses = responses, return_addresses
        self._metrics, self._audit = metrics, audit
        self._framing = Framing(site, responses, attempts.handovers)

    async def start(self, request: Request, query: Query, received: RequestCookies) -> Outcome:
        """Redirect to Frame.io, with an attempt's cookie. Only navigations: scripts would collect cookies."""
        return_to = await self._return_addresses.posted(request, query)
        if not _is_for_window(request):
            error = SignInRequired("a login was asked for by something that is not a navigation")
            raise Refused(error, return_to=return_to)
        if "rd" not in query and request.fields[b"x-auth-request-redirect"] and shows_document(request.fields):
            # A front proxy shows this at the address of a page, whose fragment only a script has.
            return Outcome(self._responses.to_login(request, return_to, ()))
        if (led := self._framing.led(request, return_to)) is not None:
            return led
        to = Destination(return_to, framed=self._responses.is_framed(request))
        return await self._to_frameio(request, to, received, switch="switch" in query)

    async def callback(self, request: Request, query: Query, received: RequestCookies) -> Outcome:
        """The redirect from Frame.io (RFC 6749 4.1.2): begin a session and redirect, or show why that failed."""
        state = single(query, "state") or ""
        to = await self._attempts.destination(state)
        attempt = self._attempts.find(state, received)
        is_window = self._framing.is_window(request, to)
        if attempt is None:
            handed = self._framing.handed_over(request, query) if is_window else None
            return handed or await self._without_attempt(request, to, received)
        return_to = self._site.url(FRAMED) if is_window else to.return_to if to else self._site.url("/")
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

    async def framed(self, request: Request, query: Query, received: RequestCookies) -> Outcome:
        """The end of a login that a frame waits for: its window hands over what the frame then redeems."""
        if (end := self._framing.end(request)) is not None:
            return end
        return await self.callback(request, self._framing.callback(request, query), received)

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
        if to.restarted or self._responses.is_framed(request):
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
        if to.framed:
            return self._framing.beginning(request, url, to, set_cookies)
        return Outcome(self._responses.redirect(request, url, [*finished, *set_cookies]))


def _is_for_window(request: Request) -> bool:
    return is_navigation(request.method, request.fields) or is_refetched(request.method, request.fields)
