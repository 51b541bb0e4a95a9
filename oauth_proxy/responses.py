"""The proxy's own responses: a page for people, JSON for programs, a redirect for a login.

The law: all of them are marked as ours, and only the public keys may be cached. A failure shows only its text for
visitors.
"""

import json
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from aiohttp import web

from oauth_proxy.errors import (
    BadRequest,
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
from oauth_proxy.pages import Action, Label, Page, Pages
from oauth_proxy.pages.both import GO_ON, LEAVE
from oauth_proxy.paths import Site
from oauth_proxy.requests import Request
from oauth_proxy.response_headers import forgetting, is_for_a_person, may_be_misread_after
from oauth_proxy.windows import is_refetched, shows_document

START = "/oauth2/start"
SIGN_OUT = "/oauth2/sign_out"
_MAY_WORK_LATER = (408, 429, 502, 503, 504)
SIGNED_IN = "/oauth2/signed_in"
"""Where a login leads that was begun beside another page, in a popup or a new tab."""
_KEYS_LAST = 300
"""Seconds for which the public keys may be cached."""
MARK = "X-OAuth-Proxy"
"""On every response of ours, so that a page's script can tell our 401 from the tool's."""


LONGEST_RD = 6000
"""Longest `rd` of a URL, percent-encoded: many front proxies accept no request line of more than 8 kB."""


def start_url(site: Site, return_to: str) -> str:
    """The URL of this site that starts a login and leads back to `return_to`, or to a shorter form of it."""
    return f"{site.url(START)}?rd={_quoted(site.shortened(return_to, _fits_url))}"


def _quoted(return_to: str) -> str:
    return quote(return_to, safe="")


def _fits_url(return_to: str) -> bool:
    return len(_quoted(return_to)) <= LONGEST_RD


class Responses:
    """Makes the responses of one site."""

    def __init__(self, pages: Pages, site: Site) -> None:
        self._pages = pages
        self._site = site

    def start_url(self, return_to: str, *, switch: bool = False) -> str:
        """The URL that starts a login and leads back to `return_to`; `switch` lets people change the account."""
        return start_url(self._site, return_to) + ("&switch=1" if switch else "")

    def pages_for(self, request: Request) -> Pages:
        """The pages in the language that this request asks for."""
        return self._pages.for_reader(request.fields[b"accept-language"])

    def page(self, request: Request, page: Page, set_cookies: Iterable[str] = ()) -> web.Response:
        """A response with a page."""
        response = web.Response(status=page.status, body=page.body if request.method != "HEAD" else b"")
        for name, value in page.headers:
            response.headers[name] = value
        return self._ours(request, response, set_cookies)

    def redirect(
        self, request: Request, url: str, set_cookies: Iterable[str] = (), *, status: int = 302
    ) -> web.Response:
        """A redirect to an address that we checked or made. It is sent unchanged, not normalised.

        A service worker that fetches in its own name cannot hand a redirect on, and Workbox keeps it. So a worker
        gets a page that goes there in place of a 302: a 300, which browsers do not follow and workers do not keep.
        """
        if status == 302 and is_refetched(request.method, request.fields):
            page = self.pages_for(request).both(
                status=300,
                title=Label.SIGN_IN,
                sentence="",
                action=Action(Label.SIGN_IN, url),
                content={"location": url},
                script=GO_ON,
            )
            return self.page(request, page, set_cookies)
        response = web.Response(status=status, headers={"Location": url, "Referrer-Policy": "no-referrer"})
        return self._ours(request, response, set_cookies)

    def to_login(self, request: Request, return_to: str, set_cookies: Iterable[str]) -> web.Response:
        """What a stranger's navigation gets: 302 to the login or, where that would lose something, a page.

        No browser sends the fragment; a script of the page has it. And an address may be too long for another's
        query. The page's status is 401: a service worker that keeps what is 200 must not keep it.
        """
        url, whole = self.start_url(return_to), None if _fits_url(return_to) else return_to
        if whole is None and not shows_document(request.fields):
            return self.redirect(request, url, set_cookies)
        response = self.page(request, self.pages_for(request).leaving(start_url=url, whole=whole), set_cookies)
        response.headers["WWW-Authenticate"] = SignInRequired.challenge
        return response

    def repeat(self, request: Request, url: str, set_cookies: Iterable[str] = ()) -> web.Response:
        """307 (RFC 9110 15.4.8): the same request again, to another address of this origin.

        With `no-referrer` its Origin may be "null" (Fetch 3.2), which the tool could take for another site's.
        """
        response = web.Response(status=307, headers={"Location": url, "Referrer-Policy": "same-origin"})
        return self._ours(request, response, set_cookies)

    def json(
        self, request: Request, status: int, content: Mapping[str, object], set_cookies: Iterable[str] = ()
    ) -> web.Response:
        """A response for programs."""
        response = web.Response(status=status, text=json.dumps(content) + "\n", content_type="application/json")
        response.headers["X-Content-Type-Options"] = "nosniff"
        return self._ours(request, response, set_cookies)

    def keys(self, request: Request, keys: Mapping[str, object]) -> web.Response:
        """The public keys: static, and the only response of ours that anybody may cache."""
        response = self.json(request, 200, keys)
        response.content_type = "application/jwk-set+json"
        response.headers["Cache-Control"] = f"public, max-age={_KEYS_LAST}"
        return response

    def empty(
        self, request: Request, status: int, headers: Mapping[str, str], set_cookies: Iterable[str] = ()
    ) -> web.Response:
        """A response with a status and headers only."""
        return self._ours(request, web.Response(status=status, headers=headers), set_cookies)

    def failure(self, request: Request, refused: Refused) -> web.Response:
        """The response for a failure: a page for people, JSON for programs."""
        error, set_cookies = refused.error, refused.visit.set_cookies
        if is_for_a_person(request, refused.visit):
            response = self.page(request, self._page_for(request, refused), set_cookies)
        elif not refused.visit.by_program and is_refetched(request.method, request.fields):
            response = self.page(request, self._for_worker(request, refused), set_cookies)
        else:
            response = self.json(request, error.status, self._failure_json(request, refused), set_cookies)
        if isinstance(error, BadRequest):
            response.force_close()  # where the request ends may be unclear too
        if isinstance(error, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(error.allow)  # RFC 9110 15.5.6
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(error.retry_after)
        if error.challenge is not None:
            response.headers["WWW-Authenticate"] = error.challenge
        return forgetting(error, response)

    def refusal(self, request: Request, refused: Refused) -> web.Response:
        """The page for bytes that were no request. It is always a page, because the client is unknown."""
        return forgetting(refused.error, self.page(request, self._failure_page(request, refused)))

    def fault(self, request: Request) -> web.Response:
        """The response if even a page cannot be made."""
        return self._ours(
            request, web.Response(status=500, text=f"{ProxyError.title}. {ProxyError.sentence}\n"), ()
        )

    def confirm_sign_out(self, request: Request) -> web.Response:
        """The page that asks whether to sign out, as the request may be another site's; programs get an error."""
        if not is_navigation(request.method, request.fields):
            error = SignOutUnconfirmed("not known to be asked for by this site's visitor")
            return self.failure(request, Refused(error))
        return self.page(
            request, self.pages_for(request).sign_out(action=SIGN_OUT, stay_url=self._page_asking(request))
        )

    def _page_for(self, request: Request, refused: Refused) -> Page:
        if request.kept is not None:
            return self._typed_page(request, refused, request.kept)
        if isinstance(refused.error, NotAllowed):
            return self._not_allowed_page(request, refused)
        return self._failure_page(request, refused)

    def _typed_page(self, request: Request, refused: Refused, kept: Kept) -> Page:
        """The page that gives back what was typed. Who may not send it can sign in beside it."""
        error, session = refused.error, refused.visit.session
        is_refused = isinstance(error, NotAllowed | SomebodyElse)
        signs_in = is_refused or isinstance(error, SignInRequired)
        return self.pages_for(request).typed(
            status=error.status,
            title=error.title,
            sentence=error.sentence,
            email=session.identity.email if session and is_refused else None,
            name=session.identity.name if session and is_refused else None,
            login_url=self.start_url(self._site.url(SIGNED_IN), switch=is_refused) if signs_in else None,
            kept=kept,
            request_id=request.request_id,
        )

    def _not_allowed_page(self, request: Request, refused: Refused) -> Page:
        """The page for somebody who is signed in. It shows the account and how to use another one."""
        session = refused.visit.session
        if session is None:
            return self._failure_page(request, refused)
        return self.pages_for(request).not_allowed(
            email=session.identity.email,
            name=session.identity.name,
            switch_url=self.start_url(refused.return_to or self._site.url("/"), switch=True),
            request_id=request.request_id,
        )

    def _for_worker(self, request: Request, refused: Refused) -> Page:
        """The page for a window, if it comes by a service worker, or JSON for a script."""
        error = refused.error
        is_visit = isinstance(error, SignInRequired) and request.method == "GET"
        return self.pages_for(request).both(
            status=error.status,
            title=error.title,
            sentence=error.sentence,
            action=self._way_on(request, refused),
            content=self._failure_json(request, refused),
            script=LEAVE if is_visit else "",
        )

    def _failure_page(self, request: Request, refused: Refused) -> Page:
        error = refused.error
        return self.pages_for(request).error(
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
        login = self.start_url(refused.return_to or front)
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
            content["login_url"] = self.start_url(page)
        return content

    def _page_asking(self, request: Request) -> str:
        """The page whose script sent this request, because a person wants to return to it."""
        for referer in request.fields[b"referer"]:
            if page := self._site.safe_return(referer.decode("latin-1")):
                return page
        return self._site.url("/")

    def _ours(self, request: Request, response: web.Response, set_cookies: Iterable[str]) -> web.Response:
        response.headers[MARK] = "answer"
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Request-Id"] = request.request_id
        response.headers["Server"] = "oauth-proxy"
        for value in set_cookies:
            response.headers.add("Set-Cookie", value)
        if may_be_misread_after(request):
            response.force_close()
        return response
