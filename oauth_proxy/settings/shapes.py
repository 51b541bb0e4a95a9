"""What to write where the file has another shape than is wanted: a value for a list, a list for keys with values.

The law: a guess is made only of what the file has, and never where a secret may stand.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from oauth_proxy.settings.access import parse_public_rule, parse_rule
from oauth_proxy.settings.addresses import parse_network, parse_upstream_url
from oauth_proxy.settings.listeners import parse_listener_text
from oauth_proxy.settings.problems import KeyPath, Refused, as_item, kind

_RULES = ("allow", "deny")
_WORDS: Mapping[str, Callable[[str], object]] = {
    "scopes": str,
    "trusted_proxies": parse_network,
    "auth_request_from": parse_network,
}
_SHORT: Mapping[KeyPath, tuple[str, Callable[[str], object]]] = {
    ("upstreams",): ("/", parse_upstream_url),
    ("admin",): ("listen", parse_listener_text),
    ("tool_api",): ("listen", parse_listener_text),
}
_LEVELS = ("debug", "info", "warning", "error")


def list_wanted(key_path: KeyPath, written: object) -> Refused:
    """A single value or a mapping stands where a list is wanted."""
    name = key_path[-1] if key_path else ""
    items: list[str] = []
    if name in _RULES:
        items = _rule(written)
    elif isinstance(written, str):
        if name == "public":
            items = _meant(written, parse_public_rule)
        elif name in _WORDS:
            items = [as_item(word) for word in re.split(r"[,\s]+", written.strip("[] "))]
    suggestion = f"[{', '.join(items)}]" if items else None
    return Refused(f"a list is wanted here, not {kind(written)}", suggestion)


def keys_wanted(key_path: KeyPath, written: object) -> Refused:
    """A single value or a list stands where keys with values are wanted."""
    if isinstance(written, list):
        dashed = all(isinstance(each, dict) for each in written)
        hint = "; remove the '-' before each" if dashed else ""
        if key_path == ("upstreams",) and len(written) == 1:
            return Refused("keys with values are wanted here, not a list", _as_mapping(key_path, written[0]))
        return Refused(f"keys with values are wanted here, not a list{hint}")
    return Refused("keys with values are wanted here, not a single value", _as_mapping(key_path, written))


def _as_mapping(key_path: KeyPath, written: object) -> str | None:
    """The mapping that this value is short for."""
    if not isinstance(written, str):
        return None
    if key_path == ("log",) and written in _LEVELS:
        return f"{{level: {written}}}"
    if key_path not in _SHORT:
        return None
    key, parse = _SHORT[key_path]
    [value] = _meant(written, parse) or [""]
    return f"{{{key}: {value}}}" if value else None


def _rule(written: object) -> list[str]:
    """The rule of access that this is, as an entry of a list in [ ]."""
    try:
        rule: Any = parse_rule(written).write()
    except Refused as refused:
        if refused.suggestion is None:
            return []
        rule = refused.suggestion
    if isinstance(rule, dict):
        rule = ", ".join(f"{key}: {as_item(str(value))}" for key, value in rule.items() if key != "role")
    return [f"{{{rule}}}" if ":" in rule else rule]


def _meant(written: str, parse: Callable[[str], object]) -> list[str]:
    """The text, if it is what is wanted, or else what was probably meant by it."""
    try:
        parse(written)
    except Refused as refused:
        return [as_item(refused.suggestion)] if refused.suggestion else []
    return [as_item(written)]
