"""Where the log is written: a descriptor that may be a pipe which nobody reads.

The law: to write never waits. What the descriptor does not take is kept up to a bound; beyond it, lines are
dropped and counted, and the log says how many as soon as it can.
"""

import errno
import io
import os
import select
import socket
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

MOST_WAITING = 1024 * 1024
"""Bytes that wait for a reader who is slow for a moment."""
_STDERR = 2
_AUTHPRIV_INFO = (10 << 3) | 6
PIPE_BUF = getattr(select, "PIPE_BUF", 512)
"""Bytes that are written to a pipe as a whole, or not at all (POSIX)."""


def _missing(number: int) -> str:
    return f"{number} lines of this log were dropped, because nobody read it\n"


class Outlet(io.TextIOBase):
    """A text stream over a descriptor, for loggers. Threads may share it; after a fork, call `begin_anew`.

    `missing` makes the line that says how many were dropped.
    """

    def __init__(self, descriptor: int, missing: Callable[[int], str] = _missing) -> None:
        self.missing = missing
        self.dropped = 0
        """Lines dropped so far."""
        self._descriptor = _not_waiting(descriptor)
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._untold = 0

    def begin_anew(self) -> None:
        """Forget what waits and what was counted: the process that was forked from will write it."""
        self._lock = threading.Lock()
        self._waiting.clear()
        self._size = self._untold = self.dropped = 0

    def write(self, text: str) -> int:
        """Write whole lines, or keep them, or drop them."""
        with self._lock:
            self._pump()
            if self._untold and not self._waiting:
                self._keep(self.missing(self._untold))
                self._untold = 0
            self._keep(text)
            self._pump()
        return len(text)

    def pump(self) -> bool:
        """Write what waits, as far as it is taken now; returns whether something waits. Call it each second."""
        if self._waiting:
            with self._lock:
                self._pump()
        return bool(self._waiting)

    def finish(self, patience: float) -> None:
        """Write what waits, for at most `patience` seconds."""
        until = time.monotonic() + patience
        while self.pump() and (left := until - time.monotonic()) > 0:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            poll.poll(1000 * left)

    def _keep(self, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        if self._size + len(data) > MOST_WAITING:
            lines = text.count("\n")
            self.dropped += lines
            self._untold += lines
            return
        self._waiting.append(data)
        self._size += len(data)

    def _pump(self) -> None:
        with suppress(BlockingIOError):
            while self._waiting:
                data = self._waiting[0]
                try:
                    size = os.write(self._descriptor, data)
                except BlockingIOError:
                    raise
                except OSError:  # the reader is gone, and there is no other place to report it
                    size = len(data)
                    self.dropped += data.count(b"\n")
                self._size -= size
                self._waiting.popleft()
                if size < len(data):  # a line longer than PIPE_BUF, or a socket: its rest comes first
                    self._waiting.appendleft(data[size:])


class LineFile:
    """A file to which several processes append lines; one that was renamed is begun anew, with this `mode`.

    It is opened by `reopen`, or for the first line.
    """

    def __init__(self, path: Path, mode: int) -> None:
        self._path = path
        self._mode = mode
        self._is_torn = False
        self._is_closed = False
        self._descriptor: int | None = None

    def write(self, line: str) -> None:
        """Append a line. Raises OSError where it was not written, or not as a whole.

        What a full disk took of a line stays there; the next one begins on a line of its own.
        """
        self.reopen()
        if self._descriptor is None:
            return  # closed
        data = (b"\n" if self._is_torn else b"") + line.encode("utf-8", "backslashreplace")
        size = os.write(self._descriptor, data)
        self._is_torn = size < len(data)
        if self._is_torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def reopen(self) -> None:
        """Open the file, and let go of it if another one is at the path, or none. Raises OSError."""
        if self._is_closed or (self._descriptor is not None and _same(self._descriptor, self._path)):
            return
        self._let_go()
        how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        self._descriptor = os.open(self._path, how, self._mode)
        self._is_torn = False

    def close(self) -> None:
        """Close the file; nothing is written any more."""
        self._is_closed = True
        self._let_go()

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _same(descriptor: int, path: Path) -> bool:
    """Whether the open file is the one at the path."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


class Syslog:
    """The local syslog at this path, as authpriv.info. It is connected by `reopen`, or for the first line.

    logging's own handler waits for a syslog that reads nothing.
    """

    def __init__(self, path: str, name: str) -> None:
        self._path = path
        self._head = f"<{_AUTHPRIV_INFO}>{name}: ".encode()
        self._socket: socket.socket | None = None

    def write(self, line: str) -> None:
        """Send a line. Raises OSError where it is not taken at once."""
        data = self._head + line.rstrip("\n").encode("utf-8", "backslashreplace")
        try:
            self.reopen().send(data)
        except (ConnectionError, FileNotFoundError):  # it was started anew
            self.close()
            self.reopen().send(data)

    def reopen(self) -> socket.socket:
        """The connection; it is made if there is none. Raises OSError."""
        if self._socket is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            connection.setblocking(False)
            try:
                connection.connect(self._path)
            except OSError:
                connection.close()
                raise
            self._socket = connection
        return self._socket

    def close(self) -> None:
        """Close the connection."""
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()


def standard_error() -> Outlet:
    """This process's standard error; nothing where that was closed, as another file may have its number then."""
    return Outlet(_STDERR if sys.__stderr__ else os.open(os.devnull, os.O_WRONLY))


def _not_waiting(descriptor: int) -> int:
    """A descriptor for the same file that never waits.

    A pipe or terminal is opened once more, because O_NONBLOCK holds for everybody who has the same opening: the
    shell, too. Where that is not possible, a pipe or socket is set for everybody. Files take all that is written.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        with suppress(OSError):
            again = os.open(f"/dev/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            if not os.get_blocking(again):
                return again
            os.close(again)
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        os.set_blocking(descriptor, False)
    return descriptor
