"""The parent: it opens the listeners, starts workers and watches them. It serves no request itself.

It is ours, because gunicorn's arbiter stops as a whole when workers of a reloaded configuration do not start, and
drains by a deadline that kills.

The law: while a generation of workers serves, nothing that is wrong with a new configuration ends it.
"""

import logging
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from oauth_proxy.errors import AddressUnavailable, ConfigurationError
from oauth_proxy.process.crew import Forked, Generation, Worker
from oauth_proxy.process.gathering import Gatherings
from oauth_proxy.process.listeners import Listeners
from oauth_proxy.process.status import Status
from oauth_proxy.process.supervisor import Supervisor
from oauth_proxy.process.wakeups import Wakeups
from oauth_proxy.process.watching import Watching
from oauth_proxy.settings import Loaded, changes

log = logging.getLogger(__name__)

_TICK = 1.0
_MOST_LEAVING = 16
"""Generations that may still have streams open; of more, the oldest are cut."""
_OVERTIME = 15.0
"""Seconds beyond their time after which workers that stop are killed."""


class Parent:
    """`read` loads the configuration, and `tell` is called with the address once the first generation serves."""

    def __init__(
        self, read: Callable[[], Loaded], tell: Callable[[str], None], listeners: Listeners, supervisor: Supervisor
    ) -> None:
        self._read = read
        self._tell = tell
        self._listeners = listeners
        self._supervisor = supervisor
        self._selector = selectors.DefaultSelector()
        self._wakeups = Wakeups(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        self._watching = Watching()
        self._status = Status()
        self._gatherings = Gatherings(self._status.metrics)
        self._generations: list[Generation] = []
        self._present: Generation | None = None
        """The generation that serves; None before the first does, and after a stop."""
        self._coming: Generation | None = None
        """The generation that is being started."""
        self._asked: list[tuple[Worker, int]] = []
        """The workers that wait for the outcome of the reload, each with the number of its question."""
        self._must_reload = False
        self._closes_at = self._killed_at = float("inf")
        """When a stop closes the listeners, and kills what is left."""
        self._looked_at = time.monotonic()
        self._failure: ConfigurationError | None = None

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; a second one ends everything at once.

        Raises ConfigurationError if the first generation cannot serve, and Forked in each worker's process.
        """
        with self._wakeups as woken:
            self._selector.register(woken, selectors.EVENT_READ, self._take_signals)
            try:
                self._start()
                while self._generations:
                    for key, _ in self._selector.select(_TICK):
                        key.data()
                    self._look_around()
            except Forked as forked:
                self._forget(forked)
                raise
        self._listeners.close()
        if self._failure is not None:
            raise self._failure

    def reload(self, *asker: tuple[Worker, int]) -> None:
        """Start a generation with the configuration as it is now, which takes over when it is ready."""
        self._asked += asker
        if self._coming is not None:
            self._must_reload = True
            return
        self._supervisor.reloading()
        self._start()

    # From one generation to the next

    def _start(self) -> None:
        """Start the next generation."""
        try:
            loaded = self._read()
            self._watching.watch(loaded.files)
            settings = loaded.settings
            if self._present is None:
                listeners = self._listeners.open_patiently(settings)
            else:
                self._present.require_same_store(settings)
                listeners = self._listeners.open(settings)
            self._coming = Generation(self._status.generation + 1, settings, listeners)
            self._generations.append(self._coming)
            for _ in range(settings.worker_count):
                self._fork(self._coming)
        except ConfigurationError as error:
            self._fail(error.problems, passing=isinstance(error, AddressUnavailable))

    def _fork(self, generation: Generation) -> None:
        worker = generation.fork()
        self._selector.register(worker.channel, selectors.EVENT_READ, lambda: self._hear(worker))

    def _fail(self, problems: list[str], *, passing: bool = False) -> None:
        """The coming generation cannot serve. The one before goes on; without one, that is the end."""
        failed, self._coming = self._coming, None
        if failed is not None:
            failed.give_up()
        if self._present is None:
            self._failure = (AddressUnavailable if passing else ConfigurationError)(problems)
            return
        self._listeners.keep(self._present.settings)
        for problem in problems:
            log.error("reload: %s", problem)
        log.error("reload: nothing is changed, the configuration before stays in use")
        self._reloaded(problems)

    def _take_over(self, coming: Generation) -> None:
        """All workers of a generation serve: the one before lets its connections end."""
        before, self._present, self._coming = self._present, coming, None
        self._status.generation = coming.number
        self._listeners.keep(coming.settings)
        if before is None:
            self._tell(str(coming.listeners["public"].at))
            self._supervisor.ready(f"serving with {coming.settings.worker_count} workers")
            return
        log.info("reload: generation %d serves", coming.number)
        for line in changes(before.settings, coming.settings):
            log.info("reload: %s", line)
        self._reply([])  # first: the worker that was asked for the reload is among those that leave
        before.hand_over()
        leaving = [each for each in self._generations if each is not coming]
        for oldest in leaving[:-_MOST_LEAVING]:
            oldest.stop(0.0)
        self._reloaded([])

    def _reloaded(self, problems: list[str]) -> None:
        """A reload has ended, well without problems."""
        self._status.note_reload(is_good=not problems)
        self._reply(problems)
        self._supervisor.ready("the last reload failed, see the log" if problems else "reloaded")
        if self._must_reload:
            self._must_reload = False
            self.reload()

    def _reply(self, problems: list[str]) -> None:
        for worker, number in self._asked:
            worker.send({"do": "hear", "id": number, "content": problems})
        self._asked.clear()

    # What workers say, and their ends

    def _hear(self, worker: Worker) -> None:
        for message in worker.channel.receive():
            worker.heard = time.monotonic()
            match message["say"]:
                case "told":
                    self._gatherings.told(worker, message)
                case "gather":
                    self._gatherings.begin(worker, message, self._workers())
                case "reload":
                    self.reload((worker, message["id"]))
                case "prepared" | "serving" as state:
                    self._advance(worker, state)
                case "failed":
                    self._refused(worker, message)
                case "last":
                    worker.metrics = message["content"]

    def _advance(self, worker: Worker, state: str) -> None:
        """A worker has everything it needs, or serves."""
        generation = worker.generation
        worker.advance(state)
        self._status.workers = sum(each.state == "serving" for each in self._workers())
        if generation is not self._coming:
            if state == "prepared":  # it replaces one that has died
                worker.send({"do": "go"})
        elif generation.are_all(state):
            if state == "prepared":
                generation.send({"do": "go"})
            else:
                self._take_over(generation)

    def _refused(self, worker: Worker, message: Mapping[str, Any]) -> None:
        """A worker cannot serve with its configuration."""
        if worker.generation is self._coming:
            self._fail(message["problems"], passing=message["passing"])
        else:
            for problem in message["problems"]:
                log.error("worker %d cannot serve: %s", worker.pid, problem)

    def _bury(self, worker: Worker, how: str) -> None:
        """A worker's process has ended."""
        self._hear(worker)
        generation = worker.generation
        self._selector.unregister(worker.channel)
        generation.bury(worker)
        self._gatherings.ended(worker)
        self._asked = [each for each in self._asked if each[0] is not worker]
        if generation is self._coming:
            self._fail([f"a worker has ended at its start: {how}"])
        elif generation is self._present:
            self._status.restarts += 1
            log.error(
                "worker %d has ended: %s; another one starts in %g s", worker.pid, how, generation.replace(worker)
            )
        if not generation.workers and generation is not self._present:
            self._generations.remove(generation)

    def _workers(self) -> Iterator[Worker]:
        return (worker for generation in self._generations for worker in generation.workers)

    # Signals, and what is due

    def _stop(self, number: int) -> None:
        if self._present is None:  # it starts, or has been told to stop before
            for worker in self._workers():
                os.kill(worker.pid, signal.SIGKILL)
            self._listeners.close()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        log.info("stopping; requests under way may finish")
        self._supervisor.stopping()
        settings = self._present.settings
        self._closes_at = time.monotonic() + settings.drain_delay
        self._killed_at = self._closes_at + settings.drain_at_stop + _OVERTIME
        self._present = self._coming = None
        for generation in self._generations:
            generation.stop(settings.drain_delay)
        self._generations = [each for each in self._generations if each.workers]

    def _look_around(self) -> None:
        """What is due: ended workers, silent ones, missing ones, changed files."""
        now = time.monotonic()
        was_asleep = now - self._looked_at > 2 * _TICK
        self._looked_at = now
        self._supervisor.alive()
        for worker in list(self._workers()):
            if (how := worker.ended()) is not None:
                self._bury(worker, how)
            elif was_asleep:  # so were the workers: the machine, or the container
                worker.heard = now
            else:
                worker.look_after(now, self._killed_at)
        self._gatherings.give_up()
        if now >= self._closes_at:
            self._listeners.close()
        if self._present is not None:
            self._replace_missing(self._present, now)
            if self._present.settings.reload == "watch" and self._watching.has_changed():
                log.info("reload: a file has changed")
                self.reload()

    def _replace_missing(self, generation: Generation, now: float) -> None:
        while generation.is_due(now):
            try:
                self._fork(generation)
            except AddressUnavailable as error:
                log.error("%s", error)  # noqa: TRY400 the machine is full: no traceback
                generation.replace(None)

    def _take_signals(self) -> None:
        for number in self._wakeups.take():
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop(number)
            elif number == signal.SIGHUP and self._present is not None:
                self.reload()

    def _forget(self, forked: Forked) -> None:
        """In a worker: close everything that is the parent's.

        While a worker has the parent's end of another's channel, that one cannot notice that the parent has died.
        """
        self._selector.close()
        for worker in self._workers():
            worker.channel.close()
        for listener in self._listeners.others(forked.generation.listeners):
            listener.let_go()
