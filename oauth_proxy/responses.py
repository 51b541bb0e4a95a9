"""The proxy's own responses: a page for people, JSON for programs, a redirect for a login.

The law: all of them are marked as ours, and only the public keys and the script for tools' pages may be cached. A
failure shows only its text for visitors.
"""

import json
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from aiohttp import web

from oauth_proxy.errors import ProxyError, SignInRequired
from oauth_proxy.headers import is_framed
from oauth_proxy.own_routes import START
from oauth_proxy.pages import Action, Label, Page, Pages, session_script
from oauth_proxy.pages.json_page import GO_ON
from oauth_proxy.paths import Site
from oauth_proxy.requests import Request
from oauth_proxy.windows import is_refetched, shows_document

_KEYS_LAST = 300
"""Seconds for which the public keys, and the script by its plain address, may be cached."""
_FOR_EVER = 365 * 86_400
_SCRIPT = session_script()
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

    def is_framed(self, request: Request) -> bool:
        """Whether a frame shows the response, and our pages may be shown there."""
        return bool(self._pages.frame_ancestors) and is_framed(request.fields)

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
            page = self.pages_for(request).json_page(
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

    def script(self, request: Request, wanted: str | None) -> web.Response:
        """The script for tools' pages: static, so anybody may cache it, and for ever under its version `wanted`.

        Who has this version gets 304 (RFC 9110 13.1.2).
        """
        zipped = any(b"gzip" in value for value in request.fields[b"accept-encoding"])
        is_known = any(_SCRIPT.version.encode() in value for value in request.fields[b"if-none-match"])
        body = _SCRIPT.zipped if zipped else _SCRIPT.body
        response = web.Response(
            status=304 if is_known else 200, body=b"" if is_known or request.method == "HEAD" else body
        )
        response.headers["Content-Type"] = "text/javascript; charset=utf-8"
        if zipped and not is_known:
            response.headers["Content-Encoding"] = "gzip"
        self._ours(request, response, ())
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Vary"] = "Accept-Encoding"
        response.headers["ETag"] = f'W/"{_SCRIPT.version}"'  # weak: the same for both encodings (RFC 9110 8.8.3.3)
        # Another version was asked for, perhaps of a newer process: this one must not be kept under its address.
        kept = {None: f"public, max-age={_KEYS_LAST}", _SCRIPT.version: f"public, max-age={_FOR_EVER}, immutable"}
        response.headers["Cache-Control"] = kept.get(wanted, "no-cache")
        return response

    def keys(self, request: Request, keys: Mapping[str, object]) -> web.Response:
        """The public keys: static, so anybody may cache them."""
        response = self.json(request, 200, keys)
        response.content_type = "application/jwk-set+json"
        response.headers["Cache-Control"] = f"public, max-age={_KEYS_LAST}"
        return response

    def empty(
        self, request: Request, status: int, headers: Mapping[str, str], set_cookies: Iterable[str] = ()
    ) -> web.Response:
        """A response with a status and headers only."""
        return self._ours(request, web.Response(status=status, headers=headers), set_cookies)

    def fault(self, request: Request) -> web.Response:
        """The response if even a page cannot be made."""
        return self._ours(
            request, web.Response(status=500, text=f"{ProxyError.title}. {ProxyError.sentence}\n"), ()
        )

    def _ours(self, request: Request, response: web.Response, set_cookies: Iterable[str]) -> web.Response:
        response.headers[MARK] = "answer"
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Request-Id"] = request.request_id
        response.headers["Server"] = "oauth-proxy"
        for value in set_cookies:
            response.headers.add("Set-Cookie", value)
        if _may_be_misread_after(request):
            response.force_close()
        return response


def _may_be_misread_after(request: Request) -> bool:
    """Return whether the bytes after this request must not be parsed as another request.

    They may belong to a protocol that was refused. And after a chunked body, aiohttp 3.14.5 parses the last
    trailer as a header of the next request, which on a front proxy's connection may be somebody else's.
    """
    return request.method == "CONNECT" or "Upgrade" in request.headers or "Transfer-Encoding" in request.headers
