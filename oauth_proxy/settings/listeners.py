"""A listener as it stands in the file: one text, or a Unix socket with who may connect to it."""

import re
from typing import Any

from oauth_proxy.settings.addresses import OWNER_ONLY, Listen, listen
from oauth_proxy.settings.problems import Refused, kind, nearest

SCHEMA: dict[str, Any] = {
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
    ]
}

_KEYS = ("path", "mode", "group")
_MODE = re.compile(r"0?[0-7]{3}")
_GROUP = re.compile(r"[0-9]{1,9}|[A-Za-z_][A-Za-z0-9_.-]{0,31}")


def listener(written: object) -> Listen:
    """The listener in a text that `addresses.listen` reads, or in path, mode and group of a socket; else Refused.

    Without a mode nobody but this process's user connects, or with a `group` its members too.
    """
    if isinstance(written, str):
        return listen(written)
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
    return Listen(path=listen(f"unix:{written['path']}").path, mode=int(mode, 8), group=group)


def written(at: Listen) -> str | dict[str, str]:
    """As it stands in the file."""
    if at.path is None or (at.mode == OWNER_ONLY and at.group is None):
        return str(at)
    group = {} if at.group is None else {"group": at.group}
    return {"path": at.path, "mode": f"{at.mode:04o}", **group}
