"""Handles each request for the tool: identifies the user, checks their access, and forwards the request."""

from oauth_proxy.cookies import Cookies, RequestCookies
from oauth_proxy.door import Door
from oauth_proxy.errors import ForeignForm, NotAllowed, ProxyError, SignInRequired
from oauth_proxy.headers import is_navigation
from oauth_proxy.outcomes import STRANGER, Outcome, Refused, Visit
from oauth_proxy.paths import Target
from oauth_proxy.requests import Request
from oauth_proxy.responses import Responses
from oauth_proxy.session import OpenExchanges
from oauth_proxy.typed import TypedForms
from oauth_proxy.upstream.routes import Upstreams
from oauth_proxy.upstream.whole import WholeBodies
from oauth_proxy.visitors import Visitors
from oauth_proxy.webhooks import SignedCall
from oauth_proxy.windows import is_refetched


class Gateway:
    """Decides which requests reach the tool."""

    def __init__(
        self,
        door: Door,
        cookies: Cookies,
        visitors: Visitors,
        open_exchanges: OpenExchanges,
        upstreams: Upstreams,
        responses: Responses,
        typed: TypedForms,
    ) -> None:
        self._door = door
        self._site = door.site
        self._access = door.access
        self._cookies = cookies
        self._visitors = visitors
        self._open_exchanges = open_exchanges
        self._upstreams = upstreams
        self._responses = responses
        self._typed = typed
        self.bodies = WholeBodies()
        """The bodies of webhooks that are held now."""

    async def handle(self, request: Request, target: Target) -> Outcome:
        """Return the tool's response, or our own if the user has no access.

        Raises Refused, and whatever webhook verification, session lookup and forwarding for a stranger raise.
        """
        received = self._cookies.read(request.fields)
        need = self._door.need(request.method, target, request.fields)
        if isinstance(need, SignedCall):  # a webhook of Frame.io
            async with self.bodies.of(request) as body:
                need.verify(body)
                return await self._ask(request, target, STRANGER, received, body)
        if need == "nothing":
            return await self._ask(request, target, STRANGER, received)
        visit = self._visitors.cached(request, received)
        if visit is None:
            visit = await self._visitors.identify(request, received)
        elif received.line or not request.fields.is_remembered:
            request.fields.remember()  # a signed-in browser repeats its lines; a stranger's are never cached
            self._cookies.remember(received)
        session = visit.session
        if session is None:
            return self._stranger(request, target, visit, received)
        request.session = session
        places = self._access.places(target)
        refusal = self._access.refusal(session.identity, places)
        if refusal is not None:
            if refusal.everywhere:  # elsewhere the session is good
                visit = self._visitors.refuse(visit, received)
            raise Refused(NotAllowed(refusal.cause), visit, self._site.back_to(target))
        # Every request, not only a stream, must end when its session ends.
        task = self._open_exchanges.enter(
            session, target, stream=request.fields.for_stream, task=request.protocol.task
        )
        try:
            return await self._ask(request, target, visit, received)
        except ProxyError as error:
            raise Refused(error, visit) from error
        finally:
            self._open_exchanges.leave(task)

    async def _ask(
        self, request: Request, target: Target, visit: Visit, received: RequestCookies, body: bytes | None = None
    ) -> Outcome:
        """The tool's response to a request that may reach it.

        `body` is the whole body if it was read before. Who opens a tool's prefix without its slash is redirected:
        here, so that no stranger learns what there is.
        """
        to = self._upstreams.slashless(target)
        if to is not None and _opens_page(request):
            return self._with_slash(request, to, visit)
        if body is None and request.method == "POST":
            body = await self._typed.hold(request)
        ask, outgoing = self._upstreams.prepare(request, target, visit, received.others, body)
        request.upstream = outgoing.upstream
        answer = await ask(request, outgoing)
        return Outcome(answer, "tool", answer.cause)

    def _with_slash(self, request: Request, to: str, visit: Visit) -> Outcome:
        response = self._responses.redirect(request, to, visit.set_cookies, status=308)
        return Outcome(response, cause="the prefix of a tool, without its slash")

    def _stranger(self, request: Request, target: Target, visit: Visit, received: RequestCookies) -> Outcome:
        """Lead a person to the login, and from there back here; tell a program where the login is.

        A form's POST is not redirected, because what was typed would be lost: it gets a page.
        """
        to = self._upstreams.slashless(target)
        if to is not None and _opens_page(request) and self._door.is_open(to):
            return self._with_slash(request, to, visit)
        cause = self._visitors.why_stranger(received)
        if self._typed.is_foreign(request) and self._visitors.brought_nothing(received):
            raise Refused(ForeignForm(cause), visit, self._site.back_to(target))
        if request.method != "GET" or not is_navigation(request.method, request.fields):
            back = self._site.back_to(target) if is_refetched(request.method, request.fields) else None
            raise Refused(SignInRequired(cause), visit, back)
        answer = self._responses.to_login(request, self._site.back_to(target), visit.set_cookies)
        return Outcome(answer, cause=cause)


def _opens_page(request: Request) -> bool:
    """Whether a person opens this address as a page, and sends nothing."""
    return request.method in ("GET", "HEAD") and is_navigation("GET", request.fields)
