"""YAML's own structure, within bounds, and its errors in plain words."""

import yaml

from oauth_proxy.settings.refusal import Refused

Place = tuple[int, int]
"""Line and column, from 1."""

MOST_VALUES = 10_000
DEEPEST = 20
TOO_MUCH = f"the file holds more than {MOST_VALUES} values, or more than {DEEPEST} inside each other"

_IN_WORDS = {
    "mapping values are not allowed": "a ':' cannot stand here; mend the line's indentation, or quote the text",
    "character '\\t' that cannot": "a tab cannot stand here; YAML is indented with spaces",
    "cannot start any token": "text that begins with this character stands in quotes",
    "expected alphabetic or numeric": "text that begins with '*' or '&' stands in quotes",
    "could not find expected ':'": "a ':' and a space are missing after a key, here or on the line before",
    "expected ',' or ']'": "a ',' or a ']' is missing before this",
    "expected ',' or '}'": "a ',' or a '}' is missing before this",
    "expected <block end>": "this line is not indented like its neighbours",
    "unexpected end of stream": "a quotation mark that opened before this is never closed",
    "unknown escape character": "this escape is not known; between single quotes a backslash is only a backslash",
    "undefined alias": "no anchor of this name stands above; text that begins with '*' stands in quotes",
    "second occurrence": "an anchor of this name stands above already",
    "another document": "a second document begins here; the file holds one",
    TOO_MUCH: TOO_MUCH,
}


class Unreadable(Refused):
    """Text that is not YAML, and where it stops being so."""

    def __init__(self, place: Place, sentence: str) -> None:
        super().__init__(sentence)
        self.place = place


def compose(text: str) -> yaml.Node | None:
    """The one document's node tree, None for an empty one; every scalar is text. Raises Unreadable."""
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        column = len(before) - before.rfind("\n")
        raise Unreadable((before.count("\n") + 1, column), "this character cannot stand in YAML") from None
    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or loader.get_mark()
        raise Unreadable((mark.line + 1, mark.column + 1), _in_words(error, text, mark)) from None
    except (ValueError, OverflowError):
        # An escape such as "\UFFFFFFFF" reaches Python's chr() unchecked.
        raise Unreadable((loader.line + 1, loader.column + 1), "this escape is not a character") from None


def place(node: yaml.Node) -> Place:
    """Where the node begins."""
    return node.start_mark.line + 1, node.start_mark.column + 1


def _in_words(error: yaml.MarkedYAMLError, text: str, mark: yaml.Mark) -> str:
    if "but got '{'" in str(error.problem) and text[: mark.index].endswith("$"):
        return 'between [ ] or { } a variable stands in quotes: "${NAME}"'
    known = (words for part, words in _IN_WORDS.items() if part in str(error.problem))
    return next(known, "this is not YAML that can be read")


class _Loader(yaml.BaseLoader):
    _count = _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._count += 1
        self._depth += 1
        if self._count > MOST_VALUES or self._depth > DEEPEST:
            raise yaml.MarkedYAMLError(problem=TOO_MUCH, problem_mark=self.get_mark())
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node
