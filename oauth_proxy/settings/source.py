"""A YAML text as mappings, lists and texts, with the position of each value, and variables and files filled in.

No value is guessed: every scalar is the text as written (no octal numbers, no `no` for false), no value is empty,
no key appears twice, and no message shows what a variable or a file holds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from oauth_proxy.settings.content import content
from oauth_proxy.settings.problems import KeyPath, Position, Problem, Refused, dotted, nearest, quoted, reason
from oauth_proxy.settings.syntax import lines_of, yaml_problem

Tree = str | list["Tree"] | dict[str, "Tree"]

EACH = "*"
FROM_FILES: Mapping[KeyPath, str] = {
    ("frameio",): "client_secret",
    ("session",): "secret",
    ("webhooks", EACH): "secret",
}
"""The mappings with a key whose value may be in a file; the same key with `_file` at its end names that file."""

_MOST_VALUES = 10_000
_DEEPEST = 20
_LARGEST_SECRET = 64 * 1024
_TOO_MUCH = f"the file holds more than {_MOST_VALUES} values, or more than {_DEEPEST} inside each other"
_WITH_DEFAULT = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)[:=?+-][^}]*\}")
_VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*)?)")
_NULL = ("", "~", "null", "Null", "NULL")
_KNOWN_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))


class Unreadable(Exception):
    """The text is not one YAML mapping within bounds; `problem` says where it stops being one."""

    def __init__(self, position: Position, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(position, message)


@dataclass(slots=True)
class Source:
    """The file's content: `tree`, the positions of its `keys` and `values`, and the `problems` so far.

    `external` are the values from a variable or a file, `invalid` those that have a problem already.
    """

    tree: dict[str, Tree] = field(default_factory=dict)
    keys: dict[KeyPath, Position] = field(default_factory=dict)
    values: dict[KeyPath, Position] = field(default_factory=dict)
    external: set[KeyPath] = field(default_factory=set)
    invalid: set[KeyPath] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    """The files and folders that are named, whether they can be read or not."""

    def refuse(self, key_path: KeyPath, message: str, suggestion: str | None = None) -> None:
        """Add a problem with a value."""
        self.invalid.add(key_path)
        self.problems.append(Problem(self.values[key_path], message, suggestion))


def read(text: str, environ: Mapping[str, str], folder: Path) -> Source:
    """The text's content; relative paths begin at `folder`. Raises Unreadable."""
    root = _root(text)
    source = Source()
    source.values[()] = _position(root)
    source.tree = _Reader(source, environ, folder).mapping(root, ())
    return source


def read_alone(name: str, text: str, environ: Mapping[str, str]) -> Source:
    """What the text has for one key, whatever is wrong with the others; no file is read. Raises Unreadable.

    Where the text is no YAML, the lines of this key may be.
    """
    try:
        root = _root(text)
    except Unreadable:
        lines = lines_of(name, text)
        if lines is None:
            raise
        root = _root(lines) if lines else yaml.MappingNode("", [])
    root.value = [(key, value) for key, value in root.value if key.value == name]
    source = Source()
    source.tree = _Reader(source, environ, Path()).mapping(root, ())
    return source


def _root(text: str) -> yaml.MappingNode:
    root = _parse_yaml(text)
    if root is None:
        raise Unreadable((1, 1), "the file is empty")
    if not isinstance(root, yaml.MappingNode):
        raise Unreadable(
            _position(root), f"keys with values are wanted, such as listen: 127.0.0.1:4180{_why(root)}"
        )
    return root


def key_from_file(key_path: KeyPath) -> str | None:
    """The key of this mapping whose value may be in a file, if there is one."""
    return FROM_FILES.get(key_path) or FROM_FILES.get((*key_path[:-1], EACH))


