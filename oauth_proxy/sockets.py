"""A Unix socket to listen on: its mode holds from the first connection on, and who listens there is let be."""

import fcntl
import grp
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.settings import Listen

_PATIENCE = 1.0
"""Seconds in which whoever listens there takes a connection, or has too many waiting already."""


@contextmanager
def unix_socket(at: Listen) -> Iterator[socket.socket]:
    """A socket that listens there, and is gone in the end. The file of a process that died is replaced.

    Raises ConfigurationError where something else is there, and OSError where the system refuses.
    """
    path, own = Path(at.path or ""), -1
    listener = socket.socket(socket.AF_UNIX)
    try:
        with _alone_in(path.parent):
            _make_room(at, path)
            listener.bind(str(path))
            own = path.lstat().st_ino
            _let_in(at, path)
            listener.listen()  # nobody can connect before this
        yield listener
    finally:
        listener.close()
        with suppress(OSError):
            if path.lstat().st_ino == own:  # else it is another one's now
                path.unlink()


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Two that start at once look one after the other, and so the second finds the first."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make_room(at: Listen, path: Path) -> None:
    """Take away what a process left there that listens no more."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigurationError([f"cannot listen on {at}: a file is there that is no socket"])
    if _somebody_listens(path):
        raise ConfigurationError([f"cannot listen on {at}: another process listens there"])
    path.unlink()


def _somebody_listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PATIENCE)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except (BlockingIOError, TimeoutError):  # it listens, and has as many waiting as it wants
            return True
    return True


def _let_in(at: Listen, path: Path) -> None:
    if at.group is not None:
        os.chown(path, -1, _group_id(at, at.group))
    path.chmod(at.mode)


def _group_id(at: Listen, group: str) -> int:
    try:
        return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigurationError([f"cannot listen on {at}: this machine has no group {group}"]) from None
