"""Listeners: host and port, or a Unix socket and who may connect to it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, PlainSerializer, PlainValidator, WithJsonSchema

from oauth_proxy.settings import hints
from oauth_proxy.settings.addresses import bracketed, is_ip, is_loopback, parse_host, parse_socket_path
from oauth_proxy.settings.problems import Refused, kind, nearest

_OWNER_ONLY = 0o600
_KEYS = ("path", "mode", "group")
_MODE = re.compile(r"0?[0-7]{3}")
_GROUP = re.compile(r"[0-9]{1,9}|[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_SCHEMA: dict[str, Any] = {
    "title": "address",
    "oneOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "The Unix socket, such as /run/oauth-proxy/proxy.sock."},
                "mode": {
                    "type": "string",
                    "description": 'Who may connect, such as "0660": owner, group, others.',
                },
                "group": {"type": "string", "description": "The group that the socket belongs to."},
            },
            "required": ["path"],
            "additionalProperties": False,
        },
    ],
}


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen: `path` of a Unix socket, else `host` (no brackets) and `port` (0 takes a free one).

    `mode` and `group` say who may connect to the socket: by default this process's user alone. Two listeners that
    differ only in these are equal, because they would use the same socket.
    """

    host: str = ""
    port: int = 0
    path: str | None = None
    mode: int = field(default=_OWNER_ONLY, compare=False)
    group: str | None = field(default=None, compare=False)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect there."""
        return self.path is not None or is_loopback(self.host)

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"{bracketed(self.host)}:{self.port}"


def parse_listener(written: object) -> Listen:
    """A text as in `parse_listener_text`, or a mapping of a socket's path, mode and group.

    Without a mode only this process's user may connect, and the members of the group if there is one.
    """
    if isinstance(written, str):
        return parse_listener_text(written)
    if not isinstance(written, dict):
        raise Refused(f"one value is wanted here, not {kind(written)}")
    for key in written:
        if key not in _KEYS:
            raise Refused("a Unix socket has a path, a mode and a group", nearest(key, _KEYS))
    if any(not isinstance(value, str) for value in written.values()) or "path" not in written:
        raise Refused("a Unix socket has a path, beside which a mode and a group may stand")
    group = written.get("group")
    mode = written.get("mode", "0600" if group is None else "0660")
    if not _MODE.fullmatch(mode):
        raise Refused("a mode is three octal digits for owner, group and others", "0660")
    if group is not None and not _GROUP.fullmatch(group):
        raise Refused("a group is its name or its number")
    return Listen(path=parse_socket_path(written["path"]), mode=int(mode, 8), group=group)


def parse_listener_text(text: str) -> Listen:
    """`127.0.0.1:4180`, `[::1]:4180` or `unix:/run/oauth-proxy.sock`."""
    if text.startswith("unix:"):
        return Listen(path=parse_socket_path(re.sub("^unix:(//)?", "", text)))
    host, colon, port = text.rpartition(":")
    if not colon and re.fullmatch(r"[0-9]{1,5}", text):
        raise Refused("a listener is host:port or unix:/path", hints.listener(text))
    if "/" in text or host == "*":
        raise Refused("a listener is host:port or unix:/path", hints.listener(text))
    if not colon:
        raise Refused("the port is missing: a listener is host:port, such as 127.0.0.1:4180, or unix:/path")
    if not host and colon:
        raise Refused("a listener names its host: 127.0.0.1 for this machine, 0.0.0.0 for all", f"127.0.0.1{text}")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise Refused("a listener is host:port or unix:/path, with a port from 0 to 65535")
    if ":" in host and not re.fullmatch(r"\[[^\[\]]*\]", host):
        suggestion = f"[{host}]:{port}" if is_ip(host) else None
        raise Refused("an IPv6 address stands in brackets", suggestion)
    return Listen(parse_host(host), int(port))


def write_listener(listen: Listen) -> str | dict[str, str]:
    """The inverse of `parse_listener`."""
    if listen.path is None or (listen.mode == _OWNER_ONLY and listen.group is None):
        return str(listen)
    group = {} if listen.group is None else {"group": listen.group}
    return {"path": listen.path, "mode": f"{listen.mode:04o}", **group}


def require_different(name: str, listen: Listen, others: Mapping[str, Listen | None]) -> None:
    """Refused if this listener, `name` in the file, is one of the others. Two free ports (0) differ."""
    for other, taken in others.items():
        if listen == taken and (listen.path or listen.port):
            raise Refused(f"{name} is {other}; the two must differ")


def _require_loopback(listen: Listen) -> Listen:
    if not listen.is_local:
        raise Refused(
            "the tool API answers on this machine only: unix:/path, or a port of 127.0.0.1",
            f"127.0.0.1:{listen.port}" if is_ip(listen.host) else None,
        )
    return listen


Listener = Annotated[
    Listen,
    PlainValidator(parse_listener),
    PlainSerializer(write_listener, when_used="json"),
    WithJsonSchema(_SCHEMA),
]
"""A field of the file that is a Listen."""
LocalListener = Annotated[Listener, AfterValidator(_require_loopback)]
"""A listener that only this machine can connect to."""
