"""One YAML text as plain lists, mappings and strings, with the place of each and with variables filled in.

The law: no value is guessed at. Every scalar is the text that stands there (no octal numbers, no `no` for false),
nothing may be empty, no key may stand twice, and what a variable or a file holds never reaches a message.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from oauth_proxy.settings import syntax
from oauth_proxy.settings.refusal import Refused, nearest, quoted, why
from oauth_proxy.settings.syntax import Place

Where = tuple[str | int, ...]
"""The keys and indices that lead to a value."""
Tree = str | list["Tree"] | dict[str, "Tree"]

LARGEST_SECRET = 64 * 1024
EACH = "*"
FROM_FILES: Mapping[Where, str] = {
    ("frameio",): "client_secret",
    ("session",): "secret",
    ("webhooks", EACH): "secret",
}
"""Where there is a value that may stand in a file of its own, which the same key with `_file` at its end names."""

_VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*)?)")
_NULL = ("", "~", "null", "Null", "NULL")
_OWN_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend, and where."""

    place: Place
    sentence: str
    meant: str | None = None


@dataclass(slots=True)
class Source:
    """What was read: `tree`, the places of its `keys` and `values`, and the `problems` so far.

    `foreign` are the values that came out of a variable or a file, `broken` those that have a problem already.
    """

    tree: dict[str, Tree] = field(default_factory=dict)
    keys: dict[Where, Place] = field(default_factory=dict)
    values: dict[Where, Place] = field(default_factory=dict)
    foreign: set[Where] = field(default_factory=set)
    broken: set[Where] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, where: Where, sentence: str, meant: str | None = None) -> None:
        """Note a problem at a value."""
        self.broken.add(where)
        self.problems.append(Problem(self.values[where], sentence, meant))


def read(text: str, environ: Mapping[str, str], folder: Path) -> Source:
    """The text's content; relative paths begin at `folder`. Raises Unreadable where it is not one mapping."""
    root = syntax.compose(text)
    if root is None:
        raise syntax.Unreadable((1, 1), "the file is empty")
    if not isinstance(root, yaml.MappingNode):
        raise syntax.Unreadable(syntax.place(root), "keys with values are wanted, such as listen: 127.0.0.1:4180")
    source = Source()
    source.values[()] = syntax.place(root)
    source.tree = _Reader(source, environ, folder).mapping(root, ())
    return source


def from_file(where: Where) -> str | None:
    """The key of the mapping there that may be given as a file."""
    return FROM_FILES.get(where) or FROM_FILES.get((*where[:-1], EACH))


def dotted(where: Where) -> str:
    """The way to a value as people write it: `session.cookie.name`, `access.public[2]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where).removeprefix(".")


class _Reader:
    """Walks the nodes once and fills a Source. A value with a problem becomes the empty text."""

    def __init__(self, source: Source, environ: Mapping[str, str], folder: Path) -> None:
        self._source = source
        self._environ = environ
        self._folder = folder
        self._count = 0

    def mapping(self, node: yaml.MappingNode, where: Where) -> dict[str, Tree]:
        source, tree = self._source, dict[str, Tree]()
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                source.problems.append(Problem(syntax.place(key_node), "a key is one word or path"))
                continue
            key, here = key_node.value, (*where, key_node.value)
            if key in tree:
                first = source.keys[here][0]
                sentence = f"the key {quoted(key)} stands here twice; first on line {first}"
                source.problems.append(Problem(syntax.place(key_node), sentence))
                continue
            source.keys[here] = syntax.place(key_node)
            tree[key] = self._value(value_node, here)
        name = from_file(where)
        if name is not None and f"{name}_file" in tree:
            self._from_file(tree, where, name)
        return tree

    def _value(self, node: yaml.Node, where: Where) -> Tree:
        source = self._source
        source.values[where] = syntax.place(node)
        self._count += 1
        if self._count > syntax.MOST_VALUES or len(where) > syntax.DEEPEST:
            # Only aliases lead here: what is written out is bounded already.
            raise syntax.Unreadable(syntax.place(node), syntax.TOO_MUCH)
        if node.tag not in _OWN_TAGS:
            source.refuse(where, f"tags such as {quoted(node.tag)} have no meaning here")
            return ""
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*where, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, where)

    def _scalar(self, node: yaml.Node, where: Where) -> str:
        if isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULL:
            self._source.refuse(where, f"{_named(where)} has no value; give it one or remove it")
            return ""
        try:
            filled = _VARIABLE.sub(lambda found: self._variable(found, where), node.value)
        except Refused as refused:
            self._source.refuse(where, refused.sentence, refused.meant)
            return ""
        return self._checked(filled, where)

    def _variable(self, found: re.Match[str], where: Where) -> str:
        dollar, name, bare = found.groups()
        if dollar:
            return "$"
        if not name:
            meant = f"${{{bare}}}" if bare else None
            raise Refused("a variable is written ${NAME}, and a dollar sign $$", meant)
        if name not in self._environ:
            near = nearest(name, self._environ, likeness=0.8)
            raise Refused(f"the environment variable {name} is not set", near)
        self._source.foreign.add(where)
        return self._environ[name]

    def _checked(self, text: str, where: Where) -> str:
        if not text:
            self._source.refuse(where, f"{_named(where)} is empty")
            return ""
        if not text.replace("\n", "").isprintable():
            self._source.refuse(where, f"{_named(where)} has control characters or unusual spaces in it")
            return ""
        return text

    def _from_file(self, tree: dict[str, Tree], parent: Where, name: str) -> None:
        """Put what the file of a `_file` key holds under the key itself."""
        source, here, by_file = self._source, (*parent, name), (*parent, f"{name}_file")
        path = tree.pop(f"{name}_file")
        source.keys[here], source.values[here] = source.keys[by_file], source.values[by_file]
        source.foreign.add(here)
        if name in tree:
            source.refuse(here, f"{_named(here)} and {_named(by_file)} are both given; keep one")
        elif by_file in source.broken:
            source.broken.add(here)
        elif not isinstance(path, str):
            source.refuse(here, f"{_named(by_file)} is the path of a file")
        else:
            tree[name] = self._content(self._folder / path, here)
        tree.setdefault(name, "")

    def _content(self, path: Path, where: Where) -> str:
        try:
            with path.open("rb") as file:
                content = file.read(LARGEST_SECRET + 1)
            text = content.decode("utf-8-sig").rstrip("\r\n")
        except OSError as error:
            self._source.refuse(where, f"the file cannot be read: {why(error)}")
        except UnicodeDecodeError:
            self._source.refuse(where, "the file is not UTF-8 text")
        else:
            if len(content) <= LARGEST_SECRET:
                return self._checked(text.replace("\r\n", "\n"), where)
            self._source.refuse(
                where, f"the file is larger than {LARGEST_SECRET // 1024}KiB, so it is not this secret"
            )
        return ""


def _named(where: Where) -> str:
    return quoted(dotted(where))
