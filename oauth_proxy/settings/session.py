"""The section `session`: the secrets that seal it, how long it lasts, its cookie, and where it is kept."""

import base64
import binascii
import re
import secrets
from functools import cache
from itertools import pairwise
from typing import Annotated, Literal
from urllib.parse import urlsplit

from publicsuffixlist import PublicSuffixList
from pydantic import AfterValidator, BeforeValidator, Field, SecretBytes, ValidationInfo, field_validator

from oauth_proxy.settings.addresses import is_ip, parse_domain
from oauth_proxy.settings.fields import FromText, Section, reading, split_entries
from oauth_proxy.settings.problems import Refused
from oauth_proxy.settings.scalars import Duration, Flag, write_duration
from oauth_proxy.settings.stores import Store

_DAY = 86_400.0
_SECRET_BYTES = 32
_SHORTEST_TEXT = 43
"""Characters of 32 bytes in base64 without padding."""
_ADVICE = "`oauth-proxy secret` prints a good one"
_COOKIE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")


def parse_session_secret(text: str) -> bytes:
    """The 32 bytes in base64 or base64url, with or without padding; refused if a person seems to have chosen them.

    Of random secrets fewer than one in a hundred million is refused.
    """
    try:
        standard = text.translate(str.maketrans("-_", "+/")).rstrip("=")
        secret = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        spaces = ", without spaces" if re.search(r"\s", text) else ""
        raise Refused(f"a session secret is 32 random bytes in base64{spaces}; {_ADVICE}") from None
    if re.fullmatch("[0-9a-fA-F]{64}", text):
        raise Refused(f"a session secret is 32 random bytes in base64, and this is hexadecimal; {_ADVICE}")
    if len(secret) != _SECRET_BYTES:
        raise Refused(f"a session secret is 32 random bytes in base64, and this is {len(secret)}; {_ADVICE}")
    if _seems_chosen(text, secret):
        raise Refused(f"this session secret can be guessed, because it is not random; {_ADVICE}")
    return secret


def fresh_secret() -> str:
    """A new session secret: 32 random bytes in base64."""
    return base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode("ascii")


def _seems_chosen(text: str, secret: bytes) -> bool:
    steps = {(after - before) % 256 for before, after in pairwise(secret)}
    return (
        len(set(secret)) <= 16  # repeats: 32 random bytes have about 30 different values
        or len(steps) <= 12  # counts up or down
        or all(0x20 <= byte < 0x7F for byte in secret)  # words, encoded
        or text in (text.lower(), text.upper())  # words that are also base64
    )


def _split_secrets(value: object) -> object:
    """As `split_entries`; secrets on one line are told from a single one that has spaces in it by their length."""
    entries = value.split() if isinstance(value, str) else []
    return entries if entries and min(map(len, entries)) >= _SHORTEST_TEXT else split_entries(value)


def _require_different_secrets(secrets: tuple[SecretBytes, ...]) -> tuple[SecretBytes, ...]:
    if len(set(secrets)) < len(secrets):
        raise Refused("the same session secret stands here twice")
    return secrets


def _parse_cookie_name(text: str) -> str:
    """A token (RFC 6265 4.1.1), to which the proxy may add a prefix."""
    if re.match("__(host|secure)-", text, re.IGNORECASE):
        suggestion = re.sub("^__[A-Za-z]+-", "", text) or None
        raise Refused("the proxy puts __Host- or __Secure- before the name itself", suggestion)
    if not _COOKIE_NAME.fullmatch(text):
        raise Refused("a cookie's name is letters, digits, '-' and '_', at most 64 of them")
    return text


def _parse_cookie_path(text: str) -> str:
    if text != "/":
        raise Refused("the cookie's path is always '/': elsewhere routes under /oauth2/ would not get it", "/")
    return text


def _require_shareable(domain: str, info: ValidationInfo) -> str:
    """A domain that the public host lies in (RFC 6265 5.1.3) and that is not a public suffix (RFC 6265 5.3)."""
    public_url = reading(info).public_url
    host = urlsplit(public_url).hostname if public_url else None
    if "." not in domain or is_ip(domain):
        raise Refused("a cookie's domain has a dot in it and is not an address")
    suffixes = _public_suffixes()
    if suffixes.is_public(domain):
        raise Refused(
            "anybody may have hosts in this domain, a public suffix (publicsuffix.org): browsers drop the cookie",
            suffixes.privatesuffix(host) if host else None,
        )
    if host and host != domain and not host.endswith(f".{domain}"):
        raise Refused("the host of public_url does not lie in this domain, so browsers would drop the cookie")
    return domain


