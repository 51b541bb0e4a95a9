"""Notices that files have changed: the configuration, and what it names."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from oauth_proxy.files import State, state_of

Print = Mapping[Path, State]

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
        self._known: Print | None = None
        self._seen: Print = {}
        self._before: Print = {}
        self._since = 0
        self._looked_at = 0.0

    def reading(self) -> None:
        """The files are about to be read: what changes from now on may not have been."""
        self._since = time.time_ns()
        self._before = self._look()

    def watch(self, files: Iterable[Path]) -> None:
        """Look from now on at these files, which have been read; folders are looked at with the files in them."""
        self._files = frozenset(files)
        self._seen = self._look()
        changed = any(self._before.get(path, found) != found for path, found in self._seen.items())
        self._known = None if changed or self._is_fresh() else self._seen

    def _is_fresh(self) -> bool:
        """Whether a file may have changed while it was read.

        A time that is still to come says nothing: the clock has been set back, or was another machine's.
        """
        since, until = self._since - _COARSE, time.time_ns() + _COARSE
        return any(found is not None and since <= found[-1] <= until for found in self._seen.values())

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
        return {path: state_of(path) for path in files}


def _inside(path: Path) -> list[Path]:
    try:
        return list(path.iterdir()) if path.is_dir() else []
    except OSError:  # it has gone, or may not be read any more
        return []
