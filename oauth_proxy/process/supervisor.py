"""What a supervisor such as systemd is told, and what it hands over (sd_notify(3), sd_listen_fds(3)).

The law: without a supervisor nothing here does anything.
"""

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import NamedTuple

_FIRST = 3
"""The first descriptor that is handed over."""


class Given(NamedTuple):
    """A socket that listens already, and its name (FileDescriptorName= in the socket's unit)."""

    sock: socket.socket
    name: str


def given_sockets(environ: MutableMapping[str, str]) -> list[Given]:
    """The sockets that were handed over to this process. The variables are removed: they are for nobody else."""
    number, owner, names = (environ.pop(name, "") for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"))
    if not number.isdecimal() or owner != str(os.getpid()):
        return []
    descriptors = range(_FIRST, _FIRST + int(number))
    each_name = [*names.split(":"), *[""] * len(descriptors)]
    given = []
    for descriptor, name in zip(descriptors, each_name, strict=False):
        os.set_inheritable(descriptor, False)
        given.append(Given(socket.socket(fileno=descriptor), name))
    return given


class Supervisor:
    """Tells the supervisor how the proxy is. `environ` says how it can be reached."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")
        every = environ.pop("WATCHDOG_USEC", "")
        its_pid = environ.pop("WATCHDOG_PID", str(os.getpid()))
        is_watched = every.isdecimal() and its_pid == str(os.getpid())
        self.watchdog = int(every) / 2_000_000 if is_watched else None
        """Seconds between two signs of life that the supervisor wants; None if it wants none."""
        self._next = 0.0

    def ready(self, status: str) -> None:
        """The proxy serves."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it, whatever came of it."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The proxy stops."""
        self._tell("STOPPING=1", "STATUS=stopping; requests under way may finish")

    def status(self, text: str) -> None:
        """A line for people."""
        self._tell(f"STATUS={text}")

    def alive(self) -> None:
        """A sign of life, if one is due."""
        now = time.monotonic()
        if self.watchdog is not None and now >= self._next:
            self._next = now + self.watchdog
            self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:  # it may be gone
            sock.connect(address)
            sock.sendall("\n".join(lines).encode())
