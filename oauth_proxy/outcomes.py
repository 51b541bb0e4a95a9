"""Who is asking, and what became of it: values that are made once and handed on."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from aiohttp import web

from oauth_proxy.errors import ProxyError
from oauth_proxy.identity import Session


class Visit(NamedTuple):
    """Who is asking: their session, None for a stranger, and the Set-Cookie values that go out with the response.

    `by_program` is whether the request brought a token of its own: then a program reads the response, whatever it
    says it accepts.
    """

    session: Session | None = None
    set_cookies: Sequence[str] = ()
    by_program: bool = False

    @property
    def user(self) -> str | None:
        """The Frame.io id of whoever is signed in."""
        return self.session.identity.id if self.session is not None else None


STRANGER = Visit()


class Outcome(NamedTuple):
    """What became of a request, as the log and the metrics get it.

    `by` is whose response it is. `cause` is why it was refused; None where it was not.
    """

    response: web.StreamResponse
    by: Literal["proxy", "tool"] = "proxy"
    user: str | None = None
    cause: str | None = None


class Refused(Exception):
    """A request that ends in `error`, and what its response needs beside that.

    `return_to` is where the visitor was on their way to, a URL of ours.
    """

    def __init__(self, error: ProxyError, visit: Visit = STRANGER, return_to: str | None = None) -> None:
        super().__init__(error.cause)
        self.error = error
        self.visit = visit
        self.return_to = return_to
