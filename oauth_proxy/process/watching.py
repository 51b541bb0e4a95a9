"""Notices that files have changed: the configuration, and what it names."""

import time
from collections.abc import Iterable
from pathlib import Path

Print = tuple[tuple[Path, int, int, int] | tuple[Path], ...]

_BETWEEN = 1.0
"""Seconds from one look to the next."""
_COARSE = 20_000_000
"""Nanoseconds by which the time of a file may be late: it is the kernel's, which counts in ticks."""


class Watching:
    """Looks at files. It says that they have changed once a second look finds them as the first one did.

    So a file that is still being written, or a certificate whose key is not there yet, is not read too early. A
    symbolic link is followed: Kubernetes changes all files of a secret at once by replacing one.
    """

    def __init__(self) -> None:
        self._files: frozenset[Path] = frozenset()
        self._known: Print = ()
        self._seen: Print = ()
        self._looked_at = 0.0

    def watch(self, files: Iterable[Path], since: int) -> None:
        """Look at these files from now on; folders are looked at with the files in them.

        They were read after `since`, in nanoseconds of the system clock: what has changed after that may not have
        been read.
        """
        self._files = frozenset(files)
        self._seen = self._look()
        latest = max((each[2] for each in self._seen if len(each) > 1), default=0)
        self._known = self._seen if latest < since - _COARSE else ()

    def has_changed(self) -> bool:
        """Whether a file has changed since the last change, and is not changing any more. Call this often."""
        now = time.monotonic()
        if now - self._looked_at < _BETWEEN:
            return False
        self._looked_at = now
        before, self._seen = self._seen, self._look()
        if self._seen == self._known or self._seen != before:
            return False
        self._known = self._seen
        return True

    def _look(self) -> Print:
        files = {each for path in self._files for each in (path, *_inside(path))}
        return tuple(_print(path) for path in sorted(files))


def _inside(path: Path) -> list[Path]:
    try:
        return list(path.iterdir()) if path.is_dir() else []
    except OSError:  # it has gone, or may not be read any more
        return []


def _print(path: Path) -> tuple[Path, int, int, int] | tuple[Path]:
    try:
        found = path.stat()
    except OSError:
        return (path,)
    return path, found.st_ino, found.st_mtime_ns, found.st_size
