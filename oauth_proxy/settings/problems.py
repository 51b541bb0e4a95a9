"""What is wrong with a file: a refused value, a problem at its position, and the words that messages share.

A message never repeats a value. Only a suggestion may; `loading` drops it for values from a variable or a file.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

Position = tuple[int, int]
"""Line and column, from 1."""
KeyPath = tuple[str | int, ...]
"""The keys and list indices that lead to a value."""


class Refused(ValueError):
    """A value that cannot be used: why, and what was probably meant. `loading` adds the position."""

    def __init__(self, message: str, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to correct in the file."""

    position: Position
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        suggestion = f" (did you mean {self.suggestion}?)" if self.suggestion else ""
        return f"{self.position[0]}:{self.position[1]}: {self.message}{suggestion}"


def dotted(key_path: KeyPath) -> str:
    """The key path as people write it: `session.cookie.name`, `access.public[2]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in key_path).removeprefix(".")


def nearest(word: str, known: Iterable[str], *, similarity: float = 0.6) -> str | None:
    """The known word most similar to this one, if any is similar enough; 1 means the same letters."""
    if len(word) > 100:
        return None
    spellings = {each.lower(): each for each in known}
    close = get_close_matches(word.lower(), spellings, n=1, cutoff=similarity)
    return spellings[close[0]] if close else None


def quoted(text: str) -> str:
    """The text between quotes, shortened to one line and without characters that control a terminal."""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return f"'{shown}'" if len(shown) <= 60 else f"'{shown[:60]}…'"


def one_of(words: Iterable[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def kind(value: object) -> str:
    """The kind of this YAML value, in words."""
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else "a single value"


def reason(error: OSError) -> str:
    """The operating system's reason, as the end of a sentence."""
    why = (error.strerror or "the system gives no reason").lower()
    return why + not_from_windows(error.filename) if isinstance(error, FileNotFoundError) else why


def not_from_windows(path: object) -> str:
    """How a path is written, as the end of a sentence about one that leads nowhere, where it is Windows'."""
    return "; a path is written with '/', and begins with no drive" if "\\" in str(path) else ""


def as_item(text: str) -> str:
    """The text as an entry of a list in [ ] of YAML: between quotes unless it surely needs none."""
    return text if re.fullmatch(r"[A-Za-z0-9/][A-Za-z0-9/._:+-]*", text) else f'"{text}"'
