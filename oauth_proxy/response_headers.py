"""Header fields of responses of our own, and whether another request may follow one."""

from aiohttp import web

from oauth_proxy.errors import FieldsTooLarge, ProxyError
from oauth_proxy.headers import is_navigation
from oauth_proxy.outcomes import Visit
from oauth_proxy.requests import Request


def is_for_a_person(request: Request, visit: Visit) -> bool:
    """Return whether a browser's window shows the response, so that a page makes sense."""
    return not visit.by_program and is_navigation(request.method, request.fields)


def may_be_misread_after(request: Request) -> bool:
    """Whether the bytes after this request must not be parsed as another request.

    They may belong to a protocol that was refused. And after a chunked body, aiohttp 3.14.5 parses the last
    trailer as a header of the next request, which on a front proxy's connection may be somebody else's.
    """
    return request.method == "CONNECT" or "Upgrade" in request.headers or "Transfer-Encoding" in request.headers


def forgetting(error: ProxyError, response: web.Response) -> web.Response:
    """Add Clear-Site-Data to a 431: a browser with too many cookies could otherwise never get in again."""
    if error.status == FieldsTooLarge.status:
        response.headers["Clear-Site-Data"] = '"cookies"'
    return response
