"""Visitors and programs without access, and the reasons."""

from oauth_proxy.errors.base import ProxyError
from oauth_proxy.errors.requests import BadRequest

_BEARER = 'Bearer realm="frameio-oauth-proxy"'


class SignInRequired(ProxyError):
    """Nobody is signed in, and the request cannot be redirected to a login."""

    status = 401
    title = "Please sign in"
    sentence = "You are not signed in, or your session has ended."
    challenge = _BEARER


class ForeignForm(SignInRequired):
    """A form that another site has sent, without the cookies of who is signed in here (SameSite=Lax)."""

    title = "This form came from another site"
    sentence = (
        "Your browser does not say who you are when another site sends a form here, so nothing was done with it. "
        "Open this site itself, and fill in the form there."
    )


class SomebodyElse(ProxyError):
    """A form that is to be sent again, typed by another person than the one who is signed in now."""

    status = 409
    title = "Check who is signed in now"
    sentence = (
        "This form was filled in by somebody else, or it is not known by whom. "
        "It has not been sent as the person who is signed in now."
    )


class TokenMalformed(BadRequest):
    """The request's own token is malformed, or there are several (RFC 6750 3.1, invalid_request)."""

    title = "These credentials cannot be read"
    sentence = "The request's Authorization is not exactly one bearer token."
    challenge = f'{_BEARER}, error="invalid_request"'


class TokenRefused(ProxyError):
    """The provider does not accept the request's own token (RFC 6750 3.1, invalid_token)."""

    status = 401
    title = "This token is not accepted"
    sentence = "Frame.io does not accept this access token, or does not let it read its own profile."
    challenge = f'{_BEARER}, error="invalid_token"'


class TooManyWrongTokens(ProxyError):
    """One client has sent too many tokens that the provider does not accept (RFC 6585 4)."""

    status = 429
    title = "Too many wrong tokens"
    sentence = "Too many access tokens from your address were refused. Please wait before you try another one."


class TooManyAtOnce(ProxyError):
    """One visitor has reached the limits of requests in progress and waiting (RFC 6585 4)."""

    status = 429
    title = "Too much at once"
    sentence = "Too many requests of yours are still under way. Please try again when some of them have ended."
    retry_after = 5


class SignatureRefused(ProxyError):
    """A request at a webhook's path without a recent signature of Frame.io."""

    status = 401
    title = "This call is not signed"
    sentence = "Calls to this address need Frame.io's signature, made in the last five minutes."
    challenge = 'Signature realm="frameio-oauth-proxy"'


class NotAllowed(ProxyError):
    """The user is signed in, but has no access by configuration."""

    status = 403
    title = "You do not have access"
    sentence = "You are signed in, but this account may not use this site."


class SignOutUnconfirmed(ProxyError):
    """A sign-out that the visitor may not have asked for."""

    status = 403
    title = "You are still signed in"
    sentence = "You are still signed in: nothing said that a page of this site, or its visitor, asked to sign out."


class SessionTooLarge(ProxyError):
    """The session does not fit into the cookies that a browser stores."""

    title = "Your session is too large"
    sentence = "Your session is larger than a browser can store. Please tell the people who run this site."


class SessionsUnavailable(ProxyError):
    """The session is stored outside the cookie, in a store that cannot be reached."""

    status = 503
    title = "Your session cannot be read"
    sentence = "This site cannot look up your session at the moment. Nothing is lost; please try again shortly."
    retry_after = 5
