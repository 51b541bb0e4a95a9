"""The workers of one generation: forked, looked after, replaced.

The law: whoever forks here keeps nothing of the parent's but what it serves with.
"""

import logging
import os
import pickle
import signal
import socket
import time
from base64 import b64encode
from collections.abc import Container, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from oauth_proxy.errors import ConfigurationError, MayPass
from oauth_proxy.process.channel import Channel, Message
from oauth_proxy.process.wakeups import at_most
from oauth_proxy.settings import Settings
from oauth_proxy.sockets import Listener

if TYPE_CHECKING:
    from oauth_proxy.file_contents import FileContents

log = logging.getLogger(__name__)

SILENCE = 10.0
"""Seconds without a sign of life after which a worker is killed."""
START = 60.0
"""Seconds in which a worker has to be ready to serve."""
_WELL = 60.0
"""Seconds after which a worker that dies is not one that dies at its start."""
_LONGEST_WAIT = 30.0
_CATCHING_UP = 2
"""Seconds for files to be read again that a worker has just read."""


def reap_others(pids: Container[int]) -> None:
    """See the end of the children that are none of these: in a container, the first process adopts all orphans.

    A child that is one of these and has ended is left, and so are those behind it; it is looked after first.
    """
    with suppress(ChildProcessError):  # there are none
        while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if found.si_pid in pids:
                return
            os.waitpid(found.si_pid, os.WNOHANG)


class Forked(Exception):
    """Raised in the new process: it is a worker of this generation, with `sock` as its line to the parent."""

    def __init__(self, generation: "Generation", sock: socket.socket) -> None:
        super().__init__(generation, sock)
        self.generation = generation
        self.sock = sock


class Worker:
    """A worker as the parent sees it."""

    def __init__(self, generation: "Generation", pid: int, sock: socket.socket) -> None:
        self.generation = generation
        self.pid = pid
        self.channel = Channel(sock)
        self.state = "starting"
        """`starting`, then `prepared`, then `serving`; `leaving` once it was told to end."""
        self.born = self.heard = time.monotonic()
        self._is_killed = False
        self.metrics: Any = []
        """What it last told of its metrics."""

    def send(self, message: Message) -> None:
        """Send it a message."""
        self.channel.send(message)

    def take(self, message: Message) -> None:
        """What it says of itself and its generation."""
        match message["say"]:
            case "last":
                self.metrics = message["content"]
            case "have_read":
                self.generation.catch_up()

    def advance(self, state: str) -> None:
        """It has reached this state, unless it was told to leave meanwhile."""
        if self.state != "leaving":
            self.state = state

    def ended(self) -> str | None:
        """How its process has ended; None while it lives."""
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # somebody else has reaped it
            return "its end was seen by another process"
        if not pid:
            return None
        code = os.waitstatus_to_exitcode(status)
        return f"exit status {code}" if code >= 0 else f"signal {_name(-code)}"

    def look_after(self, now: float, killed_at: float) -> None:
        """Kill it if its event loop does not go round, if it does not become ready, or at `killed_at`."""
        if self.channel.is_waiting:
            self.channel.send()
        if self._is_killed:
            return
        if now - self.heard > SILENCE:
            self._kill(f"no sign of life for {SILENCE:g} s")
        elif self.state == "starting" and now - self.born > START:
            self._kill(f"not ready after {START:g} s")
        elif now >= killed_at:
            self._kill("it has not stopped in time")

    def _kill(self, why: str) -> None:
        log.error("worker %d is killed: %s", self.pid, why)
        os.kill(self.pid, signal.SIGKILL)
        self._is_killed = True


def _name(number: int) -> str:
    """Of a signal; the number where it has no name, as most real-time signals."""
    return next((each.name for each in signal.Signals if each == number), str(number))


class Generation:
    """The workers with one configuration, and the `contents` of the files that it names."""

    def __init__(
        self, number: int, settings: Settings, contents: "FileContents", listeners: Mapping[str, Listener]
    ) -> None:
        self.number = number
        self.settings = settings
        self.contents = contents
        self.listeners = listeners
        self.workers: list[Worker] = []
        self.has_served = False
        self._deaths = 0
        self._missing: list[float] = []
        """When to start each worker that is to be replaced."""

    def fork(self) -> Worker:
        """Start a worker. Raises Forked in the new process, and MayPass if the system has no room."""
        try:
            ours, theirs = socket.socketpair()
            pid = os.fork()
        except OSError as error:
            raise MayPass([f"no worker can be started: {error.strerror}"]) from None
        if not pid:
            ours.close()
            raise Forked(self, theirs)
        theirs.close()
        worker = Worker(self, pid, ours)
        self.workers.append(worker)
        return worker

    def are_all(self, state: str) -> bool:
        """Whether all its workers are there and in this state."""
        enough = len(self.workers) >= self.settings.worker_count
        return enough and all(worker.state == state for worker in self.workers)

    def require_same_store(self, settings: Settings) -> None:
        """Raise ConfigurationError if these settings have another store: generations share what they know."""
        if settings.session.store != self.settings.session.store:
            raise ConfigurationError(
                [
                    "session.store cannot change while the proxy runs, because the workers before and after have "
                    "to share it: restart the proxy"
                ]
            )

    def catch_up(self) -> None:
        """A worker has read files again: who replaces one is to have what they hold."""
        try:
            with at_most(_CATCHING_UP):
                self.contents.catch_up()
        except MayPass:
            log.warning("a worker has read a file again, which the parent could not do in %d s", _CATCHING_UP)
        except Exception:  # whatever it is, workers serve
            log.exception("a fault of ours while reading files again")

    def send(self, message: Message) -> None:
        """Send all its workers a message."""
        for worker in self.workers:
            worker.send(message)

    def hand_over(self, newer: Settings) -> None:
        """A generation with `newer` settings serves: these workers accept nobody, and end with what is open."""
        settings = b64encode(pickle.dumps(newer)).decode()
        self._leave({"do": "hand_over", "patience": self.settings.drain_at_reload, "settings": settings})

    def stop(self, delay: float) -> None:
        """End for good, after `delay` seconds in which nobody new should come."""
        self._leave({"do": "stop", "delay": delay, "patience": self.settings.drain_at_stop})

    def bury(self, worker: Worker) -> None:
        """A worker has ended."""
        worker.channel.close()
        self.workers.remove(worker)

    def replace(self, worker: Worker | None) -> float:
        """Have a worker replaced that has died; returns in how many seconds. Each death in a row waits longer."""
        now = time.monotonic()
        lived = 0.0 if worker is None else now - worker.born
        self._deaths = 0 if lived > _WELL else self._deaths + 1
        wait = 0.0 if self._deaths <= 1 else min(_LONGEST_WAIT, 2.0 ** (self._deaths - 2))
        self._missing.append(now + wait)
        return wait

    def is_due(self, now: float) -> bool:
        """Whether a worker is to be started now; the caller does so."""
        for when in self._missing:
            if when <= now:
                self._missing.remove(when)
                return True
        return False

    def _leave(self, message: Message) -> None:
        for worker in self.workers:
            if worker.state == "starting":  # it listens to nobody yet
                os.kill(worker.pid, signal.SIGKILL)
            worker.state = "leaving"
            worker.send(message)
