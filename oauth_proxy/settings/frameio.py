"""What Frame.io issues to the proxy: the section `frameio`, its OAuth app, and the secrets of `webhooks`."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr

from oauth_proxy.settings.addresses import Url
from oauth_proxy.settings.fields import FromText, Reading, Section, split_entries
from oauth_proxy.settings.problems import Refused
from oauth_proxy.settings.proxies import Proxies, read_proxies
from oauth_proxy.settings.tls import CaFile

DEFAULT_SCOPES: Mapping[str, tuple[str, ...]] = {
    "v2": ("offline", "account.read"),
    "v4": ("openid", "email", "profile", "offline_access", "additional_info.roles"),
}
"""For each api the scopes that identity and a refresh token need."""

_PLACEHOLDER = re.compile(
    r"(?:change|replace)[-_ ]?(?:me|this|it).*|your[-_ ].*|<.*>|x{3,}|\.+|…|todo|tbd|placeholder|example|dummy",
    re.IGNORECASE,
)
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,100}")


def parse_issued(text: str) -> str:
    """A client id or a secret that Frame.io issued; refused if it is a placeholder or not pasted as a whole."""
    if _PLACEHOLDER.fullmatch(text):
        raise Refused("this is a placeholder; Frame.io shows the real one on the app's page")
    if not re.fullmatch(r"[\x21-\x7e]{1,1000}", text):
        raise Refused("this is not what Frame.io issues: it has spaces or characters outside ASCII in it")
    return text


def _parse_scope(text: str) -> str:
    """One scope-token (RFC 6749 3.3)."""
    if not _SCOPE.fullmatch(text):
        raise Refused("each scope is one word; several stand in a list")
    return text


_IssuedSecret = Annotated[SecretStr, FromText(lambda text: SecretStr(parse_issued(text)), lambda _: "<hidden>")]


class Frameio(Section):
    """The OAuth app that you registered with Frame.io, or with Adobe for v4."""

    api: Literal["v2", "v4"]
    """v4: sign-in by Adobe. v2: applications.frame.io, for accounts that are not yet on V4."""
    client_id: Annotated[str, FromText(parse_issued)]
    """The app's client id."""
    client_secret: _IssuedSecret | None = None
    """The app's secret, better as ${FRAMEIO_CLIENT_SECRET} or client_secret_file. Without one the app is a PKCE
    app. Adobe grants its Single Page App credential no refresh token: with v4 a session then ends with its access
    token, by a quiet trip through the login."""
    scopes: Annotated[tuple[Annotated[str, FromText(_parse_scope)], ...], Field(min_length=1)] = Field(
        default_factory=lambda given: DEFAULT_SCOPES[given["api"]]
    )
    """What visitors consent to. By default who they are, and a refresh token: openid, email, profile,
    offline_access and additional_info.roles for v4; offline and account.read for v2."""
    authorize_url: Url | None = None
    """Where visitors sign in. Only to point elsewhere, to an emulator or a staging host; by default Frame.io's, or
    for v4 Adobe's."""
    token_url: Url | None = None
    """Where codes and refresh tokens are redeemed. Only to point elsewhere."""
    api_url: Url | None = None
    """The API whose /v2/me or /v4/me says who signed in. Only to point elsewhere."""
    revoke_url: Url | None = None
    """Where tokens are revoked at sign-out: for v4 Adobe's address. v2 documents none, so there it is off unless
    set."""
    logout_url: Url | None = None
    """Where sign-out sends the browser in the end, so that it ends at the provider too; off unless set."""
    ca_file: CaFile | None = None
    """PEM file of the authorities to trust for Frame.io, instead of the system's: for networks that open TLS."""
    _proxies: Proxies = PrivateAttr(default=Proxies())

    def model_post_init(self, context: Any) -> None:
        """pydantic calls this once the fields are there: the environment is none of them."""
        if isinstance(context, Reading):
            self._proxies = read_proxies(context.environ)

    @property
    def proxies(self) -> Proxies:
        """The proxies that the environment names."""
        return self._proxies


class Webhook(Section):
    """A path that Frame.io itself calls, for a webhook or a custom action: by POST, signed, without a session."""

    secret: Annotated[
        tuple[_IssuedSecret, ...], Field(min_length=1, max_length=10), BeforeValidator(split_entries)
    ]
    """The secret that Frame.io signs with, as shown when the webhook was made. In a list, any of them will do."""

    @property
    def keys(self) -> list[bytes]:
        """The secrets as keys of the signature; a valid signature has been made with any one of them."""
        return [secret.get_secret_value().encode("ascii") for secret in self.secret]
