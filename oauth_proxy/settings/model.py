"""Everything that can be set, typed: the tree that the rest of the house is given.

The law: frozen, no unknown keys, and nothing printable shows a secret. Values are what they mean (seconds, bytes,
addresses); dumped with `mode="json"` they are what a person would write. The sentence under a key is what an
editor shows beside it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from oauth_proxy.settings import addresses, checks, keys, rules, stores
from oauth_proxy.settings.fields import Duration, File, Flag, Folder, Issued, Listener, Rule, SessionKey, Url
from oauth_proxy.settings.limits import Limits
from oauth_proxy.settings.written import Written

DEFAULT_SCOPES: Mapping[str, tuple[str, ...]] = {
    "v2": ("offline", "account.read"),
    "v4": ("openid", "email", "profile", "offline_access", "additional_info.roles"),
}
"""Identity and a refresh token, for each api."""

DEFAULT_HEADERS: Mapping[str, str] = {
    "Authorization": "Bearer {access_token}",
    "X-Forwarded-User": "{id}",
    "X-Forwarded-Email": "{email}",
    "X-Forwarded-Preferred-Username": "{name}",
}

_DAY = 86_400.0


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )


class Tls(_Model):
    """Serve https ourselves, with these files; without `tls`, whatever stands in front does."""

    cert: File
    """The certificate and its chain, PEM. A relative path begins at the folder of this file."""
    key: File
    """The private key, PEM."""


class Frameio(_Model):
    """The OAuth app that you registered with Frame.io, or with Adobe for v4."""

    api: Literal["v2", "v4"]
    """v4: Adobe sign-in. v2: applications.frame.io, for accounts that are not yet on V4."""
    client_id: Annotated[str, Written(keys.issued)]
    """The app's client id."""
    client_secret: Issued | None = None
    """The app's secret; leave it out for a PKCE app. Better ${FRAMEIO_CLIENT_SECRET} or client_secret_file."""
    scopes: Annotated[tuple[Annotated[str, Written(checks.scope)], ...], Field(min_length=1)] = Field(
        default_factory=lambda given: DEFAULT_SCOPES[given["api"]]
    )
    """What visitors consent to. By default who they are, and a refresh token."""
    authorize_url: Url | None = None
    """Only to point elsewhere (an emulator, a staging host): where visitors sign in."""
    token_url: Url | None = None
    """Only to point elsewhere: where codes and refresh tokens are redeemed."""
    api_url: Url | None = None
    """Only to point elsewhere: the API whose /v2/me or /v4/me says who signed in."""
    revoke_url: Url | None = None
    """Where tokens are revoked at sign-out. v2 documents no such address, so there it is off unless set."""


class Cookie(_Model):
    """The session cookie; its name gets __Host- or __Secure- in front wherever browsers allow."""

    name: Annotated[str, Written(checks.cookie_name)] = "oauth_proxy"
    """The cookie's name, without __Host- or __Secure-."""
    domain: Annotated[str, Written(addresses.domain), AfterValidator(checks.cookie_domain)] | None = None
    """Share the session with every host of this domain. By default only the host of public_url gets the cookie."""
    same_site: Annotated[
        Literal["lax", "none"], BeforeValidator(checks.not_strict), AfterValidator(checks.same_site)
    ] = "lax"
    """lax, or none where another site shows the tool in a frame."""
    path: Annotated[str, Written(checks.cookie_path)] = "/"
    """Always /, because the routes under /oauth2/ need the cookie too."""


class Session(_Model):
    """How long somebody stays signed in, and where that is kept."""

    secret: Annotated[
        tuple[SessionKey, ...],
        Field(min_length=1, max_length=10),
        AfterValidator(checks.different),
        BeforeValidator(checks.several),
    ]
    """32 random bytes in base64 (`oauth-proxy secret`). A list rotates them: the first seals, all of them open."""
    lifetime: Duration = 7 * _DAY
    """Longest time from sign-in to the next one."""
    idle: Duration = Field(default_factory=lambda given: min(_DAY, given["lifetime"]))
    """Sign out after this long without a request; 24h, or the lifetime where that is shorter."""
    cookie: Cookie = Cookie()
    store: Annotated[stores.Store, Written(stores.store, schema={"pattern": stores.PATTERN})] = "cookie"
    """cookie: sealed, in the browser. redis://host:6379/0 or rediss:// (TLS): replicas share what they know."""
    revocations: Annotated[Path, Written(Path), AfterValidator(checks.written_file)] | None = None
    """A file that remembers sign-outs and `oauth-proxy revoke` across restarts; without one, Redis or memory."""

    @property
    def keys(self) -> list[bytes]:
        """The raw keys of 32 bytes; the first seals, all of them open."""
        return [key.get_secret_value() for key in self.secret]

    @field_validator("idle")
    @classmethod
    def _idle_within_lifetime(cls, idle: float, info: ValidationInfo) -> float:
        return checks.idle(idle, info.data.get("lifetime"))


