"""Everything that can go wrong, as a tree: a status, words for the visitor, words for the log.

The law: `sentence` and `title` are fixed text of ours and may be shown to anybody; `cause` may hold what a
peer or a visitor sent and goes to the log only.
"""

import re
from collections.abc import Mapping

_BEARER = 'Bearer realm="frameio-oauth-proxy"'


class ConfigurationError(Exception):
    """The configuration cannot be used; `problems` holds one sentence for each thing to mend."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ProxyError(Exception):
    """A request that ends in an answer of our own instead of the tool's."""

    status = 500
    title = "Something went wrong"
    sentence = "This page could not be shown because of a fault on our side."
    retry_after: int | None = None
    """Seconds after which trying again makes sense (RFC 9110 10.2.3)."""
    challenge: str | None = None
    """What credentials would have helped (RFC 9110 11.6.1)."""

    def __init__(self, cause: str, *, retry_after: int | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.retry_after = retry_after or self.retry_after

    @property
    def name(self) -> str:
        """The failure's name for programs, such as `sign_in_required`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()


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


class SignatureRefused(ProxyError):
    """A call at a webhook's path that Frame.io did not sign just now."""

    status = 401
    title = "This call is not signed"
    sentence = "Calls to this address need Frame.io's signature, made in the last five minutes."
    challenge = 'Signature realm="frameio-oauth-proxy"'


class LoginRefused(ProxyError):
    """A login that did not end in a session."""

    status = 403
    title = "Sign-in did not complete"
    sentence = "Frame.io did not sign you in. You can try again."


class ConsentRefused(LoginRefused):
    """The visitor, or Frame.io on their behalf, said no (RFC 6749 4.1.2.1)."""

    title = "You did not allow access"
    sentence = "To use this site, allow it to read your Frame.io account when you are asked."


class AttemptUnknown(LoginRefused):
    """A callback that no login attempt of this browser is waiting for."""

    title = "This sign-in has expired"
    sentence = (
        "This sign-in page is too old, was opened twice, or your browser did not keep its cookie. "
        "Starting again usually helps."
    )


class CookieNotReturned(LoginRefused):
    """A login was begun anew because its cookie was missing, and it is missing again."""

    title = "Your browser did not keep our cookie"
    sentence = (
        "Signing in needs a cookie, and your browser did not send it back, twice. Allow cookies for this site. "
        "If they are allowed, the people who run it should check that it is visited by the address it is set up "
        "with: same https, same host."
    )


class LoginLoop(LoginRefused):
    """Frame.io signs the visitor in again and again, but no session comes back from their browser."""

    title = "Signing in goes round in circles"

    _REASONS: Mapping[str, str] = {
        "not_returned": "your browser does not send it back. The site may be visited by http although it is set "
        "up for https, by a host outside the cookie's domain, or inside another site's frame (SameSite); or the "
        "cookie may be too large for something in between",
        "repeated": "your browser sends two cookies of the same name: one of them may belong to a wider domain; "
        "clear this site's cookies",
        "incomplete": "a part of it is missing: the cookie is too large for your browser or something in between",
        "foreign": "it was sealed with another key: several proxies may run with different secrets",
        "expired": "it counts as expired at once: a clock may be wrong",
    }

    def __init__(self, reason: str) -> None:
        super().__init__(f"three logins in a row without a session coming back: {reason}")
        self.sentence = (
            f"You signed in three times, but the session's cookie is of no use: {self._REASONS[reason]}. "
            "Please tell the people who run this site."
        )


class CodeRefused(LoginRefused):
    """The provider would not redeem the authorization code (RFC 6749 5.2)."""

    sentence = "Frame.io did not accept this sign-in: it may have been used already or taken too long."


class GrantEnded(LoginRefused):
    """The provider ended the grant, or wants to see the visitor again: its tokens are no longer good."""

    sentence = "Your Frame.io session has ended. Please sign in again."


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


class ProviderUnavailable(ProxyError):
    """The provider could not be asked or did not answer; nothing is known about the visitor."""

    status = 503
    title = "Frame.io cannot be reached"
    sentence = "Frame.io is not answering at the moment. Nothing is lost; please try again shortly."
    retry_after = 10


class ProviderAway(ProviderUnavailable):
    """No connection, no answer in time, or a 5xx: it says that the provider is away, whoever asked."""


class ProviderPaused(ProviderAway):
    """The provider was not asked, because it has been away for several others and is only tried now and then."""


class ProviderBusy(ProviderUnavailable):
    """The provider asks for patience (RFC 6585 4, 429); `retry_after` says for how long."""

    title = "Frame.io asks for patience"
    sentence = "Frame.io takes no more requests at the moment. Nothing is lost; please try again shortly."


class ProviderNonsense(ProviderUnavailable):
    """The provider answered something that is not what its documentation says."""

    status = 502
    title = "Frame.io gave an unexpected answer"
    sentence = "Frame.io answered in a way this site does not understand. Please try again shortly."


class ProviderRefusedUs(ProviderNonsense):
    """The provider refuses this proxy's own credentials or request: a setting is wrong."""

    title = "This site is not set up correctly"
    sentence = "Frame.io does not accept this site's own credentials. Please tell the people who run it."


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


class UpstreamUnreachable(ProxyError):
    """The tool cannot be connected to, or hung up before it answered."""

    status = 502
    title = "The tool is not answering"
    sentence = "You are signed in, but the tool behind this page is not running right now."


class UpstreamNonsense(UpstreamUnreachable):
    """The tool's answer is not HTTP that can be passed on safely."""

    title = "The tool gave a broken answer"
    sentence = "The tool behind this page answered in a way that cannot be shown."


class UpstreamTimeout(UpstreamUnreachable):
    """The tool took longer than its timeout."""

    status = 504
    title = "The tool is too slow"
    sentence = "The tool behind this page did not answer in time."


class RequestTooSlow(ProxyError):
    """The visitor's browser stopped sending in the middle of a request."""

    status = 408
    title = "The request took too long"
    sentence = "Your browser stopped sending before the request was complete."
