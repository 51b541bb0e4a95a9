"""Who is asking: the one place where a request's cookies or token become a session."""

from oauth_proxy.bearers import Bearers
from oauth_proxy.cookies import RequestCookies
from oauth_proxy.errors import ProxyError
from oauth_proxy.outcomes import Refused, Visit
from oauth_proxy.requests import Request
from oauth_proxy.session import Attempts, Sessions


class Visitors:
    """Identifies browsers by their cookies and programs by their tokens."""

    def __init__(self, sessions: Sessions, bearers: Bearers, attempts: Attempts) -> None:
        self._sessions = sessions
        self._bearers = bearers
        self._attempts = attempts

    def cached(self, received: RequestCookies) -> Visit | None:
        """What `identify` would return, where nothing has to be asked and no cookie is due; else None."""
        visit = self._sessions.cached(received)
        return None if visit is None else self._returned(visit, received)

    async def identify(self, request: Request, received: RequestCookies) -> Visit:
        """Whose request it is: a program's by its own token, a browser's by its cookies, else a stranger's.

        Raises what `Sessions.resume` raises, and Refused for a program whose token is not good.
        """
        if not self._bearers.has_token(request, received):
            return self._returned(await self._sessions.resume(received), received)
        try:
            return Visit(await self._bearers.session(request), by_program=True)
        except ProxyError as error:
            raise Refused(error, Visit(by_program=True)) from error

    def _returned(self, visit: Visit, received: RequestCookies) -> Visit:
        """The visit of somebody whose session came back: the count of logins without one ends."""
        if visit.session is None or self._attempts.tries not in received.seen:
            return visit
        return visit._replace(set_cookies=[*visit.set_cookies, *self._attempts.forget_tries(received)])
