"""A value that cannot be used, said as one sentence and, where it can be guessed, what was meant instead.

The law: `sentence` never repeats a value. Only `meant` may, and it is dropped for values out of the environment.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class Refused(ValueError):
    """Raised by whatever reads a value; `problems` adds the position."""

    def __init__(self, sentence: str, meant: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.meant = meant


def nearest(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """The known word most like this one, if any is near enough; a likeness of 1 asks for the same letters."""
    if len(word) > 100:
        return None
    spellings = {each.lower(): each for each in known}
    close = get_close_matches(word.lower(), spellings, n=1, cutoff=likeness)
    return spellings[close[0]] if close else None


def quoted(text: str) -> str:
    """The text between quotes, on one line, fit for a terminal and not longer than a line of one."""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return f"'{shown}'" if len(shown) <= 60 else f"'{shown[:60]}…'"


def one_of(words: Iterable[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def kind(value: object) -> str:
    """What a person would call the shape of this piece of YAML."""
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else "a single value"


def why(error: OSError) -> str:
    """The system's reason, as the end of a sentence."""
    return (error.strerror or "the system gives no reason").lower()
