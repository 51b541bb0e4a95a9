"""Everything that can be set, typed: the tree that the rest of the house is given.

The law: frozen, no unknown keys, and nothing printable shows a secret. Values are what they mean (seconds, bytes,
addresses); dumped with `mode="json"` they are what a person would write. The sentence under a key is what an
editor shows beside it.
"""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from oauth_proxy.settings import addresses, checks, rules
from oauth_proxy.settings.fields import Listener
from oauth_proxy.settings.limits import Limits
from oauth_proxy.settings.parts import (
    Access,
    Admin,
    Frameio,
    Log,
    Pages,
    Part,
    Session,
    Tls,
    ToolApi,
    Upstream,
    Webhook,
)
from oauth_proxy.settings.written import Written

DEFAULT_HEADERS: Mapping[str, str] = {
    "Authorization": "Bearer {access_token}",
    "X-Forwarded-User": "{id}",
    "X-Forwarded-Email": "{email}",
    "X-Forwarded-Preferred-Username": "{name}",
}
HANDLE_HEADER: Mapping[str, str] = {"X-OAuth-Proxy-Handle": "{handle}"}
"""What is added to them where the tool can use it."""


class Settings(Part):
    """oauth-proxy: Frame.io sign-in in front of a web tool."""

    public_url: Annotated[str, Written(addresses.public_url, schema={"pattern": "^https?://"})]
    """What visitors type, such as https://review.example.com. The callback is {public_url}/oauth2/callback."""
    listen: Listener = addresses.Listen("127.0.0.1", 4180)
    """host:port, unix:/path, or {path: …, mode: "0660", group: …} for who may connect."""
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
    admin: Annotated[Admin, Field(validate_default=True)] = Admin()
    tool_api: ToolApi | None = None
    headers: Annotated[
        Mapping[Annotated[str, Written(rules.header_name)], Annotated[str, Written(rules.header_template)]],
        AfterValidator(checks.names_differ),
    ] = Field(
        default_factory=lambda given: {**DEFAULT_HEADERS, **(HANDLE_HEADER if given["tool_api"] else {})},
        json_schema_extra={"default": {**DEFAULT_HEADERS}},
    )
    """Headers for the tool, in place of the default ones; whatever visitors send under these names is struck."""
    limits: Limits = Limits()
    trusted_proxies: tuple[Annotated[addresses.Network, Written(addresses.network)], ...] = ()
    """Addresses or ranges whose X-Forwarded-For is believed; nobody's by default."""
    auth_request_from: tuple[Annotated[addresses.Network, Written(addresses.network)], ...] = ()
    """Front proxies that ask /oauth2/auth before they forward: they are told the visitor's token there, and must
    keep that address from visitors. Nobody by default."""
    log: Log = Log()
    pages: Pages = Pages()

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
        checks.apart("admin.listen", admin.listen, {"the public listener": info.data.get("listen")})
        return admin

    @field_validator("tool_api")
    @classmethod
    def _tool_api_apart(cls, tool_api: ToolApi, info: ValidationInfo) -> ToolApi:
        admin: Admin | None = info.data.get("admin")
        others = {"the public listener": info.data.get("listen"), "admin.listen": admin.listen if admin else None}
        checks.apart("tool_api.listen", tool_api.listen, others)
        return tool_api

    @field_validator("headers")
    @classmethod
    def _handles_are_useful(cls, headers: Mapping[str, str], info: ValidationInfo) -> Mapping[str, str]:
        return checks.handles(headers, useful=info.data.get("tool_api", True) is not None)
