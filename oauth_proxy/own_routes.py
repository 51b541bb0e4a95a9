"""The routes of our own: which paths below /oauth2/ are answered, and by which methods."""

from urllib.parse import parse_qs

from oauth_proxy.errors import BadRequest, MethodNotAllowed, NotFound
from oauth_proxy.paths import Target

START = "/oauth2/start"
"""Begins a login."""
CALLBACK = "/oauth2/callback"
"""Where Frame.io sends the browser back to."""
FRAMED = "/oauth2/framed"
"""Where a login ends that a frame waits for: first in its own window, then in the frame."""
SIGN_IN = "/oauth2/sign_in"
"""The page that offers to sign in."""
SIGNED_IN = "/oauth2/signed_in"
"""Where a login leads that was begun beside another page, in a popup or a new tab."""
SIGN_OUT = "/oauth2/sign_out"
"""Ends the session."""
SEND_AGAIN = "/oauth2/send_again"
"""Where the page that keeps a form sends it: on to its own address, if the person signed in had typed it."""
AUTH = "/oauth2/auth"
"""What front proxies ask about each request of theirs."""
USERINFO = "/oauth2/userinfo"
"""Who is signed in, for pages' scripts."""
KEYS = "/oauth2/keys"
"""The public keys that verify assertions."""
SCRIPT = "/oauth2/session.js"
"""The script for pages of the tool."""

Query = dict[str, list[str]]
"""The values of each name in a query."""

ROUTES = {
    START: ("GET", "POST"),
    CALLBACK: ("GET",),
    FRAMED: ("GET",),
    SIGN_IN: ("GET", "HEAD"),
    SIGNED_IN: ("GET", "HEAD"),
    SIGN_OUT: ("GET", "POST"),
    SEND_AGAIN: ("POST",),
    AUTH: ("GET", "HEAD"),
    USERINFO: ("GET", "HEAD"),
    KEYS: ("GET", "HEAD"),
    SCRIPT: ("GET", "HEAD"),
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
