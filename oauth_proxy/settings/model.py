"""The settings as a tree of frozen values; nothing printable shows a secret.

A value is what it means (seconds, bytes, an address), and `model_dump(mode="json")` returns what is written in the
file. The text under a key is what an editor shows beside it.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from oauth_proxy.settings.access import Access, Denying, Narrowing, Rule, expanded, require_decidable
from oauth_proxy.settings.addresses import (
    Network,
    UpstreamUrl,
    parse_path_prefix,
    parse_public_url,
    parse_upstream_url,
    parse_webhook_path,
    require_different_paths,
)
from oauth_proxy.settings.fields import FromText, Section
from oauth_proxy.settings.frameio import Frameio, Webhook
from oauth_proxy.settings.headers import DEFAULT_HEADERS, HANDLE_HEADER, Headers, any_has
from oauth_proxy.settings.listeners import Listen, Listener, LocalListener, require_different
from oauth_proxy.settings.log import Log
from oauth_proxy.settings.pages import Pages
from oauth_proxy.settings.problems import Refused
from oauth_proxy.settings.processors import processors
from oauth_proxy.settings.scalars import Connections, Delay, Duration, Flag, Rate, Workers
from oauth_proxy.settings.session import Session
from oauth_proxy.settings.tls import CaFile, Pair, TlsList

_DRAIN_AT_RELOAD, _DRAIN_AT_STOP = 3600.0, 30.0


class UpstreamSettings(Section):
    """A tool behind the proxy; a URL alone is short for {url: …}."""

    url: Annotated[UpstreamUrl, FromText(parse_upstream_url)]
    """http://host:3000, https://host/base, unix:/run/tool.sock or unix:/run/tool.sock:/base."""
    timeout: Duration = 30.0
    """How long the tool may be silent before the visitor gets a 504; event streams and WebSockets may for ever."""
    host: Literal["pass", "upstream"] = "pass"
    """The Host header that the tool sees: the visitor's (pass), or its own (upstream). Where that tool is
    Frame.io's v4 API itself, it is then also told of legacy developer tokens (fio-u-…, with access.bearer) by
    x-frameio-legacy-token-auth, which no visitor sends it."""
    strip: Flag = True
    """false: the tool sees its prefix, in front of the rest of the path."""
    rewrite: Flag = False
    """true: redirects and cookie paths of a tool that does not know its prefix are rewritten, not its pages."""
    allow: Narrowing | None = None
    """Rules as in access.allow: of those who may enter, only whom one of them fits gets to this tool."""
    deny: Denying = ()
    """Rules as in access.deny: whom one of them fits does not get to this tool."""
    ca_file: CaFile | None = None
    """For https: PEM file of the authorities that vouch for the tool, or of its own certificate where that is
    self-signed; by default the system's authorities."""
    client_cert: Pair | None = None
    """For https: {cert: …, key: …} by which the tool knows the proxy (mutual TLS)."""
    verify: Flag = True
    """For https: false takes whoever answers for the tool, and gives them every visitor's token. ca_file is the
    way out."""

    @model_validator(mode="before")
    @classmethod
    def _from_url(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @field_validator("ca_file", "client_cert", "verify")
    @classmethod
    def _require_tls(cls, value: Any, info: ValidationInfo) -> Any:
        url: UpstreamUrl | None = info.data.get("url")
        if url is not None and url.scheme != "https" and value is not True:
            raise Refused("this is about TLS, and the tool's URL is not https")
        if info.field_name == "verify" and value is False and info.data.get("ca_file") is not None:
            raise Refused("with ca_file the tool is verified; keep one or the other")
        return value


class Admin(Section):
    """The listener for /metrics, /healthz, /readyz and the status page, apart from the public one."""

    listen: Listener = Listen("127.0.0.1", 4181)
    """host:port, unix:/path, or {path: …, mode: "0660", group: …} for who may connect."""


class ToolApi(Section):
    """Where a tool asks for a fresh token of a visitor, by the handle it received; off unless set."""

    listen: LocalListener
    """unix:/path, {path: …, mode: "0660", group: …}, or a port of this machine alone."""


class Limits(Section):
    """Bounds on what visitors may take; set only what must differ."""

    connections: Connections | None = None
    """Most connections of visitors. By default half of the open files that the system allows, at most 16384."""
    body_rate: Rate = 240
    """A request's body that comes with less than this a second, over a minute, is given up with 408. Only the
    waits for the visitor count."""


class Settings(Section):
    """oauth-proxy: Frame.io sign-in in front of a web tool."""

    public_url: Annotated[str, FromText(parse_public_url, schema={"title": "URL", "pattern": "^https?://"})]
    """What visitors type: https://host[:port]. http only for localhost. The callback is
    {public_url}/oauth2/callback."""
    listen: Listener = Listen("127.0.0.1", 4180)
    """host:port, unix:/path, or {path: …, mode: "0660", group: …} for who may connect. Without a mode only the
    proxy's own user connects to a socket, or with a group its members too. A socket that systemd hands over has
    the same address."""
    workers: Workers = 1
    """How many processes serve, or auto: one for each processor that the proxy may use. They share what is
    remembered, and limits.connections."""
    tls: TlsList | None = None
    """{cert: …, key: …} to serve https ourselves, or a list of them: the host that visitors name chooses, and the
    first is for all other names. Files that change are read again."""
    frameio: Frameio
    session: Session
    upstreams: Annotated[
        Mapping[Annotated[str, FromText(parse_path_prefix)], UpstreamSettings], Field(min_length=1)
    ]
    """Path prefix → URL. The longest prefix wins, and the URL takes its place: /render/x → http://host:3000/x."""
    access: Access
    webhooks: Annotated[
        Mapping[Annotated[str, FromText(parse_webhook_path)], Webhook], AfterValidator(require_different_paths)
    ] = Field(default_factory=dict)
    """Path → {secret: …} of Frame.io's own calls. Only what is signed with the secret reaches the tool there."""
    admin: Annotated[Admin, Field(validate_default=True)] = Admin.model_construct()
    tool_api: ToolApi | None = None
    headers: Headers = Field(
        default_factory=lambda given: {**DEFAULT_HEADERS, **(HANDLE_HEADER if given["tool_api"] else {})},
        json_schema_extra={"default": {**DEFAULT_HEADERS}},
    )
    """Header to text with placeholders, for the tool: yours take the place of all default ones. Whatever visitors
    send under these names is struck. With tool_api there is a fifth by default, X-OAuth-Proxy-Handle."""
    limits: Limits = Limits.model_construct()
    trusted_proxies: tuple[Network, ...] = ()
    """Addresses or ranges whose X-Forwarded-For is believed; nobody's by default."""
    auth_request_from: tuple[Network, ...] = ()
    """Front proxies that ask /oauth2/auth before they forward: they are told the visitor's token there, and must
    keep that address from visitors. Nobody by default."""
    log: Log = Log.model_construct()
    pages: Pages = Pages.model_construct()
    reload: Literal["signal", "watch"] = "signal"
    """When this file is read again: at SIGHUP and `oauth-proxy reload FILE` (signal), or also when it, or a file
    that it names, has changed (watch). Nobody is cut off."""
    drain: Duration | None = None
    """How long open requests may go on: by default 1h after a reload, where new workers serve already, and 30s
    after a stop."""
    drain_delay: Delay = 0.0
    """How long a stop waits, as not ready, before it lets nobody in: load balancers need time to notice."""

    @property
    def host(self) -> str:
        """The `host[:port]` that requests have in their Host header."""
        return urlsplit(self.public_url).netloc

    @property
    def shown_name(self) -> str:
        """The tool's name on the pages."""
        return self.pages.name or self.host

    @property
    def worker_count(self) -> int:
        """How many processes serve."""
        return self.workers or processors()

    @property
    def drain_at_reload(self) -> float:
        """Seconds for which requests may go on after a reload."""
        return _DRAIN_AT_RELOAD if self.drain is None else self.drain

    @property
    def drain_at_stop(self) -> float:
        """Seconds for which requests may go on after a stop."""
        return _DRAIN_AT_STOP if self.drain is None else self.drain

    @property
    def secure(self) -> bool:
        """Whether visitors come by https."""
        return self.public_url.startswith("https://")

    def rules(self) -> Iterator[Rule]:
        """Every rule about people in the file, those of groups that some list names included."""
        for rules in self.lists():
            yield from expanded(rules, self.access.groups)

    def lists(self) -> Iterator[tuple[Rule, ...]]:
        """Every allow and every deny, as they are written."""
        yield from (self.access.allow, self.access.deny, *_lists(self.upstreams))

    # pydantic validates the fields in their order; one that was refused is not in `info.data`.

    @field_validator("upstreams")
    @classmethod
    def _require_decidable_narrowing(
        cls, upstreams: Mapping[str, UpstreamSettings], info: ValidationInfo
    ) -> Mapping[str, UpstreamSettings]:
        frameio: Frameio | None = info.data.get("frameio")
        if frameio is not None:
            rules = (rule for each in _lists(upstreams) for rule in each)
            require_decidable(rules, frameio.api, frameio.scopes)
        return upstreams

    @field_validator("access")
    @classmethod
    def _require_decidable_rules(cls, access: Access, info: ValidationInfo) -> Access:
        frameio: Frameio | None = info.data.get("frameio")
        if frameio is not None:
            rules = (rule for each in (access.allow, access.deny, *access.groups.values()) for rule in each)
            require_decidable(rules, frameio.api, frameio.scopes)
        return access

    @field_validator("admin")
    @classmethod
    def _require_admin_apart(cls, admin: Admin, info: ValidationInfo) -> Admin:
        require_different("admin.listen", admin.listen, {"the public listener": info.data.get("listen")})
        return admin

    @field_validator("tool_api")
    @classmethod
    def _require_tool_api_apart(cls, tool_api: ToolApi, info: ValidationInfo) -> ToolApi:
        admin: Admin | None = info.data.get("admin")
        others = {"the public listener": info.data.get("listen"), "admin.listen": admin.listen if admin else None}
        require_different("tool_api.listen", tool_api.listen, others)
        return tool_api

    @field_validator("headers")
    @classmethod
    def _require_tool_api_for_handles(cls, headers: Mapping[str, str], info: ValidationInfo) -> Mapping[str, str]:
        is_off = "tool_api" in info.data and info.data["tool_api"] is None
        if is_off and any_has(headers, "handle"):
            raise Refused("the placeholder {handle} needs tool_api, where tools exchange it for a fresh token")
        return headers


def _lists(upstreams: Mapping[str, UpstreamSettings]) -> Iterator[tuple[Rule, ...]]:
    for each in upstreams.values():
        yield each.allow or ()
        yield each.deny
