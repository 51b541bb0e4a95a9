"""Notices that files have changed: the configuration, and what it names."""

from collections.abc import Iterable
from pathlib import Path

Print = tuple[tuple[Path, int, int, int] | tuple[Path], ...]


class Watching:
    """Looks at files. It says that they have changed once a second look finds them as the first one did.

    So a file that is still being written, or a certificate whose key is not there yet, is not read too early. A
    symbolic link is followed: Kubernetes changes all files of a secret at once by replacing one.
    """

    def __init__(self) -> None:
        self._files: frozenset[Path] = frozenset()
        self._known: Print = ()
        self._seen: Print = ()

    def watch(self, files: Iterable[Path]) -> None:
        """Look at these files from now on; folders are looked at with the files in them."""
        self._files = frozenset(files)
        self._known = self._seen = self._look()

    def has_changed(self) -> bool:
        """Whether a file has changed since the last change, and is not changing any more."""
        before, self._seen = self._seen, self._look()
        if self._seen in (self._known, ()) or self._seen != before:
            return False
        self._known = self._seen
        return True

    def _look(self) -> Print:
        files = {each for path in self._files for each in (path, *(path.iterdir() if path.is_dir() else ()))}
        return tuple(_print(path) for path in sorted(files))


def _print(path: Path) -> tuple[Path, int, int, int] | tuple[Path]:
    try:
        found = path.stat()
    except OSError:
        return (path,)
    return path, found.st_ino, found.st_mtime_ns, found.st_size
