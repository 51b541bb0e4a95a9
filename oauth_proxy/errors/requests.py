"""Requests that cannot be read, or that this address does not answer."""

from oauth_proxy.errors.base import ProxyError


class BadRequest(ProxyError):
    """The request cannot be understood in one way only."""

    status = 400
    title = "This address does not work"
    sentence = "Your browser sent a request that this site cannot read."


class LineTooLong(BadRequest):
    """A request line longer than we read (RFC 9110 15.5.15)."""

    status = 414
    title = "This address is too long"
    sentence = "The address your browser asked for is longer than this site can read."


class FieldsTooLarge(BadRequest):
    """A header section larger than we read (RFC 6585 5); nearly always cookies."""

    status = 431
    title = "Your cookies are too large"
    sentence = (
        "Your browser sent more cookies for this site than it can read. They have been cleared where your "
        "browser allows that; otherwise clear this site's cookies yourself."
    )


class BodyTooLarge(BadRequest):
    """A body that must be read whole, and is longer than we read (RFC 9110 15.5.14)."""

    status = 413
    title = "The request is too large"
    sentence = "What was sent is larger than this address takes."


class VersionNotSupported(BadRequest):
    """Neither HTTP/1.0 nor HTTP/1.1 (RFC 9110 15.6.6)."""

    status = 505


class RequestTooSlow(ProxyError):
    """The visitor's browser stopped sending in the middle of a request."""

    status = 408
    title = "The request took too long"
    sentence = "Your browser stopped sending before the request was complete."


class TooMuchHeld(ProxyError):
    """No room is left for another body that has to be read whole."""

    status = 503
    title = "Too many calls at once"
    sentence = "Too many calls to this address are being read right now. Please try again shortly."
    retry_after = 5


class NotFound(ProxyError):
    """Nothing of ours, and no upstream, stands at this path."""

    status = 404
    title = "There is nothing here"
    sentence = "This address leads nowhere."


class MethodNotAllowed(ProxyError):
    """One of our own routes, asked in a way it does not answer."""

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
