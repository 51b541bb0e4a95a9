"""The one place that turns a request's cookies or token into a session."""

from time import monotonic

from oauth_proxy.bearers import Bearers
from oauth_proxy.cookies import RequestCookies
from oauth_proxy.errors import ProxyError
from oauth_proxy.outcomes import Refused, Visit
from oauth_proxy.requests import Request
from oauth_proxy.session import Attempts, Sessions

STRANGERS = {
    "not_returned": "no cookie",
    "foreign": "a foreign cookie, sealed with another secret or garbled",
    "expired": "an expired session",
    "ended": "an ended session",
    "repeated": "a repeated cookie, sent more than once",
    "incomplete": "an incomplete cookie, of which a part is missing",
}
"""What the log says of a request without a session, by why it has none."""


class Visitors:
    """Identifies browsers by their cookies, and programs by their tokens."""

    def __init__(self, sessions: Sessions, bearers: Bearers, attempts: Attempts) -> None:
        self._sessions = sessions
        self._bearers = bearers
        self._attempts = attempts

    def cached(self, request: Request, received: RequestCookies) -> Visit | None:
        """Return what `identify` would return, if that needs no query and sets no cookie; otherwise None."""
        visit = self._sessions.cached(received)
        return None if visit is None else self._returned(visit, request, received)

    async def identify(self, request: Request, received: RequestCookies) -> Visit:
        """Identify the request: a program by its token, a browser by its cookies, anyone else as a stranger.

        Raises what `Sessions.resume` raises, and Refused for a program with an invalid token. For the log, the
        request gets `identity_seconds`, and `brought` where there is no session.
        """
        began = monotonic()
        try:
            visit = await self._identified(request, received)
        except ProxyError:
            request.brought = self._sessions.brought(received)
            raise
        finally:
            request.identity_seconds = monotonic() - began
        if visit.session is None:
            request.brought = self._sessions.brought(received)
        return visit

    async def _identified(self, request: Request, received: RequestCookies) -> Visit:
        if not self._bearers.has_token(request, received):
            return self._returned(await self._sessions.resume(received), request, received)
        try:
            return Visit(await self._bearers.session(request), by_program=True)
        except ProxyError as error:
            raise Refused(error, Visit(by_program=True)) from error

    async def look(self, request: Request, received: RequestCookies) -> Visit:
        """Identify the request as `identify` does, but do not count it as a use: no session lasts longer by it."""
        if self._bearers.has_token(request, received):
            return await self.identify(request, received)
        visit = Visit(await self._sessions.came_back(received))
        if visit.session is None:
            request.brought = self._sessions.brought(received)
        return visit

    def why_stranger(self, received: RequestCookies) -> str:
        """What kind of stranger sent these cookies, in words for the log."""
        return f"no session: {STRANGERS[self._sessions.why_absent(received)]}"

    def brought_nothing(self, received: RequestCookies) -> bool:
        """Whether a stranger's request has no cookie of a session at all."""
        return self._sessions.why_absent(received) == "not_returned"

    def refuse(self, visit: Visit, received: RequestCookies) -> Visit:
        """Return the visit of a user without access: the response removes their cookies. Revokes their tokens."""
        if visit.session is None:
            return visit
        removed = [*self._sessions.refuse(visit.session, received), *self._attempts.forget_tries(received)]
        return visit._replace(set_cookies=removed)

    def _returned(self, visit: Visit, request: Request, received: RequestCookies) -> Visit:
        """If there is a session, also remove the cookie that counts logins which led to none.

        Not if the browser only looks for a newer service worker: Firefox does at each navigation, also at those
        that lead to the login again and again because the worker shows a page that it kept.
        """
        if visit.session is None or self._attempts.tries not in received.seen:
            return visit
        if request.fields[b"sec-fetch-dest"] == [b"serviceworker"]:
            return visit
        return visit._replace(set_cookies=[*visit.set_cookies, *self._attempts.forget_tries(received)])
