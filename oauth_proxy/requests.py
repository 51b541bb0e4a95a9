"""One request: what was sent, and what is learnt of it on its way."""

from collections.abc import Sequence

from aiohttp import web

from oauth_proxy.headers import Fields


class Request(web.BaseRequest):
    """aiohttp's request, with what we know of it beside what it brought."""

    fields = Fields(())
    """Its header lines."""
    request_id = ""
    chain: Sequence[str] = ()
    """Addresses from the visitor's to the nearest peer's, as far as they can be believed."""
    user: str | None = None
    """The Frame.io id of whoever is signed in."""
    by = "proxy"
    """Whose answer it gets: the proxy's, or the tool's once it has gone on there."""
    is_of_program = False
    """Whether it brought a token of its own: then a program reads the answer, whatever it says it accepts."""
    set_cookies: Sequence[str] = ()
    """Set-Cookie values that go out with its answer, whatever the answer will be."""
    return_to: str | None = None
    """Where its visitor was on their way to, an address of ours."""
