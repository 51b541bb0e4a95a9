"""All failures as a class tree. Each has a status, a text for the visitor, and a text for the log.

The law: `sentence` and `title` are fixed texts of ours and may be shown to anybody; `cause` may contain what a
peer or a visitor sent, and goes to the log only.
"""

from oauth_proxy.errors.base import (
    AddressUnavailable,
    ConfigurationError,
    MayPass,
    ProxyError,
)
from oauth_proxy.errors.logins import (
    AttemptUnknown,
    CodeRefused,
    ConsentRefused,
    CookieNotReturned,
    GrantEnded,
    LoginLoop,
    LoginRefused,
    PageKept,
)
from oauth_proxy.errors.provider import (
    ProviderAway,
    ProviderBusy,
    ProviderNonsense,
    ProviderPaused,
    ProviderRefusedUs,
    ProviderUnavailable,
)
from oauth_proxy.errors.requests import (
    BadRequest,
    BodyTooLarge,
    FieldsTooLarge,
    LineTooLong,
    MethodNotAllowed,
    Misdirected,
    NotFound,
    RequestTooSlow,
    TooMuchHeld,
    VersionNotSupported,
)
from oauth_proxy.errors.tool import (
    HungUp,
    UpstreamBusy,
    UpstreamNonsense,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from oauth_proxy.errors.visitors import (
    NotAllowed,
    SessionsUnavailable,
    SessionTooLarge,
    SignatureRefused,
    SignInRequired,
    SignOutUnconfirmed,
    TokenMalformed,
    TokenRefused,
    TooManyAtOnce,
    TooManyWrongTokens,
)

__all__ = [
    "AddressUnavailable",
    "AttemptUnknown",
    "BadRequest",
    "BodyTooLarge",
    "CodeRefused",
    "ConfigurationError",
    "ConsentRefused",
    "CookieNotReturned",
    "FieldsTooLarge",
    "GrantEnded",
    "HungUp",
    "LineTooLong",
    "LoginLoop",
    "LoginRefused",
    "MayPass",
    "MethodNotAllowed",
    "Misdirected",
    "NotAllowed",
    "NotFound",
    "PageKept",
    "ProviderAway",
    "ProviderBusy",
    "ProviderNonsense",
    "ProviderPaused",
    "ProviderRefusedUs",
    "ProviderUnavailable",
    "ProxyError",
    "RequestTooSlow",
    "SessionTooLarge",
    "SessionsUnavailable",
    "SignInRequired",
    "SignOutUnconfirmed",
    "SignatureRefused",
    "TokenMalformed",
    "TokenRefused",
    "TooManyAtOnce",
    "TooManyWrongTokens",
    "TooMuchHeld",
    "UpstreamBusy",
    "UpstreamNonsense",
    "UpstreamTimeout",
    "UpstreamUnreachable",
    "VersionNotSupported",
]
