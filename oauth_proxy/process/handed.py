"""The sockets that a supervisor such as systemd hands over (sd_listen_fds(3)), and what is served at each.

The law: no socket is taken over on which nobody would answer, and each one stays open until the proxy ends.
"""

import logging
import os
import socket
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from typing import NamedTuple

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.settings import Listen
from oauth_proxy.sockets import Listener

log = logging.getLogger(__name__)

NAMES = ("public", "admin", "tool_api")
"""What is served at a listener. A socket with one of these names (FileDescriptorName=) is for that."""
_FIRST = 3
"""The first descriptor that is handed over."""
_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


class Given(NamedTuple):
    """A socket that listens already, and its name (FileDescriptorName= in the socket's unit)."""

    sock: socket.socket
    name: str

    @property
    def at(self) -> Listen:
        """Where it listens."""
        name = self.sock.getsockname()
        if isinstance(name, tuple):
            return Listen(name[0], name[1])
        return Listen(path=os.fsdecode(name).replace("\0", "@", 1) or "(without a name)")

    def __str__(self) -> str:
        return f"{self.at} ({self.name})" if self.name else str(self.at)


def given_sockets(environ: MutableMapping[str, str]) -> list[Given]:
    """The sockets that were handed over to this process. The variables are removed: they are for nobody else.

    Raises ConfigurationError if one of them is no listening stream socket.
    """
    number, owner, names = (environ.pop(name, "") for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"))
    if not number.isdecimal() or owner != str(os.getpid()):
        return []
    descriptors = range(_FIRST, _FIRST + int(number))
    each_name = [*names.split(":"), *[""] * len(descriptors)]
    return [_given(descriptor, name) for descriptor, name in zip(descriptors, each_name, strict=False)]


def _given(descriptor: int, name: str) -> Given:
    try:
        os.set_inheritable(descriptor, False)
        sock = socket.socket(fileno=descriptor)
        is_usable = sock.type == socket.SOCK_STREAM and sock.family in _FAMILIES
        if is_usable and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return Given(sock, name)
        problem = "it is no TCP or Unix socket that listens for connections: ListenStream= and Accept=no make one"
    except OSError as error:
        problem = os.strerror(error.errno or 0)
    told = f"descriptor {descriptor} ({name})" if name else f"descriptor {descriptor}"
    raise ConfigurationError([f"the supervisor has handed over {told}, which cannot be used: {problem}"])


class Handed:
    """The sockets that were handed over, as listeners."""

    def __init__(self, given: Iterable[Given]) -> None:
        self.given = list(given)
        self._listeners: dict[tuple[int, ...], Listener] = {}
        self._told: set[str] = set()

    def listeners(self, wanted: Mapping[str, Listen]) -> dict[str, Listener]:
        """The listeners that were handed over for what is `wanted`: by name, and by address for all other names.

        The same sockets are always the same Listener. Raises ConfigurationError if a socket is left over, because
        whoever connects to it would wait for ever.
        """
        if not self.given:
            return {}
        found = {name: [each for each in self.given if each.name == name] for name in wanted}
        for name, at in wanted.items():
            is_there = _served_at(at)
            found[name] += [each for each in self.given if each.name not in NAMES and is_there(each)]
        taken = {id(each.sock) for some in found.values() for each in some}
        problems = [_left_over(each, wanted) for each in self.given if id(each.sock) not in taken]
        problems += [_exposed(each) for each in found.get("tool_api", ()) if not each.at.is_local]
        if problems:
            raise ConfigurationError(problems)
        return {name: self._listener(name, wanted[name], some) for name, some in found.items() if some}

    def close(self) -> None:
        """Close them. The supervisor keeps its own: who connects now waits for the next process."""
        for each in self.given:
            each.sock.close()

    def _listener(self, name: str, at: Listen, some: list[Given]) -> Listener:
        self._tell(name, at, some)
        key = tuple(each.sock.fileno() for each in some)
        if key not in self._listeners:
            self._listeners[key] = Listener(some[0].at, [each.sock for each in some])
        return self._listeners[key]

    def _tell(self, name: str, at: Listen, some: list[Given]) -> None:
        """Say once that the file names another place than the socket that is named for it."""
        if not any(_served_at(at)(each) for each in some):
            where = " and ".join(str(each.at) for each in some)
            told = f"{_key(name)} is {at} in the file, but the supervisor has handed over {where} for it"
            if told not in self._told:
                log.warning("%s", told)
            self._told.add(told)


def _key(name: str) -> str:
    """The key of the file for what is served."""
    return "listen" if name == "public" else f"{name}.listen"


def _served_at(at: Listen) -> Callable[[Given], bool]:
    """Tells whether a socket is at this address; a host name stands for all of its addresses."""
    if at.path is not None:
        path = os.path.realpath(at.path)
        return lambda each: each.at.path is not None and os.path.realpath(each.at.path) == path
    places: set[object] = {(at.host, at.port)}
    with suppress(OSError):  # a name that nobody knows: whoever has to listen there says so
        found = socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        places |= {address[:2] for *_, address in found}
    return lambda each: each.sock.getsockname()[:2] in places


def _left_over(each: Given, wanted: Mapping[str, Listen]) -> str:
    keys = ", ".join(f"{_key(name)} is {at}" for name, at in wanted.items())
    return (
        f"the supervisor has handed over {each}, but nothing in the file listens there: {keys}. Change the file "
        f"or the socket's unit, or give it FileDescriptorName= {', '.join(NAMES)}"
    )


def _exposed(each: Given) -> str:
    return (
        f"the supervisor has handed over {each} for the tool API, which answers on this machine only: "
        "a Unix socket, or a port of 127.0.0.1"
    )
