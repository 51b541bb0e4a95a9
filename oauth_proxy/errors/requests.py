"""Requests that cannot be parsed, or that this address does not support."""

from oauth_proxy.errors.base import ProxyError


class BadRequest(ProxyError):
    """The request is malformed or ambiguous."""

    status = 400
    title = "This address does not work"
    sentence = "Your browser sent a request that this site cannot read."


class LineTooLong(BadRequest):
    """The request line is longer than our limit (RFC 9110 15.5.15)."""

    status = 414
    title = "This address is too long"
    sentence = "The address your browser asked for is longer than this site can read."


class FieldsTooLarge(BadRequest):
    """The header section is larger than our limit (RFC 6585 5), nearly always because of cookies."""

    status = 431
    title = "Your cookies are too large"
    sentence = (
        "Your browser sent more cookies for this site than it can read. They have been cleared where your "
        "browser allows that; otherwise clear this site's cookies yourself."
    )


class BodyTooLarge(BadRequest):
    """A body that must be read as a whole is longer than our limit (RFC 9110 15.5.14)."""

    status = 413
    title = "The request is too large"
    sentence = "What was sent is larger than this address takes."


class VersionNotSupported(BadRequest):
    """The request is neither HTTP/1.0 nor HTTP/1.1 (RFC 9110 15.6.6)."""

    status = 505


class RequestTooSlow(ProxyError):
    """The client stopped sending in the middle of a request."""

    status = 408
    title = "The request took too long"
    sentence = "Your browser stopped sending before the request was complete."


class TooMuchHeld(ProxyError):
    """There is no memory left for another body that must be read as a whole."""

    status = 503
    title = "Too many calls at once"
    sentence = "Too many calls to this address are being read right now. Please try again shortly."
    retry_after = 5


class NotFound(ProxyError):
    """Neither a route of ours nor an upstream has this path."""

    status = 404
    title = "There is nothing here"
    sentence = "This address leads nowhere."


class MethodNotAllowed(ProxyError):
    """A route of ours does not support the request's method."""

    status = 405
    title = "This address does not work that way"
    sentence = "This address cannot be used like this."

    def __init__(self, cause: str, *, allow: tuple[str, ...]) -> None:
        super().__init__(cause)
        self.allow = allow


class Misdirected(ProxyError):
    """The request names a host that is not ours (RFC 9110 15.5.20)."""

    status = 421
    title = "Wrong address"
    sentence = "This site lives at another address."
