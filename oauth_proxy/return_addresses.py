"""Where a login or sign-out leads: what the query, a form or a front proxy names, if it is safe."""

from oauth_proxy.own_routes import Query, read_query
from oauth_proxy.paths import Site
from oauth_proxy.requests import Request
from oauth_proxy.upstream.whole import WholeBodies


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
        """The same; a form may have the `rd` that is too long for a URL. Raises what `WholeBodies.of` raises."""
        if request.method != "POST":
            return self.of(request, query)
        async with self._bodies.of(request) as body:
            form = read_query(body.decode("latin-1"))
        return self.of(request, {"rd": [*form.get("rd", ()), *query.get("rd", ())]})
