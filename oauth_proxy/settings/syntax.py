"""A text that is no YAML: what is wrong with it, at the place where it is to be mended, and what can be read."""

import re

import yaml

from oauth_proxy.settings.problems import Position

_NO_COLON = "a ':' and a space are missing after the key of this line"
_MESSAGES = {
    "mapping values are not allowed": "a ':' cannot stand here; correct the line's indentation, or quote the text",
    "character '\\t' that cannot": "a tab cannot stand here; YAML is indented with spaces",
    "cannot start any token": "text that begins with this character stands in quotes",
    "expected alphabetic or numeric": "text that begins with '*' or '&' stands in quotes",
    "could not find expected ':'": _NO_COLON,
    "expected ',' or ']'": "a ',' or a ']' is missing before this",
    "expected ',' or '}'": "a ',' or a '}' is missing before this",
    "expected <block end>": "this line is not indented like its neighbours",
    "unexpected end of stream": "the quotation mark that opens here is never closed",
    "unknown escape character": (
        "this escape is not known; between single quotes a backslash is only a backslash, "
        "and the folders of a path are parted by '/'"
    ),
    "undefined alias": "no anchor of this name stands above; text that begins with '*' stands in quotes",
    "second occurrence": "an anchor of this name stands above already",
    "another document": "a second document begins here; the file holds one",
}
"""Our message for each part of PyYAML's."""
_SEEN_LATE = ("unexpected end of stream", "could not find expected ':'")
"""What PyYAML notices only after the place where it began."""


def yaml_problem(error: yaml.MarkedYAMLError, mark: yaml.error.Mark, text: str) -> tuple[Position, str]:
    """The position and the message of what PyYAML found at `mark` of this text."""
    problem = str(error.problem)
    if any(part in problem for part in _SEEN_LATE) and error.context_mark is not None:
        mark = error.context_mark
    position = mark.line + 1, mark.column + 1
    before = text[: mark.index]
    if "but got '{'" in problem and before.endswith("$"):
        return position, 'between [ ] or { } a variable stands in quotes: "${NAME}"'
    if "mapping values are not allowed" in problem and (line := _no_key(text, mark.line)):
        return (line, 1), _NO_COLON
    known = (message for part, message in _MESSAGES.items() if part in problem)
    return position, next(known, "this is not YAML that can be read")


def lines_of(name: str, text: str) -> str | None:
    """The lines of this key, each where it is in the text, until something else begins without indentation.

    Empty if the text has other keys and not this one, and None if that is not certain.
    """
    found = re.search(rf"^{name} *:.*(?:\n(?:[ #\r].*)?)*", text, re.MULTILINE)
    if found is not None:
        return "\n" * text.count("\n", 0, found.start()) + found[0]
    is_named = re.search(rf"^[\s{{\"']*{name}\b", text, re.MULTILINE)
    return "" if not is_named and re.search(r"^[a-z_]+:", text, re.MULTILINE) else None


def _no_key(text: str, number: int) -> int | None:
    """The number of the line before this one (both from 0), if it was meant as a key and has no ':' behind it."""
    lines = text.splitlines()
    before = number - 1
    while before >= 0 and not lines[before].split("#")[0].strip():
        before -= 1
    here = re.match(" *", lines[number])
    if before < 0 or here is None:
        return None
    meant = re.fullmatch(r"( *)[A-Za-z_][\w-]*(?:[:= ]\s*\S.*)?", lines[before])
    is_neighbour = meant is not None and len(meant[1]) == len(here[0])
    return before + 1 if is_neighbour and ": " not in lines[before] else None
