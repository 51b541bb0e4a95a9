"""The setting `session.store`: the cookie alone, a SQLite file, or a Redis that replicas share."""

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, cast
from urllib.parse import unquote

from pydantic import AfterValidator, ValidationInfo

from oauth_proxy.settings import hints
from oauth_proxy.settings.addresses import bracketed, parse_upstream_url
from oauth_proxy.settings.fields import FromText, reading
from oauth_proxy.settings.problems import Refused, not_from_windows, one_of, reason

Mode = Literal["single", "sentinel", "cluster"]
Node = tuple[str, int]
"""Host (no brackets) and port."""

_PATTERN = r"^(cookie|sqlite:.+|rediss?(\+(sentinel|cluster))?://.+)$"

_FORMS: dict[Mode, str] = {
    "single": "redis://host:6379/0",
    "sentinel": "redis+sentinel://host:26379,host2:26379/service/0",
    "cluster": "redis+cluster://host:7000,host2:7000",
}
_DEFAULT_PORTS: dict[Mode, int] = {"single": 6379, "sentinel": 26379, "cluster": 6379}
_WRONG_PATHS: dict[Mode, str] = {
    "single": f"after the host of a Redis stands the number of a database, as in {_FORMS['single']}",
    "sentinel": f"after the hosts of sentinels stands the name of their service, as in {_FORMS['sentinel']}",
    "cluster": "a Redis cluster has only database 0, so nothing stands after its hosts",
}
_FILE = re.compile(r"sqlite:(?P<path>.*)", re.IGNORECASE | re.DOTALL)
_REDIS = re.compile(
    r"redis(?P<tls>s?)(?:\+(?P<mode>sentinel|cluster))?://(?:(?P<user>[^\s:@/]*):(?P<password>[^\s:@/]+)@)?"
    r"(?P<nodes>[^\s/?#@]+)(?:/(?P<path>[^\s?#@]*))?",
    re.IGNORECASE,
)
_NODE = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE)
_PATHS: dict[Mode, re.Pattern[str]] = {
    "single": re.compile(r"(?P<service>)(?P<db>[0-9]{0,4})"),
    "sentinel": re.compile(r"(?P<service>[A-Za-z0-9._-]{1,100})(?:/(?P<db>[0-9]{0,4}))?"),
    "cluster": re.compile(r"(?P<service>)(?P<db>)"),
}


@dataclass(frozen=True, slots=True)
class Sqlite:
    """A SQLite file on this machine; in Settings `path` is absolute."""

    path: Path

    def __str__(self) -> str:
        return f"sqlite:{self.path}"


@dataclass(frozen=True, slots=True)
class Redis:
    """A Redis database: the first `nodes` to connect to, the `service` that sentinels know, the number `db`.

    The mode `single` has one node; a cluster has only database 0. `tls` is what `rediss` asks for.
    """

    nodes: tuple[Node, ...]
    mode: Mode = "single"
    service: str | None = None
    db: int = 0
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        """The first node's host."""
        return self.nodes[0][0]

    @property
    def port(self) -> int:
        """The first node's port."""
        return self.nodes[0][1]

    @property
    def scheme(self) -> str:
        """The URL's scheme."""
        return f"redis{'s' if self.tls else ''}{'' if self.mode == 'single' else f'+{self.mode}'}"

    def __str__(self) -> str:
        login = f"{self.user or ''}:<hidden>@" if self.password else ""
        nodes = ",".join(f"{bracketed(host)}:{port}" for host, port in self.nodes)
        path = {"single": f"/{self.db}", "sentinel": f"/{self.service}/{self.db}", "cluster": ""}[self.mode]
        return f"{self.scheme}://{login}{nodes}{path}"


def parse_store(text: str) -> "Store":
    """`cookie`, `sqlite:/path/file.db`, or a Redis in one of its forms.

    User and password are percent-encoded, as in every URL (RFC 3986 3.2.1).
    """
    if text == "cookie":
        return "cookie"
    if file := _FILE.fullmatch(text):
        return Sqlite(_parse_path(file["path"]))
    if re.match(r"rediss?[:+]", text, re.IGNORECASE):
        return _parse_redis(text)
    raise Refused(f"the store is cookie, sqlite:/path/file.db or {_FORMS['single']}", hints.store(text))


def _parse_path(text: str) -> Path:
    if text.startswith("//"):
        raise Refused(
            "a file is written sqlite:/path/file.db, without '//'", "sqlite:" + re.sub("^//+", "/", text[2:])
        )
    if not text or text.endswith("/"):
        raise Refused("sqlite: is followed by the path of a file, as in sqlite:/path/file.db")
    if text.startswith((":", "file:")) or re.search("[?#]", text) or not text.isprintable():
        raise Refused("sqlite: is followed by a path alone, without options and special names")
    return Path(text)


def _parse_redis(text: str) -> Redis:
    match = _REDIS.fullmatch(text)
    if not match:
        if "@" in text:
            raise Refused(
                "a password stands as in redis://:password@host:6379/0, "
                "with %40 for '@', %3A for ':' and %2F for '/' in it"
            )
        raise Refused(f"a Redis is written {one_of(_FORMS.values())}", hints.store(text))
    mode = cast(Mode, (match["mode"] or "single").lower())
    nodes = match["nodes"].split(",")
    if mode == "single" and len(nodes) > 1:
        raise Refused(f"several hosts stand in {_FORMS['sentinel']} or {_FORMS['cluster']}")
    path = _PATHS[mode].fullmatch(match["path"] or "")
    if not path:
        raise Refused(_WRONG_PATHS[mode])
    return Redis(
        tuple(_parse_node(node, _DEFAULT_PORTS[mode]) for node in nodes),
        mode,
        path["service"] or None,
        int(path["db"] or 0),
        bool(match["tls"]),
        unquote(match["user"]) if match["user"] else None,
        unquote(match["password"]) if match["password"] else None,
    )


def _parse_node(text: str, default_port: int) -> Node:
    match = _NODE.fullmatch(text)
    if not match:
        raise Refused("each host of a Redis is written host or host:port")
    site = parse_upstream_url(f"http://{match['host']}:{match['port'] or default_port}")
    return site.host, site.port


def _require_file_path(store: "Store", info: ValidationInfo) -> "Store":
    """The store, with an absolute path at which a file can be.

    Whether this process may write it is not checked: `oauth-proxy check` may run as another user.
    """
    if not isinstance(store, Sqlite):
        return store
    path = reading(info).folder / store.path
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not path.parent.is_dir():
            why = not_from_windows(store.path)
            raise Refused(f"the folder of this file is not there{why}") from None
    except OSError as error:
        raise Refused(f"the file cannot be used: {reason(error)}") from None
    else:
        if stat.S_ISDIR(mode):
            raise Refused("this is a folder, and the store is a file", f"{store}/sessions.db")
        if not stat.S_ISREG(mode):
            raise Refused("this is a device or a socket, and the store is a file")
    return Sqlite(path)


Store = Annotated[
    Literal["cookie"] | Sqlite | Redis,
    FromText(parse_store, schema={"title": "address", "pattern": _PATTERN}),
    AfterValidator(_require_file_path),
]
