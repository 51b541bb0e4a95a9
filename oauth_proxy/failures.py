"""Responses to requests that fail: a page for people, which leads on, and JSON for programs.

The law: a failure shows only its text for visitors.
"""

import asyncio

from aiohttp import web

from oauth_proxy.errors import (
    BadRequest,
    FieldsTooLarge,
    ForeignForm,
    GrantEnded,
    LoginRefused,
    MethodNotAllowed,
    Misdirected,
    NotAllowed,
    ProxyError,
    SignInRequired,
    SignOutUnconfirmed,
    SomebodyElse,
)
from oauth_proxy.forms import Kept
from oauth_proxy.headers import is_navigation
from oauth_proxy.outcomes import Refused
from oauth_proxy.own_routes import SIGN_OUT, SIGNED_IN
from oauth_proxy.pages import Action, Label, Page
from oauth_proxy.pages.json_page import LEAVE
from oauth_proxy.paths import Site
from oauth_proxy.requests import Request
from oauth_proxy.responses import Responses
from oauth_proxy.windows import is_refetched

_MAY_WORK_LATER = (408, 429, 502, 503, 504)
_LONG = 64 * 1024
"""Bytes of a form in its page. Ten thousand fields, which a stranger may send, take 40 ms to be rendered."""


class Failures:
    """Makes the responses to failures of one site."""

    def __init__(self, responses: Responses, site: Site) -> None:
        self._responses = responses
        self._site = site
        self._preparing = asyncio.Lock()

    async def prepare(self, request: Request, refused: Refused, kept: Kept | None) -> None:
        """Render a page that takes long, one at a time and beside the loop, before `response` is asked for it."""
        if kept is not None and kept.form is not None and kept.form.longest_page > _LONG:
            async with self._preparing:
                request.page = await asyncio.to_thread(self._typed_page, request, refused, kept)

    def response(self, request: Request, refused: Refused, kept: Kept | None = None) -> web.Response:
        """The response for a failure: a page for people, with what is `kept` of their form; JSON for programs."""
        error, set_cookies = refused.error, refused.visit.set_cookies
        if not refused.visit.by_program and is_navigation(request.method, request.fields):
            response = self._responses.page(request, self._page_for(request, refused, kept), set_cookies)
        elif not refused.visit.by_program and is_refetched(request.method, request.fields):
            response = self._responses.page(request, self._for_worker(request, refused), set_cookies)
        else:
            content = self._failure_json(request, refused)
            response = self._responses.json(request, error.status, content, set_cookies)
        if isinstance(error, BadRequest):
            response.force_close()  # where the request ends may be unclear too
        if isinstance(error, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(error.allow)  # RFC 9110 15.5.6
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(error.retry_after)
        if error.challenge is not None:
            response.headers["WWW-Authenticate"] = error.challenge
        return _forgetting(error, response)

    def refusal(self, request: Request, refused: Refused) -> web.Response:
        """The page for bytes that were no request. It is always a page, because the client is unknown."""
        return _forgetting(refused.error, self._responses.page(request, self._failure_page(request, refused)))

    def confirm_sign_out(self, request: Request) -> web.Response:
        """The page that asks whether to sign out, as the request may be another site's; programs get an error."""
        if not is_navigation(request.method, request.fields):
            error = SignOutUnconfirmed("not known to be asked for by this site's visitor")
            return self.response(request, Refused(error))
        pages = self._responses.pages_for(request)
        page = pages.sign_out(action=SIGN_OUT, stay_url=self._page_asking(request))
        return self._responses.page(request, page)

    def _page_for(self, request: Request, refused: Refused, kept: Kept | None) -> Page:
        if kept is not None:
            return request.page or self._typed_page(request, refused, kept)
        if isinstance(refused.error, NotAllowed):
            return self._not_allowed_page(request, refused)
        return self._failure_page(request, refused)

    def _typed_page(self, request: Request, refused: Refused, kept: Kept) -> Page:
        """The page that gives back what was typed. Who may not send it can sign in beside it."""
        error, session = refused.error, refused.visit.session
        is_refused = isinstance(error, NotAllowed | SomebodyElse)
        signs_in = is_refused or isinstance(error, SignInRequired)
        login_url = self._responses.start_url(self._site.url(SIGNED_IN), switch=is_refused)
        return self._responses.pages_for(request).typed(
            status=error.status,
            title=error.title,
            sentence=error.sentence,
            email=session.identity.email if session and is_refused else None,
            name=session.identity.name if session and is_refused else None,
            login_url=login_url if signs_in else None,
            framed=self._responses.is_framed(request),
            kept=kept,
            request_id=request.request_id,
        )

    def _not_allowed_page(self, request: Request, refused: Refused) -> Page:
        """The page for somebody who is signed in. It shows the account and how to use another one."""
        session = refused.visit.session
        if session is None:
            return self._failure_page(request, refused)
        return self._responses.pages_for(request).not_allowed(
            email=session.identity.email,
            name=session.identity.name,
            switch_url=self._responses.start_url(refused.return_to or self._site.url("/"), switch=True),
            request_id=request.request_id,
        )

    def _for_worker(self, request: Request, refused: Refused) -> Page:
        """The page for a window, if it comes by a service worker, or JSON for a script."""
        error = refused.error
        is_visit = isinstance(error, SignInRequired) and request.method == "GET"
        return self._responses.pages_for(request).json_page(
            status=error.status,
            title=error.title,
            sentence=error.sentence,
            action=self._way_on(request, refused),
            content=self._failure_json(request, refused),
            script=LEAVE if is_visit else "",
        )

    def _failure_page(self, request: Request, refused: Refused) -> Page:
        error = refused.error
        return self._responses.pages_for(request).error(
            status=error.status,
            is_outcome=isinstance(error, LoginRefused),
            title=error.title,
            sentence=error.sentence,
            action=self._way_on(request, refused),
            request_id=request.request_id,
        )

    def _way_on(self, request: Request, refused: Refused) -> Action | None:
        """A link by which the visitor may get where they wanted to; None if there is no such place."""
        error, front = refused.error, self._site.url("/")
        login = self._responses.start_url(refused.return_to or front)
        match error:
            case Misdirected():
                return Action(Label.GO_TO, front, words={"host": self._site.host})
            case ForeignForm():
                return Action(Label.OPEN_SITE, refused.return_to or front)
            case SignInRequired():
                return Action(Label.SIGN_IN, login)
            case GrantEnded():
                return Action(Label.SIGN_IN_AGAIN, login)
            case LoginRefused():
                return Action(Label.TRY_AGAIN, login)
        if error.status in _MAY_WORK_LATER:
            # A login's code is spent, so the same address would not work again: another login does.
            if refused.return_to is not None:
                return Action(Label.TRY_AGAIN, login)
            if request.method == "GET":
                return Action(Label.TRY_AGAIN, request.raw_path, again=True)
        return Action(Label.GO_TO_START, front) if request.raw_path != "/" else None

    def _failure_json(self, request: Request, refused: Refused) -> dict[str, object]:
        error = refused.error
        content: dict[str, object] = {
            "error": error.name,
            "message": error.sentence,
            "request_id": request.request_id,
        }
        if isinstance(error, SignInRequired):
            # The Referer of a service worker is its script, and what it fetches need not be a page.
            is_refetch = is_refetched(request.method, request.fields)
            page = self._site.url("/") if is_refetch else refused.return_to or self._page_asking(request)
            content["login_url"] = self._responses.start_url(page)
        return content

    def _page_asking(self, request: Request) -> str:
        """The page whose script sent this request, because a person wants to return to it."""
        for referer in request.fields[b"referer"]:
            if page := self._site.safe_return(referer.decode("latin-1")):
                return page
        return self._site.url("/")


def _forgetting(error: ProxyError, response: web.Response) -> web.Response:
    """Add Clear-Site-Data to a 431: a browser with too many cookies could otherwise never get in again."""
    if error.status == FieldsTooLarge.status:
        response.headers["Clear-Site-Data"] = '"cookies"'
    return response
