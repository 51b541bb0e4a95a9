"""The parts of the settings: what stands together in one mapping of the file, and what must fit in there."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

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

from oauth_proxy.settings import addresses, checks, keys, rules
from oauth_proxy.settings.fields import (
    Duration,
    File,
    Flag,
    Folder,
    Issued,
    Listener,
    LocalListener,
    Recheck,
    Rule,
    SessionKey,
    Store,
    Url,
)
from oauth_proxy.settings.written import Written

DEFAULT_SCOPES: Mapping[str, tuple[str, ...]] = {
    "v2": ("offline", "account.read"),
    "v4": ("openid", "email", "profile", "offline_access", "additional_info.roles"),
}
"""Identity and a refresh token, for each api."""

_DAY = 86_400.0


class Part(BaseModel):
    """A mapping of the file: frozen, without unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )


class Tls(Part):
    """Serve https ourselves, with these files; without `tls`, whatever stands in front does."""

    cert: File
    """The certificate and its chain, PEM. A relative path begins at the folder of this file."""
    key: File
    """The private key, PEM."""


class Frameio(Part):
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
    logout_url: Url | None = None
    """Where sign-out sends the browser in the end, so that it ends at the provider too; off unless set."""


class Cookie(Part):
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


class Session(Part):
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
    store: Store = "cookie"
    """cookie: sealed, in the browser. sqlite:/path/file.db: what a restart must not forget, too. For replicas
    redis://host:6379/0, redis+sentinel://host,host2/service or redis+cluster://host,host2; rediss is TLS."""

    @property
    def keys(self) -> list[bytes]:
        """The raw keys of 32 bytes; the first seals, all of them open."""
        return [key.get_secret_value() for key in self.secret]

    @field_validator("idle")
    @classmethod
    def _idle_within_lifetime(cls, idle: float, info: ValidationInfo) -> float:
        return checks.idle(idle, info.data.get("lifetime"))


class Upstream(Part):
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


class Access(Part):
    """Who may enter, and what needs no sign-in."""

    allow: Annotated[tuple[Rule, ...], Field(min_length=1), AfterValidator(checks.everyone_alone)]
    """[everyone], or rules: email: "*@studio.example.com", account: UUID, team: UUID, the latter two also with
    role: beside them. One that fits is enough."""
    public: tuple[
        Annotated[rules.PublicRule, Written(rules.parse_public_rule, rules.PublicRule.written)], ...
    ] = ()
    """What reaches the tool without session and token: "GET /healthz", "/assets/*" (GET and HEAD)."""
    bearer: Flag = False
    """Let programs in with a Frame.io token of their own, sent as Authorization: Bearer; allow decides as ever."""
    recheck: Recheck = 3600.0
    """Profile and standing are asked again this often with the present token, refreshed or not; at least 1m."""


class Webhook(Part):
    """A path that Frame.io itself calls, for a webhook or a custom action: by POST, signed, without a session."""

    secret: Annotated[tuple[Issued, ...], Field(min_length=1, max_length=10), BeforeValidator(checks.several)]
    """The secret that Frame.io signs with, as shown when the webhook was made. In a list, any of them will do."""

    @property
    def keys(self) -> list[bytes]:
        """The secrets as they enter a signature."""
        return [secret.get_secret_value().encode("ascii") for secret in self.secret]


class Admin(Part):
    """The listener for /metrics, /healthz and /readyz, apart from the public one."""

    listen: Listener = addresses.Listen("127.0.0.1", 4181)
    """host:port, unix:/path, or {path: …, mode: "0660", group: …} for who may connect."""


class ToolApi(Part):
    """Where a tool asks for a fresh token of a visitor, by the handle it received; off unless set."""

    listen: LocalListener
    """unix:/path, {path: …, mode: "0660", group: …}, or a port of this machine alone: 127.0.0.1:4182."""


class Log(Part):
    """What the proxy writes down."""

    format: Literal["text", "json"] = "text"
    """text for people, json for machines."""
    access: Flag = True
    """A line for each request."""


class Pages(Part):
    """The few pages that visitors see of the proxy itself."""

    name: Annotated[str, Written(checks.shown_name)] | None = None
    """What the pages call your tool; by default the host of public_url."""
    templates: Folder | None = None
    """A folder with Jinja2 templates that replace ours of the same name."""
