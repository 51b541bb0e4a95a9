"""Logins that did not end in a session, and grants that ended."""

from collections.abc import Mapping

from oauth_proxy.errors.base import ProxyError


class LoginRefused(ProxyError):
    """A login that did not end in a session."""

    status = 403
    title = "The login did not complete"
    sentence = "Frame.io did not sign you in. You can try again."


class ConsentRefused(LoginRefused):
    """The visitor, or Frame.io for them, denied the request (RFC 6749 4.1.2.1)."""

    title = "You did not allow access"
    sentence = "To use this site, allow it to read your Frame.io account when you are asked."


class AttemptUnknown(LoginRefused):
    """A callback that belongs to no login attempt of this browser."""

    title = "This login has expired"
    sentence = (
        "The login page was too old, was opened twice, or your browser did not keep its cookie. "
        "Starting again usually helps."
    )


class CookieNotReturned(LoginRefused):
    """A login was restarted because its cookie was missing, and the cookie is missing again."""

    title = "Your browser did not keep our cookie"
    sentence = (
        "Signing in needs a cookie, and your browser did not send it back, twice. Allow cookies for this site, "
        "then try again."
    )

    def __init__(self) -> None:
        super().__init__(
            "a login was begun anew, and its cookie is missing again; is public_url the address that visitors "
            "use, with the same scheme and host?"
        )


class LoginLoop(LoginRefused):
    """Frame.io signs the visitor in repeatedly, but their browser never returns a session cookie."""

    title = "Signing in goes round in circles"
    sentence = (
        "You signed in three times, but this site still does not know you. Clear its cookies, then try again."
    )

    _REASONS: Mapping[str, str] = {
        "not_returned": "the browser does not send it back. The site may be visited by http although it is set "
        "up for https, by a host outside the cookie's domain, or inside another site's frame (SameSite); or the "
        "cookie may be too large for something in between",
        "repeated": "the browser sends two cookies of the same name: one of them may belong to a wider domain",
        "incomplete": "a part of it is missing: the cookie is too large for the browser or something in between",
        "foreign": "it was sealed with another key: several proxies may run with different secrets",
        "ended": "it is ended as soon as it has begun, by Frame.io or by a command",
        "expired": "it counts as expired at once: a clock may be wrong",
    }

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"three logins in a row, and the session's cookie is of no use ({reason}): {self._REASONS[reason]}"
        )


class PageKept(LoginRefused):
    """Somebody signed in is sent to the login again and again: a service worker shows them an old page of ours."""

    title = "You are signed in, and your browser shows an old page"
    sentence = (
        "Your browser keeps showing an old copy of the sign-in page. Reload the page while you hold the Shift "
        "key, or clear what your browser has stored for this site."
    )


class CodeRefused(LoginRefused):
    """The provider refused the authorization code (RFC 6749 5.2)."""

    sentence = "Frame.io did not accept this login: it may have been used already or taken too long."


class GrantEnded(LoginRefused):
    """The provider ended the grant or requires a new login: the tokens are no longer valid."""

    sentence = "Your Frame.io session has ended. Please sign in again."