def _require_not_strict(text: object) -> object:
    if text == "strict":
        raise Refused(
            "strict cannot work: browsers do not send such a cookie on the way back from Frame.io, "
            "so signing in would go round for ever",
            "lax",
        )
    return text


def _require_https_for_none(same_site: str, info: ValidationInfo) -> str:
    public_url = reading(info).public_url
    if same_site == "none" and public_url and not public_url.startswith("https://"):
        raise Refused("none needs https: browsers drop such a cookie over http", "lax")
    return same_site


def _require_none_for_partitioned(partitioned: bool, info: ValidationInfo) -> bool:
    if partitioned and info.data.get("same_site") == "lax":
        raise Refused(
            "only cookies with same_site: none can be partitioned: no other is sent from frames", "false"
        )
    return partitioned


@cache
def _public_suffixes() -> PublicSuffixList:
    """The list of publicsuffix.org, loaded only if a cookie has a domain: that takes 50 ms."""
    return PublicSuffixList()


class Cookie(Section):
    """The session cookie; its name gets __Host- or __Secure- in front wherever browsers allow."""

    name: Annotated[str, FromText(_parse_cookie_name)] = "oauth_proxy"
    """The cookie's name, to which the proxy adds __Host-, or __Secure- with a domain, over https."""
    domain: Annotated[str, FromText(parse_domain), AfterValidator(_require_shareable)] | None = None
    """Share the session with every host of this domain, which is no public suffix (publicsuffix.org). By default
    only the host of public_url gets the cookie."""
    same_site: Annotated[
        Literal["lax", "none"], BeforeValidator(_require_not_strict), AfterValidator(_require_https_for_none)
    ] = "lax"
    """lax, or none where another site shows the tool in a frame."""
    partitioned: Annotated[Flag, AfterValidator(_require_none_for_partitioned)] = Field(
        default_factory=lambda given: given.get("same_site") == "none", json_schema_extra={"default": False}
    )
    """A session of its own in the frames of each other site, which works where browsers block third-party cookies;
    true where same_site is none."""
    path: Annotated[str, FromText(_parse_cookie_path)] = "/"
    """Always /, because the routes under /oauth2/ need the cookie too."""


class Session(Section):
    """How long somebody stays signed in, and where that is kept."""

    secret: Annotated[
        tuple[
            Annotated[
                SecretBytes,
                FromText(lambda text: SecretBytes(parse_session_secret(text)), lambda _: "<hidden, 32 bytes>"),
            ],
            ...,
        ],
        Field(min_length=1, max_length=10),
        AfterValidator(_require_different_secrets),
        BeforeValidator(_split_secrets),
    ]
    """32 random bytes in base64, as `oauth-proxy secret` prints them. A list rotates them: the first seals, all of
    them open. In a file, each stands on a line of its own."""
    lifetime: Duration = 7 * _DAY
    """Longest time from sign-in to the next one."""
    idle: Duration = Field(default_factory=lambda given: min(_DAY, given["lifetime"]))
    """Sign out after this long without a request and with nothing open: by default 24h, or the lifetime where that
    is shorter; never longer than it."""
    cookie: Cookie = Cookie.model_construct()
    store: Store = "cookie"
    """What is remembered beside the sealed cookie in the visitor's browser, and where. cookie: nothing.
    sqlite:/path/file.db: what a restart must not forget. For replicas redis://host:6379/0,
    redis+sentinel://host,host2/service or redis+cluster://host,host2; rediss is TLS."""

    @property
    def keys(self) -> list[bytes]:
        """The secrets as keys of 32 bytes: the first seals, all of them open."""
        return [secret.get_secret_value() for secret in self.secret]

    @field_validator("idle")
    @classmethod
    def _require_idle_within_lifetime(cls, idle: float, info: ValidationInfo) -> float:
        lifetime: float | None = info.data.get("lifetime")  # None: refused
        if lifetime is not None and idle > lifetime:
            raise Refused(
                "idle is longer than lifetime, so it would never end a session", write_duration(lifetime)
            )
        return idle
