"""Listens on a Unix socket: sets its mode before the first connection, and replaces no process that listens."""

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
"""Seconds to wait when probing whether another process listens on the socket."""


@contextmanager
def unix_socket(at: Listen) -> Iterator[socket.socket]:
    """Yield a listening socket, and remove its file at the end. The file of a process that died is replaced.

    Raises ConfigurationError if something else is there, and OSError if the system refuses.
    """
    path, own = Path(at.path or ""), -1
    listener = socket.socket(socket.AF_UNIX)
    try:
        with _alone_in(path.parent):
            _make_room(at, path)
            listener.bind(str(path))
            own = path.lstat().st_ino
            _let_in(at, path)
            listener.listen()  # clients cannot connect before this
        yield listener
    finally:
        listener.close()
        with suppress(OSError):
            if path.lstat().st_ino == own:  # otherwise another process has replaced it
                path.unlink()


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Lock the folder, so that of two processes that start together, the second sees the socket of the first."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make_room(at: Listen, path: Path) -> None:
    """Remove the socket of a process that no longer listens."""
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
        except (BlockingIOError, TimeoutError):  # it listens, but its backlog is full
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
