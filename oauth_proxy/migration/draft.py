"""The new file while it comes about: what is carried over, and the comments that name what is not.

Law: no value of a key that may be a secret is ever written, in the file or in a comment.
"""

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import yaml

_ORDER = (
    *("public_url", "listen", "tls", "frameio", "session", "upstreams", "access", "headers"),
    *("trusted_proxies", "admin", "log", "pages", ""),
)
_WIDTH = 110


class Kind(Enum):
    """What became of a setting."""

    LEFT = "not carried over"
    PART = "carried over in part"
    TO_DO = "to do"
    NEEDLESS = "not needed"


@dataclass(frozen=True, slots=True)
class Remark:
    """One or more of their keys, what became of them and why; `section` is our key beside which it is written."""

    section: str
    kind: Kind
    keys: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        text = f"{', '.join(self.keys)}: {self.why}" if self.keys else self.why
        return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


@dataclass(slots=True)
class Draft:
    """Our file as a tree, the remarks, and the variables that it takes secrets from."""

    tree: dict[str, Any] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    def put(self, value: Any, *path: str) -> None:
        """Set the value at this key path; a dollar sign in it means itself."""
        node = self.tree
        for step in path[:-1]:
            node = node.setdefault(step, {})
        node[path[-1]] = _literal(value)

    def put_variable(self, text: str, name: str, what: str, *path: str) -> None:
        """Set a text at this key path in which ${name} stands for the value that the environment will have."""
        self.put("", *path)
        node = self.tree
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = text
        self.variables[name] = what

    def left(self, section: str, keys: str | Iterable[str], why: str) -> None:
        """Name what is not carried over."""
        self._say(Kind.LEFT, section, keys, why)

    def part(self, section: str, keys: str | Iterable[str], why: str) -> None:
        """Name what is carried over with less effect than it had."""
        self._say(Kind.PART, section, keys, why)

    def to_do(self, section: str, keys: str | Iterable[str], why: str) -> None:
        """Name what somebody has to decide or fill in."""
        self._say(Kind.TO_DO, section, keys, why)

    def needless(self, keys: str | Iterable[str], why: str) -> None:
        """Name what needs no setting here."""
        self._say(Kind.NEEDLESS, "", keys, why)

    def of(self, *kinds: Kind) -> list[Remark]:
        """The remarks of these kinds."""
        return [remark for remark in self.remarks if remark.kind in kinds]

    def text(self, source: str) -> str:
        """The file: each section with the remarks about it in front."""
        head = (
            f"From {source}. A comment that begins with 'not carried over', 'carried over in part' or 'to do' "
            "names what this file does not do as oauth2-proxy did. docs/migration.md explains them."
        )
        parts = ["\n".join(_comment(head)), *self._sections()]
        return "\n\n".join(parts) + "\n"

    def _sections(self) -> Iterator[str]:
        for section in (*_ORDER, *(key for key in self.tree if key not in _ORDER)):
            said = [remark for remark in self.remarks if remark.section == section]
            lines = [line for remark in said for line in _comment(f"{remark.kind.value}: {remark}")]
            if section in self.tree:
                dumped = yaml.safe_dump(
                    {section: self.tree[section]}, sort_keys=False, allow_unicode=True, width=1000
                )
                lines.append(dumped.rstrip("\n"))
            if lines:
                yield "\n".join(lines)

    def _say(self, kind: Kind, section: str, keys: str | Iterable[str], why: str) -> None:
        self.remarks.append(Remark(section, kind, (keys,) if isinstance(keys, str) else tuple(keys), why))


def _literal(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _literal(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_literal(each) for each in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="# ",
        subsequent_indent="#   ",
        break_long_words=False,
        break_on_hyphens=False,
    )
