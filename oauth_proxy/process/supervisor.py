"""What a supervisor such as systemd is told (sd_notify(3)).

The law: without a supervisor nothing here does anything, and with one it never waits for it.
"""

import os
import socket
import time
from collections.abc import MutableMapping

_MOST_UNSENT = 64
"""Messages that wait for a supervisor that takes none."""


class Supervisor:
    """Tells the supervisor how the proxy is. `environ` says how it can be reached; its variables are removed."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")
        every, its_pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        is_watched = every.isdecimal() and int(every) > 0 and its_pid in ("", str(os.getpid()))
        self.watchdog = int(every) / 2_000_000 if is_watched else None
        """Seconds between two signs of life: half of what the supervisor waits for one; None if it wants none."""
        self._next = 0.0
        self._status = ""
        self._unsent: list[bytes] = []

    def ready(self, status: str) -> None:
        """The proxy serves: the start has ended, or a reload, whatever came of it."""
        self._status = status
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, seconds: float) -> None:
        """The proxy stops, and may need so many seconds for it, also where the unit has fewer."""
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def look(self, status: str) -> None:
        """Call this often: it tells the status, a line for people, when that changes, and signs of life."""
        if self._unsent:
            self._tell()
        if status != self._status:
            self._status = status
            self._tell(f"STATUS={status}")
        now = time.monotonic()
        if self.watchdog is not None and now >= self._next:
            self._next = now + self.watchdog
            self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        """Send these lines, after what could not be sent before."""
        if not self._address:
            return
        if lines:
            self._unsent.append("\n".join(lines).encode())
            del self._unsent[:-_MOST_UNSENT]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.connect(f"\0{self._address[1:]}" if self._address.startswith("@") else self._address)
                while self._unsent:
                    sock.send(self._unsent[0])
                    self._unsent.pop(0)
        except BlockingIOError:  # it is busy and takes it later; a watchdog that never hears again ends us anyway
            if lines == ("WATCHDOG=1",):
                self._unsent.pop()
        except OSError:  # it is gone
            self._unsent.clear()
