"""The parent: it starts workers, watches them, and hears what they and the system say. It serves nobody.

It is ours, because gunicorn's arbiter stops as a whole when workers of a reloaded configuration do not start, and
drains by a deadline that kills.
"""

import logging
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from oauth_proxy.errors import MayPass
from oauth_proxy.outlet import Outlet
from oauth_proxy.process.crew import Forked, Generation, Worker, reap_others
from oauth_proxy.process.gathering import Gatherings
from oauth_proxy.process.listeners import Listeners
from oauth_proxy.process.status import Status
from oauth_proxy.process.succession import Asker, Succession
from oauth_proxy.process.supervisor import Supervisor
from oauth_proxy.process.wakeups import Wakeups
from oauth_proxy.settings import Loaded, Settings

if TYPE_CHECKING:
    from oauth_proxy.file_contents import FileContents

log = logging.getLogger(__name__)

_TICK = 1.0
_LAST_LINES = 0.5
"""Seconds for the last lines of the log, where its reader is slow."""
IS_FIRST = os.getpid() == 1
"""Whether this is the first process of a container."""
OVERTIME = 15.0
"""Seconds beyond their time after which workers that stop are killed."""


class EndedAtOnce(Exception):
    """A signal has ended the proxy before it served, or while it stopped; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Parent:
    """`read` loads the configuration, `prepare` what its workers share, and `look_into` the files that it names.

    `tell` is called with the address once the first generation serves.
    `tend` is called about once a second. Its log is written to `log_to`.
    """

    def __init__(
        self,
        read: Callable[[], Loaded],
        prepare: Callable[[Settings], None],
        look_into: Callable[[Settings], "FileContents"],
        tell: Callable[[str], None],
        tend: Callable[[], None],
        listeners: Listeners,
        supervisor: Supervisor,
        log_to: Outlet,
    ) -> None:
        self._log_to = log_to
        self._tend = tend
        self._listeners = listeners
        self._supervisor = supervisor
        self._selector = selectors.DefaultSelector()
        self._wakeups = Wakeups(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)
        self._status = Status(self._workers)
        self._gatherings = Gatherings(self._status.metrics, self._status.line)
        self._succession = Succession(
            read, prepare, look_into, tell, self._fork, listeners, supervisor, self._status, log_to
        )
        self._closes_at = self._killed_at = float("inf")
        """When a stop closes the listeners, and kills what is left."""
        self._looked_at = time.monotonic()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; a second one ends everything at once.

        Raises ConfigurationError if the first generation cannot serve, EndedAtOnce, and Forked in each worker's
        process.
        """
        with self._wakeups as woken:
            self._selector.register(woken, selectors.EVENT_READ, self._take_signals)
            try:
                self._succession.start()
                while self._succession.generations:
                    for key, _ in self._selector.select(self._patience()):
                        key.data()
                    self._look_around()
            except Forked as forked:
                self._forget(forked)
                raise
            except BaseException:  # whatever ends this process: no worker may outlive it, and nobody wait for one
                for worker in self._workers():
                    with suppress(ProcessLookupError):  # it may be what has ended us that it is gone
                        os.kill(worker.pid, signal.SIGKILL)
                raise
        self._listeners.close()
        self._log_to.finish(_LAST_LINES)
        if self._succession.failure is not None:
            raise self._succession.failure

    def _patience(self) -> float:
        """Seconds until something may be due."""
        return min(_TICK, self._supervisor.watchdog or _TICK, self._gatherings.patience)

    def _workers(self) -> Iterator[Worker]:
        return (worker for generation in self._succession.generations for worker in generation.workers)

    def _fork(self, generation: Generation) -> None:
        worker = generation.fork()
        self._selector.register(worker.channel, selectors.EVENT_READ, lambda: self._hear(worker))

    def _forget(self, forked: Forked) -> None:
        """In a worker: close everything that is the parent's.

        While a worker has the parent's end of another's channel, that one cannot notice that the parent has died.
        """
        self._selector.close()
        for worker in self._workers():
            worker.channel.close()
        self._listeners.close_others(forked.generation.listeners)

    # What workers say

    def _hear(self, worker: Worker) -> None:
        for message in worker.channel.receive():
            worker.heard = time.monotonic()
            match message["say"]:
                case "told" | "recent":
                    self._gatherings.hear(worker, message)
                case "gather":
                    self._gatherings.begin(worker, message, self._workers())
                case "reload":
                    self._succession.reload(Asker(worker, message["id"], message["operator"]))
                case "prepared" | "serving" as state:
                    worker.advance(state)
                    self._succession.advanced(worker)
                case "closed":
                    self._succession.closed(worker)
                case "failed":
                    self._refused(worker, message)
                case _:
                    worker.take(message)

    def _refused(self, worker: Worker, message: Mapping[str, Any]) -> None:
        """A worker cannot serve with its configuration."""
        if worker.generation is self._succession.coming:
            self._succession.fail(message["problems"], passing=message["passing"])
        elif worker.state != "leaving":
            for problem in message["problems"]:
                log.error("worker %d cannot serve: %s", worker.pid, problem)

    def _bury(self, worker: Worker, how: str) -> None:
        """A worker's process has ended."""
        self._hear(worker)
        generation = worker.generation
        self._selector.unregister(worker.channel)
        generation.bury(worker)
        self._gatherings.ended(worker)
        if generation is self._succession.present:
            self._status.restarts += 1
            wait = generation.replace(worker)
            log.error("worker %d has ended: %s; another one starts in %g s", worker.pid, how, wait)
        self._succession.ended(worker, how)

    # Signals, and what is due

    def _take_signals(self) -> None:
        for number in self._wakeups.take():
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop(number)
            elif number == signal.SIGUSR1:  # the file of the audit stream was rotated
                for worker in self._workers():
                    worker.send({"do": "reopen"})
            elif number == signal.SIGHUP:
                self._succession.reload()

    def _stop(self, number: int) -> None:
        present = self._succession.present
        if present is None:  # it starts, or has been told to stop before
            self._listeners.close()
            raise EndedAtOnce(number)
        log.info("stopping; requests under way may finish")
        self._closes_at = time.monotonic() + present.settings.drain_delay
        self._killed_at = self._closes_at + present.settings.drain_at_stop + OVERTIME
        self._status.is_stopping = True
        self._supervisor.stopping(self._killed_at - time.monotonic())
        self._succession.stop()

    def _look_around(self) -> None:
        """What is due: ended workers, silent ones, missing ones, changed files."""
        now = time.monotonic()
        self._tend()
        was_asleep = now - self._looked_at > 2 * _TICK
        self._looked_at = now
        self._log_to.pump()
        for worker in list(self._workers()):
            if (how := worker.ended()) is not None:
                self._bury(worker, how)
            elif was_asleep:  # so were the workers: the machine, or the container
                worker.heard = now
            else:
                worker.look_after(now, self._killed_at)
        if IS_FIRST:
            reap_others({worker.pid for worker in self._workers()})
        self._gatherings.give_up()
        if now >= self._closes_at:
            self._listeners.close()
        if self._succession.present is not None:
            self._replace_missing(self._succession.present, now)
            self._succession.look_at_files()
        self._supervisor.look(self._status.line())

    def _replace_missing(self, generation: Generation, now: float) -> None:
        while generation.is_due(now):
            try:
                self._fork(generation)
            except MayPass as error:
                log.error("%s", error)  # noqa: TRY400 the machine is full: no traceback
                generation.replace(None)
