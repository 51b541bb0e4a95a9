"""The routes of our own: which paths below /oauth2/ are answered, and by which methods."""

from urllib.parse import parse_qs

from oauth_proxy.errors import BadRequest, MethodNotAllowed, NotFound
from oauth_proxy.paths import Target

SEND_AGAIN = "/oauth2/send_again"
"""Where the page that keeps a form sends it: on to the form's own address, if who is signed in had typed it."""

Query = dict[str, list[str]]
"""The values of each name in a query."""

ROUTES = {
    "/oauth2/start": ("GET", "POST"),
    "/oauth2/callback": ("GET",),
    "/oauth2/framed": ("GET",),
    "/oauth2/sign_in": ("GET", "HEAD"),
    "/oauth2/signed_in": ("GET", "HEAD"),
    "/oauth2/sign_out": ("GET", "POST"),
    SEND_AGAIN: ("POST",),
    "/oauth2/auth": ("GET", "HEAD"),
    "/oauth2/userinfo": ("GET", "HEAD"),
    "/oauth2/keys": ("GET", "HEAD"),
    "/oauth2/session.js": ("GET", "HEAD"),
}
"""Our routes, and the methods of each."""


def require_route(method: str, target: Target) -> None:
    """Raises NotFound or MethodNotAllowed unless one of our routes has this path and method."""
    methods = ROUTES.get(target.path)
    if methods is None or not target.plain:
        raise NotFound("no such route of ours")
    if method not in methods:
        raise MethodNotAllowed("one of our routes, asked by another method", allow=methods)


def read_query(query: str) -> Query:
    """The values of a query (`?…`), or of a form. Raises BadRequest if there are too many."""
    try:
        return parse_qs(query.removeprefix("?"), keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise BadRequest("the query, or the form, has too many fields") from None
