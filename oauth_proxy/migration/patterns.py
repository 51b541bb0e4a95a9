"""Regular expressions of skip_auth_routes: which paths they match, where that can be said by paths and prefixes.

Law: what is returned is never more than the expression matches; `exact` says that it is not less either.
"""

import re
from dataclasses import dataclass

_MOST = 64
_LITERAL = re.compile(r"([A-Za-z0-9/_~!&',:@=%-])")
_ESCAPED = re.compile(r"\\([^A-Za-z0-9*])")
_SINGLE = re.compile(r"\[(\\?[^\\\]^*])\]")
_LOOSE = r".*"


class _Unsaid(Exception):
    """The expression matches more than paths and prefixes can say."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """The beginning of a path; `end` says whether it must end there ('$'), goes on as it likes ('*'), or ''."""

    text: str
    end: str = ""

    def then(self, other: "_Piece") -> "_Piece":
        """Both, one after the other."""
        if not self.end:
            return _Piece(self.text + other.text, other.end)
        if other.text or (self.end == "$" and other.end == "*"):
            raise _Unsaid
        return self


@dataclass(frozen=True, slots=True)
class Matched:
    """Paths (below is False) and prefixes, which end in '/' (below is True)."""

    paths: tuple[tuple[str, bool], ...]
    exact: bool


def matched(expression: str) -> Matched | None:
    """What an expression of Go's matches somewhere in a path; None if not even a part of it can be said."""
    reader = _Reader(expression)
    try:
        pieces = reader.alternatives(top=True)
    except _Unsaid:
        return None
    found: dict[tuple[str, bool], None] = {}
    open_ended = []
    for piece in pieces:
        if piece.end == "$":
            found[piece.text, False] = None
        elif piece.text in ("", "/"):
            found["/", True] = None
        elif piece.text.endswith("/"):
            found[piece.text, True] = None
        else:
            open_ended.append(piece.text)
    for text in open_ended:
        found |= {(text, False): None, (f"{text}/", True): None}
    if any(not text.startswith("/") for text, _ in found):
        return None
    return Matched(tuple(found), reader.exact and not open_ended)


class _Reader:
    """Reads an expression from left to right. `exact` becomes False where less is taken than is matched."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.exact = True

    def alternatives(self, *, top: bool = False) -> list[_Piece]:
        """Everything up to the end of this group, or of the expression."""
        pieces: list[_Piece] = []
        while True:
            if top and not self._takes("^"):
                self._require_loose_start()
            pieces += self._sequence()
            if not self._takes("|"):
                break
        if top and self._at < len(self._text):
            raise _Unsaid
        return pieces

    def _require_loose_start(self) -> None:
        """Without '^' it also matches further on in a path: all of that only if anything may follow at once."""
        if self._text[self._at :] not in ("", _LOOSE, f"{_LOOSE}$"):
            self.exact = False

    def _sequence(self) -> list[_Piece]:
        pieces = [_Piece("")]
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            atoms = self._atom()
            if self._takes("?"):
                atoms = [_Piece(""), *atoms]
            pieces = [piece.then(atom) for piece in pieces for atom in atoms]
            if len(pieces) > _MOST:
                raise _Unsaid
        return pieces

    def _atom(self) -> list[_Piece]:
        if self._takes("$"):
            return [_Piece("", "$")]
        if self._takes(_LOOSE):
            return [_Piece("", "*")]
        return self._group() if self._takes("(") else [_Piece(self._character())]

    def _group(self) -> list[_Piece]:
        if self._takes("?") and not self._takes(":"):
            raise _Unsaid
        pieces = self.alternatives()
        if not self._takes(")"):
            raise _Unsaid
        return pieces

    def _character(self) -> str:
        """One sign that stands for itself; '*', '+' and '{', of which nothing can be said, are none."""
        if self._takes("."):
            self.exact = False  # any character; only the dot itself is taken
            return "."
        for form in (_ESCAPED, _SINGLE, _LITERAL):
            if match := form.match(self._text, self._at):
                self._at = match.end()
                return match[1].removeprefix("\\")
        raise _Unsaid

    def _takes(self, text: str) -> bool:
        if self._text.startswith(text, self._at):
            self._at += len(text)
            return True
        return False
