"""Visitors and programs who are not let in, and why."""

from oauth_proxy.errors.base import ProxyError
from oauth_proxy.errors.requests import BadRequest

_BEARER = 'Bearer realm="frameio-oauth-proxy"'


class SignInRequired(ProxyError):
    """Nobody is signed in, and the request is not one that can be sent through a login."""

    status = 401
    title = "Please sign in"
    sentence = "You are not signed in, or your session has ended."
    challenge = _BEARER


class TokenMalformed(BadRequest):
    """A request with a token of its own that is none, or with several (RFC 6750 3.1, invalid_request)."""

    title = "These credentials cannot be read"
    sentence = "The request's Authorization is not exactly one bearer token."
    challenge = f'{_BEARER}, error="invalid_request"'


class TokenRefused(ProxyError):
    """A request with a token of its own that the provider does not accept (RFC 6750 3.1, invalid_token)."""

    status = 401
    title = "This token is not accepted"
    sentence = "Frame.io does not accept this access token, or does not let it read its own profile."
    challenge = f'{_BEARER}, error="invalid_token"'


class TooManyWrongTokens(ProxyError):
    """One client has brought too many tokens that the provider does not accept (RFC 6585 4)."""

    status = 429
    title = "Too many wrong tokens"
    sentence = "Too many access tokens from your address were refused. Please wait before you try another one."


class TooManyAtOnce(ProxyError):
    """One visitor has as much under way, and as much waiting, as one visitor may (RFC 6585 4)."""

    status = 429
    title = "Too much at once"
    sentence = "Too many requests of yours are still under way. Please try again when some of them have ended."
    retry_after = 5


class SignatureRefused(ProxyError):
    """A call at a webhook's path that Frame.io did not sign just now."""

    status = 401
    title = "This call is not signed"
    sentence = "Calls to this address need Frame.io's signature, made in the last five minutes."
    challenge = 'Signature realm="frameio-oauth-proxy"'


class NotAllowed(ProxyError):
    """Signed in, but not somebody the configuration lets in."""

    status = 403
    title = "You do not have access"
    sentence = "You are signed in, but this account may not use this site."


class SignOutUnconfirmed(ProxyError):
    """A sign-out of which nobody knows whether the visitor wants it."""

    status = 403
    title = "You are still signed in"
    sentence = "You are still signed in: nothing said that a page of this site, or its visitor, asked to sign out."


class SessionTooLarge(ProxyError):
    """The session does not fit into the cookies a browser will keep."""

    title = "Your session is too large"
    sentence = "Your sign-in is larger than a browser can store. Please tell the people who run this site."


class SessionsUnavailable(ProxyError):
    """A session that is kept outside the cookie, in a place that cannot be reached."""

    status = 503
    title = "Your session cannot be read"
    sentence = "This site cannot look up your sign-in at the moment. Nothing is lost; please try again shortly."
    retry_after = 5
