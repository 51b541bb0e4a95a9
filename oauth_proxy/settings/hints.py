"""What was probably meant by a text that is refused: a guess for a person to judge, never used by itself.

The law: a guess shows nothing but the text itself, and nothing of a text in which a password may be.
"""

import re
from collections.abc import Iterable

from oauth_proxy.settings.problems import nearest

_ALL = ("*", "all", "any", "anybody", "anyone", "everybody", "public")
_DOMAIN = re.compile(r"\*?@?(?P<domain>(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z][A-Za-z0-9-]{1,62})")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_REDIS = re.compile(
    r"(?P<scheme>(?:redis|tcp):(?://)?(?![0-9]+$))?(?P<host>[A-Za-z0-9.-]+)(?P<port>:[0-9]{1,5})?", re.IGNORECASE
)
_IN_THE_PROCESS = ("memory", "none", "browser", "ram", "local")
_OTHER_SCHEMES = re.compile(r"(?:https?|tcp)://(?P<rest>[^/]+)/?")
_SOCKET = re.compile(r"(?:unix://)?(?P<path>/[^\s]+)")
_PORT = re.compile(r"[0-9]{1,5}")


def rule(text: str, keys: Iterable[str]) -> str | None:
    """The rule of access that a bare text stands for."""
    if text.lower() in _ALL:
        return "everyone"
    if _UUID.fullmatch(text):
        return f"account: {text}"
    if domain := _DOMAIN.fullmatch(text):
        return f'email: "*@{domain["domain"]}"'
    key, colon, value = text.partition(":")
    if "@" in key:
        return f'email: "{text}"'
    return f'{key}: "{value.strip()}"' if colon else nearest(text, keys)


def rule_of(key: str, value: object, keys: Iterable[str]) -> str | None:
    """The rule of access that was meant by a mapping with this one key."""
    if key.lower().startswith(("domain", "email_domain")) and isinstance(value, str):
        return rule(value, keys)
    return nearest(key, keys)


def store(text: str) -> str | None:
    """The store that was probably meant; None for a URL that can have a password in it."""
    if "@" in text or ("://" in text and not text.startswith("tcp://")):
        return None
    if text.startswith("/") or text.endswith((".db", ".sqlite", ".sqlite3")):
        return f"sqlite:{text.rpartition(':')[2]}"
    if text.lower() in ("sqlite", "sqlite3", "sql", "file"):
        return "sqlite:sessions.db"
    if text.lower() == "redis":
        return "redis://localhost:6379/0"
    redis = _REDIS.fullmatch(text)
    if redis and (redis["port"] or redis["scheme"] or "redis" in redis["host"].lower()):
        return f"redis://{redis['host']}{redis['port'] or ':6379'}/0"
    return "cookie" if text.lower() in _IN_THE_PROCESS else nearest(text, ["cookie"])


def listener(text: str) -> str | None:
    """The listener that was probably meant."""
    if socket := _SOCKET.fullmatch(text):
        return f"unix:{socket['path']}"
    if other := _OTHER_SCHEMES.fullmatch(text):
        text = other["rest"]
    host, colon, port = text.rpartition(":")
    if not _PORT.fullmatch(port):
        return None
    if host == "*":
        return f"0.0.0.0:{port}"
    return f"{host or '127.0.0.1'}{colon or ':'}{port}" if ":" not in host else None
