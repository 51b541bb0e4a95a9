"""Who sent a request, and how it ended: immutable values that are passed on."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from aiohttp import web

from oauth_proxy.errors import ProxyError
from oauth_proxy.identity import Session


class Visit(NamedTuple):
    """Who sent a request: the session (None for a stranger), and the Set-Cookie values for the response.

    `by_program` is whether the request carried its own token. Then a program reads the response, whatever its
    Accept field says.
    """

    session: Session | None = None
    set_cookies: Sequence[str] = ()
    by_program: bool = False


STRANGER = Visit()


class Outcome(NamedTuple):
    """How a request ended, for the log and the metrics.

    `by` is who made the response. `cause` is why it is ours, or why it was cut short; None if all went well.
    `failure` is the name of what was refused, as in the JSON of the response and in the metrics.
    """

    response: web.StreamResponse
    by: Literal["proxy", "tool"] = "proxy"
    cause: str | None = None
    failure: str | None = None


class Ends(NamedTuple):
    """When a session ends `at` the latest, and when it ends if `unused` until then, in seconds since the epoch.

    None for a program's, which ends with its token. `now` is when this was asked, by the same clock.
    """

    now: float
    at: float | None = None
    unused: float | None = None


class Refused(Exception):
    """A request that ends with `error`, and what its response needs besides that.

    `return_to` is the URL of ours that the user was going to.
    """

    def __init__(self, error: ProxyError, visit: Visit = STRANGER, return_to: str | None = None) -> None:
        super().__init__(error.cause)
        self.error = error
        self.visit = visit
        self.return_to = return_to

    def outcome(self, response: web.StreamResponse) -> Outcome:
        """How the request ends with this response."""
        return Outcome(response, cause=self.error.cause, failure=self.error.name)
