"""What differs between two configurations, for the log. No secret is shown."""

from collections.abc import Iterator, Mapping
from typing import Any

from oauth_proxy.settings.model import Settings
from oauth_proxy.settings.problems import dotted

_LONGEST = 100


def changes(before: Settings, after: Settings) -> list[str]:
    """A line for each key with another value: `key: old → new`, or `key has changed` if it is secret or long."""
    real = dict(_leaves(before.model_dump())), dict(_leaves(after.model_dump()))
    shown = dict(_leaves(before.model_dump(mode="json"))), dict(_leaves(after.model_dump(mode="json")))
    lines = []
    for key in sorted(set(real[0]) | set(real[1])):
        if real[0].get(key) == real[1].get(key):
            continue
        old, new = (_text(each.get(key)) for each in shown)
        lines.append(f"{key} has changed" if old == new or len(old + new) > _LONGEST else f"{key}: {old} → {new}")
    return lines or ["the settings are the same"]


def _leaves(value: Any, key_path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, (*key_path, str(key)))
    else:
        yield dotted(key_path), value


def _text(value: Any) -> str:
    return "(none)" if value is None else str(value)
