"""The routes of our own: which paths below /oauth2/ are answered, and by which methods."""

from oauth_proxy.errors import MethodNotAllowed, NotFound
from oauth_proxy.paths import Target

SEND_AGAIN = "/oauth2/send_again"
"""Where the page that keeps a form sends it: on to the form's own address, if who is signed in had typed it."""

ROUTES = {
    "/oauth2/start": ("GET", "POST"),
    "/oauth2/callback": ("GET",),
    "/oauth2/sign_in": ("GET", "HEAD"),
    "/oauth2/signed_in": ("GET", "HEAD"),
    "/oauth2/sign_out": ("GET", "POST"),
    SEND_AGAIN: ("POST",),
    "/oauth2/auth": ("GET", "HEAD"),
    "/oauth2/userinfo": ("GET", "HEAD"),
    "/oauth2/keys": ("GET", "HEAD"),
}
"""Our routes, and the methods of each."""


def require_route(method: str, target: Target) -> None:
    """Raises NotFound or MethodNotAllowed unless one of our routes has this path and method."""
    methods = ROUTES.get(target.path)
    if methods is None or not target.plain:
        raise NotFound("no such route of ours")
    if method not in methods:
        raise MethodNotAllowed("one of our routes, asked by another method", allow=methods)
