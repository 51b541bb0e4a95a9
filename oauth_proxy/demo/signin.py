"""The two pages of a login: who are you, and do you allow this app?"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import jinja2
from aiohttp import web

from oauth_proxy.demo.authorization import Ask, Refused, SentBack, read_ask
from oauth_proxy.demo.clients import read_form
from oauth_proxy.demo.dialects import Dialect
from oauth_proxy.demo.grants import Grants, OAuthError
from oauth_proxy.demo.people import App, Directory, Person

COOKIE = "emulated_frameio"
PAGE = "X-Emulated-Page"  # "login", "consent" or "refused": how a test's visitor knows where it is
PERSON = "X-Emulated-Person"  # who is signed in, on the consent page

# No form-action: browsers would apply it to the redirect back to the app, too.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"

PAGES = jinja2.Environment(
    loader=jinja2.PackageLoader("oauth_proxy.demo", "pages"), autoescape=True, undefined=jinja2.StrictUndefined
)


@dataclass(frozen=True)
class Browser:
    """What the emulator's cookie says: which browser this is, and who is signed in there."""

    id: str
    person: Person | None


class SignIn:
    """The authorization endpoint of one dialect; all it remembers is one signed cookie in the browser.

    Its handlers raise Refused and SentBack.
    """

    def __init__(self, dialect: Dialect, directory: Directory, grants: Grants, key: bytes) -> None:
        self._dialect = dialect
        self._directory = directory
        self._grants = grants
        self._key = key

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET: the login page, or the consent page for somebody who is signed in."""
        ask = read_ask(self._dialect, self._directory, request.query)
        browser = self._browser(request)
        csrf = self._sign("csrf", browser.id)
        if browser.person is None:
            people = self._directory.people.values()
            response = page("login", app=ask.app, people=people, csrf=csrf)
        else:
            who, lasts = browser.person, self._lasts(ask.app)
            response = page("consent", app=ask.app, person=who, scope=ask.scope, csrf=csrf, lasts=lasts)
            response.headers[PERSON] = browser.person.name
        return self._remember(response, browser)

    async def act(self, request: web.Request) -> web.StreamResponse:
        """POST: a button of either page was pressed."""
        ask = read_ask(self._dialect, self._directory, request.query)
        browser, form = self._browser(request), await read_form(request)
        if not hmac.compare_digest(form.get("csrf", "").encode(), self._sign("csrf", browser.id).encode()):
            raise Refused("This form was not made for this browser. Please begin again.", 403)
        match form.get("choice", "").split(":"):
            case ["person", person_id]:
                browser = replace(browser, person=self._directory.person(person_id))
                return self._remember(see_other(request.raw_path), browser)
            case ["switch"]:
                return self._remember(see_other(request.raw_path), replace(browser, person=None))
            case ["deny"]:
                raise SentBack(ask, OAuthError("access_denied", "Deny was pressed."))
            case ["allow"] if browser.person is not None:
                return see_other(ask.answer(self._code(ask, browser.person)))
            case _:
                raise Refused("There is no such button.", 400)

    async def logout(self, request: web.Request) -> web.StreamResponse:
        """GET: nobody is signed in any more; on to redirect_uri, where one of the app's origins is named."""
        if "access_token" in request.query:
            raise Refused("A token does not belong in an address, which is kept in logs and histories.", 400)
        app = self._directory.app(self._dialect.api, request.query.get("client_id"))
        if app is None:
            raise Refused("No app is registered under this client_id.", 401)
        to = request.query.get("redirect_uri")
        if to is not None and _origin(to) not in {_origin(uri) for uri in app.redirect_uris}:
            raise Refused("This redirect_uri is not at the app's place.", 400)
        response = page("signed_out") if to is None else see_other(to)
        return self._remember(response, replace(self._browser(request), person=None))

    def _lasts(self, app: App) -> bool:
        return app.client_secret is not None or self._dialect.lasts_without_secret

    def _code(self, ask: Ask, person: Person) -> dict[str, str]:
        code = self._grants.authorize(
            client_id=ask.app.client_id,
            person_id=person.id,
            scope=ask.scope,
            redirect_uri=ask.redirect_uri,
            challenge=ask.challenge,
            lasts=self._lasts(ask.app),
        )
        return {"code": code} | ({"scope": " ".join(ask.scope)} if self._dialect.scope_in_callback else {})

    def _browser(self, request: web.Request) -> Browser:
        """A browser without a cookie of ours, or with one we did not sign, is a new one."""
        browser_id, _, rest = request.cookies.get(COOKIE, "").partition(".")
        person_id, _, signature = rest.partition(".")
        if hmac.compare_digest(signature.encode(), self._sign(browser_id, person_id).encode()):
            return Browser(browser_id, self._directory.person(person_id))
        return Browser(secrets.token_urlsafe(16), None)

    def _remember(self, response: web.Response, browser: Browser) -> web.Response:
        person_id = browser.person.id if browser.person else ""
        value = f"{browser.id}.{person_id}.{self._sign(browser.id, person_id)}"
        response.set_cookie(COOKIE, value, path=self._dialect.root, httponly=True, samesite="Lax")
        return response

    def _sign(self, *parts: str) -> str:
        return hmac.new(self._key, "\n".join(parts).encode(), hashlib.sha256).hexdigest()


def _origin(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.scheme, parts.netloc


def page(name: str, *, status: int = 200, **fields: object) -> web.Response:
    """One of the emulator's pages; its name is also in a header, for visitors that are programs."""
    html = PAGES.get_template(f"{name}.html").render(fields)
    headers = {
        PAGE: name,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": POLICY,
    }
    return web.Response(status=status, text=html, content_type="text/html", headers=headers)


def see_other(location: str) -> web.Response:
    """A redirect to exactly this address; web.HTTPSeeOther would write it anew."""
    return web.Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})