class _Reader:
    """Visits each node once and fills a Source. A value with a problem becomes the empty text."""

    def __init__(self, source: Source, environ: Mapping[str, str], folder: Path) -> None:
        self._source = source
        self._environ = environ
        self._folder = folder
        self._count = 0

    def mapping(self, node: yaml.MappingNode, parent: KeyPath) -> dict[str, Tree]:
        source, tree = self._source, dict[str, Tree]()
        for key_node, value_node in node.value:
            position = _position(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                source.problems.append(Problem(position, "a key is one word or path"))
                continue
            key, key_path = key_node.value, (*parent, key_node.value)
            if key in tree:
                first = source.keys[key_path][0]
                message = f"the key {quoted(key)} stands here twice; first on line {first}"
                source.problems.append(Problem(position, message))
                continue
            source.keys[key_path] = position
            tree[key] = self._value(value_node, key_path)
        name = key_from_file(parent)
        if name is not None and f"{name}_file" in tree:
            self._fill_from_file(tree, parent, name)
        return tree

    def _value(self, node: yaml.Node, key_path: KeyPath) -> Tree:
        source, position = self._source, _position(node)
        source.values[key_path] = position
        self._count += 1
        if self._count > _MOST_VALUES or len(key_path) > _DEEPEST:
            raise Unreadable(position, _TOO_MUCH)  # by aliases alone: _Loader has counted the nodes
        if node.tag not in _KNOWN_TAGS:
            source.refuse(key_path, f"tags such as {quoted(node.tag)} have no meaning here")
            return ""
        if isinstance(node, yaml.MappingNode):
            if node.flow_style and node.value and all(_is_unset(value) for _, value in node.value):
                word = ", ".join(str(key.value) for key, _ in node.value)
                source.refuse(key_path, "text that begins with '{' stands in quotes", f'"{{{word}}}"')
                return ""
            return self.mapping(node, key_path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*key_path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, key_path)

    def _scalar(self, node: yaml.Node, key_path: KeyPath) -> str:
        if isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULL:
            self._source.refuse(key_path, f"{_named(key_path)} has no value; give it one or remove it")
            return ""
        try:
            filled = _VARIABLE.sub(lambda match: self._variable(match, key_path), node.value)
        except Refused as refused:
            self._source.refuse(key_path, refused.message, refused.suggestion)
            return ""
        return self._require_text(filled, key_path)

    def _variable(self, match: re.Match[str], key_path: KeyPath) -> str:
        dollar, name, bare = match.groups()
        if dollar:
            return "$"
        if not name:
            raise _no_variable(match.string, match.start(), bare)
        if name not in self._environ:
            near = nearest(name, self._environ, similarity=0.8)
            raise Refused(f"the environment variable {name} is not set", near)
        self._source.external.add(key_path)
        return self._environ[name]

    def _require_text(self, text: str, key_path: KeyPath) -> str:
        if not text:
            self._source.refuse(key_path, f"{_named(key_path)} is empty")
            return ""
        if not text.replace("\n", "").isprintable():
            self._source.refuse(key_path, f"{_named(key_path)} has control characters or unusual spaces in it")
            return ""
        return text

    def _fill_from_file(self, tree: dict[str, Tree], parent: KeyPath, name: str) -> None:
        """Replace the `_file` key by the key itself, with the file's content as its value."""
        source, key_path, by_file = self._source, (*parent, name), (*parent, f"{name}_file")
        path = tree.pop(f"{name}_file")
        source.keys[key_path], source.values[key_path] = source.keys[by_file], source.values[by_file]
        source.external.add(key_path)
        if name in tree:
            source.refuse(key_path, f"{_named(key_path)} and {_named(by_file)} are both given; keep one")
        elif by_file in source.invalid:
            source.invalid.add(key_path)
        elif not isinstance(path, str):
            source.refuse(key_path, f"{_named(by_file)} is the path of a file")
        else:
            tree[name] = self._content(self._folder / path, key_path)
        tree.setdefault(name, "")

    def _content(self, path: Path, key_path: KeyPath) -> str:
        self._source.files.append(path)
        try:
            written = content(path, _LARGEST_SECRET + 1)
            text = written.decode("utf-8-sig").rstrip("\r\n")
        except OSError as error:
            self._source.refuse(key_path, f"the file cannot be read: {reason(error)}")
        except UnicodeDecodeError:
            self._source.refuse(key_path, "the file is not UTF-8 text")
        else:
            if len(written) <= _LARGEST_SECRET:
                return self._require_text(text.replace("\r\n", "\n"), key_path)
            size = f"{_LARGEST_SECRET // 1024}KiB"
            self._source.refuse(key_path, f"the file is larger than {size}, so it is not this secret")
        return ""


class _Loader(yaml.BaseLoader):
    """PyYAML's loader that takes every scalar as text, with bounds on the number of nodes and on their depth."""

    _count = _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._count += 1
        self._depth += 1
        if self._count > _MOST_VALUES or self._depth > _DEEPEST:
            raise Unreadable(_at(self.get_mark()), _TOO_MUCH)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _parse_yaml(text: str) -> yaml.Node | None:
    """The root node of the one document in the text, None if it is empty. Raises Unreadable."""
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        position = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise Unreadable(position, "this character cannot stand in YAML") from None
    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or loader.get_mark()
        raise Unreadable(*yaml_problem(error, mark, text)) from None
    except (ValueError, OverflowError):
        # PyYAML passes an escape such as "\UFFFFFFFF" to chr() without a check.
        raise Unreadable((loader.line + 1, loader.column + 1), "this escape is not a character") from None


def _is_unset(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and not node.value


def _no_variable(text: str, at: int, name: str | None) -> Refused:
    """What is wrong with the dollar sign there; `name` is what follows it, if that is a name."""
    written = "a variable is written ${NAME}, and a dollar sign $$"
    if text.startswith("^"):
        return Refused(f"{written}; but no text here is a regular expression")
    with_default = _WITH_DEFAULT.match(text, at)
    if with_default:
        return Refused("a variable has no default here", f"${{{with_default[1]}}}")
    return Refused(written, f"${{{name}}}" if name else None)


def _why(root: yaml.Node) -> str:
    """Why a text that was meant as keys and values is none, as the end of a sentence."""
    if not isinstance(root, yaml.ScalarNode) or root.style is not None:
        return ""
    if not root.value.replace("\n", "").isprintable():
        return "; there is an unusual space in this text"
    return "; between them stand a ':' and a space" if re.match(r"[\w-]+ ?[:=]", root.value) else ""


def _position(node: yaml.Node) -> Position:
    return _at(node.start_mark)


def _at(mark: yaml.error.Mark) -> Position:
    return mark.line + 1, mark.column + 1


def _named(key_path: KeyPath) -> str:
    return quoted(dotted(key_path))
