"""Where a login or sign-out leads: what the query, a form or a front proxy names, if it is safe."""

from oauth_proxy.errors import BodyTooLarge
from oauth_proxy.own_routes import Query, read_query
from oauth_proxy.paths import LONGEST_RETURN, Site
from oauth_proxy.requests import Request
from oauth_proxy.upstream.whole import WholeBodies

LONGEST_FORM = 4 * LONGEST_RETURN
"""Bytes: an address takes three for each of its characters at most. A longer form takes long to decode, too."""


class ReturnAddresses:
    """Finds the return address in requests to our routes; `bodies` reads forms."""

    def __init__(self, site: Site, bodies: WholeBodies) -> None:
        self._site = site
        self._bodies = bodies

    def wanted(self, request: Request, query: Query) -> str | None:
        """The first safe address of `rd` and `X-Auth-Request-Redirect`."""
        named = request.fields[b"x-auth-request-redirect"]
        for candidate in (*query.get("rd", ()), *(value.decode("latin-1") for value in named)):
            if (url := self._site.safe_return(candidate)) is not None:
                return url
        return None

    def of(self, request: Request, query: Query) -> str:
        """The same, or the start page."""
        return self.wanted(request, query) or self._site.url("/")

    async def posted(self, request: Request, query: Query) -> str:
        """The same; a form may have the `rd` that is too long for a URL.

        Raises BodyTooLarge, and what `WholeBodies.of` raises. Until it is there, the connection counts as idle.
        """
        if request.method != "POST":
            return self.of(request, query)
        _require_short(request.content_length or 0)
        with request.protocol.may_give_way():
            async with self._bodies.of(request) as body:
                _require_short(len(body))
                form = read_query(body.decode("latin-1"))
        return self.of(request, {"rd": [*form.get("rd", ()), *query.get("rd", ())]})


def _require_short(size: int) -> None:
    if size > LONGEST_FORM:
        raise BodyTooLarge(f"a form of {size} bytes to begin a login with")
