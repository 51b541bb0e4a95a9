"""Every request for the tool: whose is it, may they, and off it goes."""

from aiohttp import web

from oauth_proxy.access import Access
from oauth_proxy.answers import Answers
from oauth_proxy.bearers import Bearers
from oauth_proxy.cookies import Cookies, Received
from oauth_proxy.errors import SignInRequired
from oauth_proxy.headers import is_navigation
from oauth_proxy.paths import Site, Target
from oauth_proxy.requests import Request
from oauth_proxy.session import Attempts, Live, Sessions, Visit
from oauth_proxy.upstream.routes import Upstreams
from oauth_proxy.upstream.whole import WholeBodies
from oauth_proxy.webhooks import Webhooks


class Gateway:
    """The guard at the door of the tool."""

    def __init__(
        self,
        site: Site,
        access: Access,
        cookies: Cookies,
        sessions: Sessions,
        bearers: Bearers,
        attempts: Attempts,
        webhooks: Webhooks,
        live: Live,
        upstreams: Upstreams,
        answers: Answers,
    ) -> None:
        self._site = site
        self._access = access
        self._cookies = cookies
        self._sessions = sessions
        self._bearers = bearers
        self._webhooks = webhooks
        self._attempts = attempts
        self._live = live
        self._upstreams = upstreams
        self._answers = answers
        self._bodies = WholeBodies()

    async def handle(self, request: Request, target: Target) -> web.StreamResponse:
        """The tool's answer, or ours to whoever may not have it.

        Raises SignInRequired for a stranger who cannot be sent through a login, and what verifying a call, finding
        a session and forwarding raise.
        """
        received = self._cookies.read(request.fields)
        call = self._webhooks.expect(request.method, target, request.fields)
        if call is not None:  # a call of Frame.io's own is verified before anything else is asked
            async with self._bodies.of(request) as body:
                call.verify(body)
                return await self._upstreams.forward(request, target, None, received.others)
        if self._access.is_public(request.method, target):
            return await self._upstreams.forward(request, target, None, received.others)
        visit = self._sessions.at_hand(received)
        if visit is None:
            visit = await self._visit(request, received)
        else:
            request.fields.remember()
        request.set_cookies = visit.set_cookies
        if visit.session is None:
            return self._stranger(request, target, received)
        if self._attempts.tries in received.seen:
            request.set_cookies = [*visit.set_cookies, *self._attempts.forget_tries(received)]
        request.user = visit.session.identity.id
        if not self._access.allows(visit.session.identity):
            request.set_cookies = [
                *self._sessions.refuse(visit.session, received),
                *self._attempts.forget_tries(received),
            ]
            request.return_to = self._site.back_to(target)
            return self._answers.not_allowed(request, visit.session.identity)
        self._live.enter(
            visit.session, stream=request.fields.for_stream
        )  # whatever it is, it ends with its session
        try:
            return await self._upstreams.forward(request, target, visit.session, received.others)
        finally:
            self._live.leave()

    async def _visit(self, request: Request, received: Received) -> Visit:
        """Whose request it is: a program's by its own token, a browser's by its cookie."""
        own = await self._bearers.session(request, received)
        return Visit(own) if own is not None else await self._sessions.resume(received)

    def _stranger(self, request: Request, target: Target, received: Received) -> web.StreamResponse:
        """A person goes to the login and comes back here; a program is told where the login is."""
        if not is_navigation(request.method, request.fields):
            raise SignInRequired("no session" if not received.ours else "no session that is still good")
        return self._answers.redirect(request, self._answers.start_url(self._site.back_to(target)))
