"""The folder of the memory that workers share and that ends with the proxy."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from oauth_proxy.errors import ConfigurationError

_PREFIX = "oauth-proxy-"
_YOUNG = 60.0
"""Seconds for which a folder that nobody has locked is left alone."""
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 a folder of our own is made in it, which nobody else can open


class PrivateFolder:
    """A folder that nobody else can read, in memory where the system has such a place."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._path: Path | None = None
        self._lock: int | None = None

    @property
    def file(self) -> Path | None:
        """The file in it; None before it is made."""
        return self._path and self._path / "memory.db"

    def make(self) -> None:
        """Make it, if that is not done. Raises ConfigurationError if there is no place for it."""
        if self._path is None:
            self._path = self._made()
            self._hold(self._path)
            _sweep(self._path.parent)

    def restore(self) -> None:
        """Make it again if somebody has removed it: the workers fill it anew with what they know."""
        if self._path is None:
            return
        with suppress(OSError):  # its place may have become one that nobody may enter, even to look
            if self._lock is None or not self._path.exists():
                self._path.mkdir(mode=0o700, exist_ok=True)
                self._hold(self._path)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        if self._path is not None:
            self._let_go()
            shutil.rmtree(self._path, ignore_errors=True)

    def _hold(self, path: Path) -> None:
        """Lock it for as long as a process of this proxy lives: so the next proxy knows what is left over."""
        self._let_go()
        self._lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def _let_go(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _made(self) -> Path:
        environ = self._environ
        places = [*map(Path, filter(None, environ.get("RUNTIME_DIRECTORY", "").split(":"))), _IN_MEMORY]
        with suppress(FileNotFoundError):
            places.append(Path(tempfile.gettempdir()))
        for place in places:
            with suppress(OSError):
                return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        where = ", ".join(map(str, places))
        raise ConfigurationError(
            [
                f"no folder can be made in {where}: the workers need one for what they share. "
                "Let one of them be writable, or set session.store"
            ]
        )


def _sweep(place: Path) -> None:
    """Remove the folders of proxies that were killed."""
    for left in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime < _YOUNG:  # it may be new, and not locked yet
                continue
            lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if left.stat().st_uid == os.geteuid():
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)
