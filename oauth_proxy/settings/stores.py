"""Where sessions are remembered besides the cookie: nowhere, in a file, or in a Redis that replicas share."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast
from urllib.parse import unquote

from oauth_proxy.settings import addresses
from oauth_proxy.settings.problems import Refused, one_of

Mode = Literal["single", "sentinel", "cluster"]
Node = tuple[str, int]
"""Host (no brackets) and port."""

PATTERN = r"^(cookie|sqlite:.+|rediss?(\+(sentinel|cluster))?://.+)$"

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
    """A file of this machine; `path` is absolute once the settings are read."""

    path: Path

    def __str__(self) -> str:
        return f"sqlite:{self.path}"


@dataclass(frozen=True, slots=True)
class Redis:
    """A Redis database: `nodes` to ask first, the sentinels' `service`, the `db`'s number; `tls` for rediss.

    With the mode `single` there is one node; a cluster has no database but 0.
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
        """As it stands before `://`."""
        return f"redis{'s' if self.tls else ''}{'' if self.mode == 'single' else f'+{self.mode}'}"

    def __str__(self) -> str:
        login = f"{self.user or ''}:<hidden>@" if self.password else ""
        nodes = ",".join(f"{addresses.bracketed(host)}:{port}" for host, port in self.nodes)
        path = {"single": f"/{self.db}", "sentinel": f"/{self.service}/{self.db}", "cluster": ""}[self.mode]
        return f"{self.scheme}://{login}{nodes}{path}"


Store = Literal["cookie"] | Sqlite | Redis


def parse_store(text: str) -> Store:
    """`cookie`, the file of `sqlite:/path/file.db`, or a Redis in one of its forms; else Refused.

    User and password are percent-encoded, as in every URL (RFC 3986 3.2.1).
    """
    if text == "cookie":
        return "cookie"
    if file := _FILE.fullmatch(text):
        return Sqlite(_path(file["path"]))
    if re.match(r"rediss?[:+]", text, re.IGNORECASE):
        return _redis(text)
    raise Refused(f"the store is cookie, sqlite:/path/file.db or {_FORMS['single']}", _meant(text))


def _meant(text: str) -> str | None:
    """The store that was probably meant; nothing for a URL, in which a password can stand."""
    if "://" in text:
        return None
    is_path = text.startswith("/") or text.endswith((".db", ".sqlite", ".sqlite3"))
    return f"sqlite:{text.rpartition(':')[2]}" if is_path else "cookie"


def _path(text: str) -> Path:
    if text.startswith("//"):
        raise Refused(
            "a file is written sqlite:/path/file.db, without '//'", "sqlite:" + re.sub("^//+", "/", text[2:])
        )
    if not text or text.endswith("/"):
        raise Refused("sqlite: is followed by the path of a file, as in sqlite:/path/file.db")
    if text.startswith((":", "file:")) or re.search("[?#]", text) or not text.isprintable():
        raise Refused("sqlite: is followed by a path alone, without options and special names")
    return Path(text)


def _redis(text: str) -> Redis:
    matched = _REDIS.fullmatch(text)
    if not matched:
        raise Refused(f"a Redis is written {one_of(_FORMS.values())}")
    mode = cast(Mode, (matched["mode"] or "single").lower())
    nodes = matched["nodes"].split(",")
    if mode == "single" and len(nodes) > 1:
        raise Refused(f"several hosts stand in {_FORMS['sentinel']} or {_FORMS['cluster']}")
    path = _PATHS[mode].fullmatch(matched["path"] or "")
    if not path:
        raise Refused(_WRONG_PATHS[mode])
    return Redis(
        tuple(_node(node, _DEFAULT_PORTS[mode]) for node in nodes),
        mode,
        path["service"] or None,
        int(path["db"] or 0),
        bool(matched["tls"]),
        unquote(matched["user"]) if matched["user"] else None,
        unquote(matched["password"]) if matched["password"] else None,
    )


def _node(text: str, default_port: int) -> Node:
    matched = _NODE.fullmatch(text)
    if not matched:
        raise Refused("each host of a Redis is written host or host:port")
    site = addresses.address(f"http://{matched['host']}:{matched['port'] or default_port}")
    return site.host, site.port
