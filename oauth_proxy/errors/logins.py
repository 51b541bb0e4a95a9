"""Logins that did not end in a session, and grants that ended."""

from collections.abc import Mapping

from oauth_proxy.errors.base import ProxyError


class LoginRefused(ProxyError):
    """A login that did not end in a session."""

    status = 403
    title = "Sign-in did not complete"
    sentence = "Frame.io did not sign you in. You can try again."


class ConsentRefused(LoginRefused):
    """The visitor, or Frame.io for them, denied the request (RFC 6749 4.1.2.1)."""

    title = "You did not allow access"
    sentence = "To use this site, allow it to read your Frame.io account when you are asked."


class AttemptUnknown(LoginRefused):
    """A callback that belongs to no login attempt of this browser."""

    title = "This sign-in has expired"
    sentence = (
        "This sign-in page is too old, was opened twice, or your browser did not keep its cookie. "
        "Starting again usually helps."
    )


class CookieNotReturned(LoginRefused):
    """A login was restarted because its cookie was missing, and the cookie is missing again."""

    title = "Your browser did not keep our cookie"
    sentence = (
        "Signing in needs a cookie, and your browser did not send it back, twice. Allow cookies for this site. "
        "If they are allowed, the people who run it should check that it is visited by the address it is set up "
        "with: same https, same host."
    )


class LoginLoop(LoginRefused):
    """Frame.io signs the visitor in repeatedly, but their browser never returns a session cookie."""

    title = "Signing in goes round in circles"

    _REASONS: Mapping[str, str] = {
        "not_returned": "your browser does not send it back. The site may be visited by http although it is set "
        "up for https, by a host outside the cookie's domain, or inside another site's frame (SameSite); or the "
        "cookie may be too large for something in between",
        "repeated": "your browser sends two cookies of the same name: one of them may belong to a wider domain; "
        "clear this site's cookies",
        "incomplete": "a part of it is missing: the cookie is too large for your browser or something in between",
        "foreign": "it was sealed with another key: several proxies may run with different secrets",
        "ended": "it is ended as soon as it has begun, by Frame.io or by the people who run this site",
        "expired": "it counts as expired at once: a clock may be wrong",
    }

    def __init__(self, reason: str) -> None:
        super().__init__(f"three logins in a row without a session coming back: {reason}")
        self.sentence = (
            f"You signed in three times, but the session's cookie is of no use: {self._REASONS[reason]}. "
            "Please tell the people who run this site."
        )


class CodeRefused(LoginRefused):
    """The provider refused the authorization code (RFC 6749 5.2)."""

    sentence = "Frame.io did not accept this sign-in: it may have been used already or taken too long."


class GrantEnded(LoginRefused):
    """The provider ended the grant or requires a new login: the tokens are no longer valid."""

    sentence = "Your Frame.io session has ended. Please sign in again."