class Upstream(_Model):
    """A tool behind the proxy; a URL alone is short for {url: …}."""

    url: Annotated[addresses.Address, Written(addresses.address)]
    """http://host:3000, https://host/base, unix:/run/tool.sock or unix:/run/tool.sock:/base."""
    timeout: Duration = 30.0
    """How long the tool may be silent before the visitor gets a 504."""
    host: Literal["pass", "upstream"] = "pass"
    """The Host header that the tool sees: the visitor's (pass), or its own (upstream)."""

    @model_validator(mode="before")
    @classmethod
    def _from_url(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value


class Access(_Model):
    """Who may enter, and what needs no sign-in."""

    allow: Annotated[tuple[Rule, ...], Field(min_length=1), AfterValidator(checks.everyone_alone)]
    """[everyone], or rules: email: "*@studio.example.com", account: UUID, team: UUID, the latter two also with
    role: beside them. One that fits is enough."""
    public: tuple[Annotated[rules.PublicRule, Written(rules.public_rule, rules.PublicRule.written)], ...] = ()
    """What reaches the tool without session and token: "GET /healthz", "/assets/*" (GET and HEAD)."""
    bearer: Flag = False
    """Let programs in with a Frame.io token of their own, sent as Authorization: Bearer; allow decides as ever."""


class Webhook(_Model):
    """A path that Frame.io itself calls, for a webhook or a custom action: by POST, signed, without a session."""

    secret: Annotated[tuple[Issued, ...], Field(min_length=1, max_length=10), BeforeValidator(checks.several)]
    """The secret that Frame.io signs with, as shown when the webhook was made. In a list, any of them will do."""

    @property
    def keys(self) -> list[bytes]:
        """The secrets as they enter a signature."""
        return [secret.get_secret_value().encode("ascii") for secret in self.secret]


class Admin(_Model):
    """The listener for /metrics, /healthz and /readyz, apart from the public one."""

    listen: Listener = addresses.Listen("127.0.0.1", 4181)
    """host:port or unix:/path."""


class Log(_Model):
    """What the proxy writes down."""

    format: Literal["text", "json"] = "text"
    """text for people, json for machines."""
    access: Flag = True
    """A line for each request."""


class Pages(_Model):
    """The few pages that visitors see of the proxy itself."""

    name: Annotated[str, Written(checks.shown_name)] | None = None
    """What the pages call your tool; by default the host of public_url."""
    templates: Folder | None = None
    """A folder with Jinja2 templates that replace ours of the same name."""


class Settings(_Model):
    """oauth-proxy: Frame.io sign-in in front of a web tool."""

    public_url: Annotated[str, Written(addresses.public_url, schema={"pattern": "^https?://"})]
    """What visitors type, such as https://review.example.com. The callback is {public_url}/oauth2/callback."""
    listen: Listener = addresses.Listen("127.0.0.1", 4180)
    """host:port or unix:/path."""
    tls: Tls | None = None
    frameio: Frameio
    session: Session
    upstreams: Annotated[Mapping[Annotated[str, Written(rules.prefix)], Upstream], Field(min_length=1)]
    """Path prefix → URL. The longest prefix wins, and the URL takes its place: /render/x → http://host:3000/x."""
    access: Access
    webhooks: Annotated[
        Mapping[Annotated[str, Written(rules.webhook_path)], Webhook], AfterValidator(checks.paths_differ)
    ] = Field(default_factory=dict)
    """Path → {secret: …} of Frame.io's own calls. Only what is signed with the secret reaches the tool there."""
    headers: Annotated[
        Mapping[Annotated[str, Written(rules.header_name)], Annotated[str, Written(rules.header_template)]],
        AfterValidator(checks.names_differ),
    ] = DEFAULT_HEADERS
    """Headers for the tool, in place of the default ones; whatever visitors send under these names is struck."""
    trusted_proxies: tuple[Annotated[addresses.Network, Written(addresses.network)], ...] = ()
    """Addresses or ranges whose X-Forwarded-For is believed; nobody's by default."""
    auth_request_from: tuple[Annotated[addresses.Network, Written(addresses.network)], ...] = ()
    """Front proxies that ask /oauth2/auth before they forward: they are told the visitor's token there, and must
    keep that address from visitors. Nobody by default."""
    admin: Annotated[Admin, Field(validate_default=True)] = Admin()
    log: Log = Log()
    pages: Pages = Pages()
    limits: Limits = Limits()

    @property
    def host(self) -> str:
        """The `host[:port]` that requests carry in their Host header."""
        return urlsplit(self.public_url).netloc

    @property
    def shown_name(self) -> str:
        """What the pages call the tool."""
        return self.pages.name or self.host

    @property
    def secure(self) -> bool:
        """Whether visitors come by https."""
        return self.public_url.startswith("https://")

    @field_validator("access")
    @classmethod
    def _standing_can_be_told(cls, access: Access, info: ValidationInfo) -> Access:
        frameio: Frameio | None = info.data.get("frameio")
        if frameio is not None:
            checks.standing(access.allow, frameio.api, frameio.scopes)
        return access

    @field_validator("admin")
    @classmethod
    def _admin_apart(cls, admin: Admin, info: ValidationInfo) -> Admin:
        checks.admin_apart(admin.listen, info.data.get("listen"))
        return admin
