"""Where each setting stands in its file, for commands that say by which line something is so."""

from dataclasses import dataclass

from oauth_proxy.settings.problems import KeyPath
from oauth_proxy.settings.source import Source


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a file, called `file` as the user has written it. It holds positions and no values."""

    file: str
    _lines: dict[KeyPath, int]
    _external: frozenset[KeyPath]

    @classmethod
    def of(cls, file: str, source: Source) -> "Lines":
        """The lines of what was read from this file."""
        positions = {**source.values, **source.keys}  # of a key and its value, the key is what people look for
        lines = {key_path: line for key_path, (line, _) in positions.items()}
        return cls(file, lines, frozenset(source.external))

    def at(self, *key_path: str | int) -> str | None:
        """`file:line` of the setting; None if the file does not have it, so that a default is in effect."""
        line = self._lines.get(key_path)
        if line is not None:
            return f"{self.file}:{line}"
        # Where a list is wanted, one entry may stand without one.
        return self.at(*key_path[:-1]) if key_path and isinstance(key_path[-1], int) else None

    def is_external(self, *key_path: str | int) -> bool:
        """Whether the value came from a variable or a file of its own, so that nobody should print it."""
        return key_path in self._external
