"""Where sessions are kept: in the visitor's cookie alone, or also in a Redis that replicas share."""

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

from oauth_proxy.settings import addresses
from oauth_proxy.settings.refusal import Refused

PATTERN = r"^(cookie|rediss?://.+)$"

_DEFAULT_PORT = 6379
_REDIS = re.compile(
    r"(?P<scheme>rediss?)://(?:(?P<user>[^\s:@/]*):(?P<password>[^\s:@/]+)@)?"
    r"(?P<host>\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(?::(?P<port>[0-9]{1,5}))?(?:/(?P<db>[0-9]{1,4})?)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Redis:
    """A Redis database: `host` (no brackets), `port`, number of the `db`; `tls` for rediss://."""

    host: str
    port: int = _DEFAULT_PORT
    db: int = 0
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        login = f"{self.user or ''}:<hidden>@" if self.password else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'s' if self.tls else ''}://{login}{host}:{self.port}/{self.db}"


Store = Literal["cookie"] | Redis


def store(text: str) -> Store:
    """`cookie`, or the Redis in `redis://host:6379/0`, `rediss://user:password@host`; else Refused.

    User and password are percent-encoded, as in every URL (RFC 3986 3.2.1).
    """
    if text == "cookie":
        return "cookie"
    matched = _REDIS.fullmatch(text)
    if not matched:
        redis = re.match("rediss?:", text, re.IGNORECASE)
        raise Refused("the store is cookie or redis://host:6379/0", None if redis else "cookie")
    site = addresses.address(f"http://{matched['host']}:{matched['port'] or _DEFAULT_PORT}")
    return Redis(
        site.host,
        site.port,
        int(matched["db"] or 0),
        matched["scheme"].lower() == "rediss",
        unquote(matched["user"]) if matched["user"] else None,
        unquote(matched["password"]) if matched["password"] else None,
    )
