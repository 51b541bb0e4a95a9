"""Opens listening sockets. A Unix socket has its mode before the first connection, and replaces no living one."""

import errno
import fcntl
import grp
import os
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from oauth_proxy.errors import AddressUnavailable, ConfigurationError
from oauth_proxy.settings import Listen

_PATIENCE = 1.0
"""Seconds to wait when probing whether another process listens on the socket."""
_BACKLOG = 128
"""Connections that wait to be accepted."""
_LASTING = (errno.EACCES, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
"""Errors that no later attempt mends: somebody has to change the configuration or the machine."""

_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""Errors of an address that this machine has not, or of a family that it does not know."""


class Listener:
    """The listening sockets of one address: several if a host name has several addresses.

    Processes that are forked later share the sockets. `close` is for the one that opened them.
    """

    def __init__(self, at: Listen, sockets: Sequence[socket.socket], inode: int | None = None) -> None:
        self.sockets = list(sockets)
        self._inode = inode
        port = 0 if at.path else self.sockets[0].getsockname()[1]
        self.at = at if at.path else replace(at, port=port)
        """Where it listens, with the actual port."""

    def is_there(self) -> bool:
        """Whether clients can find it: the file of a Unix socket may have been removed or replaced."""
        if self._inode is None or self.at.path is None:
            return True
        try:
            return Path(self.at.path).lstat().st_ino == self._inode
        except OSError:
            return False

    def become(self, other: "Listener") -> None:
        """Take the sockets of a listener at the same address in place of its own, wherever this object is used."""
        for each in self.sockets:
            each.close()
        self.sockets, self._inode = other.sockets, other._inode  # noqa: SLF001 - one of us

    def close(self) -> None:
        """Close the sockets; remove a Unix socket's file, unless another process has replaced it."""
        for each in self.sockets:
            each.close()
        if self._inode is not None and self.at.path is not None:
            path = Path(self.at.path)
            with suppress(OSError):
                if path.lstat().st_ino == self._inode:
                    path.unlink()


def opened(at: Listen) -> Listener:
    """Listen there. The socket file of a process that died is replaced.

    Raises AddressUnavailable if the address is in use, and ConfigurationError if it cannot be used at all.
    """
    try:
        return _unix(at, Path(at.path)) if at.path else Listener(at, _tcp(at))
    except OSError as error:
        raise _unusable(at, error) from None


def require_free(at: Listen) -> None:
    """Raises what `opened` would raise, but for trouble with a socket's group. Nobody can connect meanwhile."""
    try:
        if at.path:
            path = Path(at.path)
            with _alone_in(path.parent):
                _find_room(at, path)
            if not os.access(path.parent, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        else:
            for probe in _at_each_address(at, _bound):
                probe.close()
    except OSError as error:
        raise _unusable(at, error) from None


def _unusable(at: Listen, error: OSError) -> ConfigurationError:
    is_of_system = error.errno is not None and not isinstance(error, socket.gaierror)
    problem = f"cannot listen on {at}: {os.strerror(error.errno or 0) if is_of_system else error.strerror}"
    return (ConfigurationError if error.errno in _LASTING else AddressUnavailable)([problem])


def _resolved(at: Listen) -> Sequence[tuple[Any, ...]]:
    return socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)


def _tcp(at: Listen) -> list[socket.socket]:
    return _at_each_address(
        at, lambda family, address: socket.create_server(address, family=family, backlog=_BACKLOG)
    )


def _bound(family: int, address: Any) -> socket.socket:
    probe = socket.socket(family)
    try:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind(address)
    except BaseException:
        probe.close()
        raise
    return probe


def _at_each_address(at: Listen, made: Callable[[int, Any], socket.socket]) -> list[socket.socket]:
    """A socket for each address of the host, but for those that this machine has not, unless it has none.

    So localhost is also 127.0.0.1 alone, where IPv6 is off and /etc/hosts has it nevertheless.
    """
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, *_, address in dict.fromkeys(_resolved(at)):
            try:
                sockets.append(made(family, address))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error
    except BaseException:
        for each in sockets:
            each.close()
        raise
    if absent is not None and not sockets:
        raise absent
    return sockets


def _unix(at: Listen, path: Path) -> Listener:
    listener = socket.socket(socket.AF_UNIX)
    with _alone_in(path.parent):
        try:
            if _find_room(at, path):
                path.unlink()
            listener.bind(str(path))
        except BaseException:
            listener.close()
            raise
        made = Listener(at, [listener], path.lstat().st_ino)
        try:
            let_in(at)
            listener.listen(_BACKLOG)  # clients cannot connect before this
        except BaseException:
            made.close()
            raise
    return made


def let_in(at: Listen) -> None:
    """Set who may connect to the Unix socket that is there; any other listener is for everybody."""
    if at.path is None:
        return
    path = Path(at.path)
    if at.group is not None:
        os.chown(path, -1, _group_id(at, at.group))
    path.chmod(at.mode)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Lock the folder, so that of two processes that start together, the second sees the socket of the first."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _find_room(at: Listen, path: Path) -> bool:
    """Whether the socket of a process that no longer listens has to be removed first.

    Raises AddressUnavailable, and ConfigurationError where something else is there.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigurationError([f"cannot listen on {at}: a file is there that is no socket"])
    if _somebody_listens(path):
        raise AddressUnavailable([f"cannot listen on {at}: another process listens there"])
    return True


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


def _group_id(at: Listen, group: str) -> int:
    try:
        return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigurationError([f"cannot listen on {at}: this machine has no group {group}"]) from None
