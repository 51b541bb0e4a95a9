"""From one generation of workers to the next.

The law: while a generation serves, nothing that is wrong with a new configuration ends it.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from oauth_proxy.errors import ConfigurationError, MayPass
from oauth_proxy.outlet import Outlet
from oauth_proxy.process.crew import Forked, Generation, Worker
from oauth_proxy.process.listeners import Listeners
from oauth_proxy.process.status import Status
from oauth_proxy.process.supervisor import Supervisor
from oauth_proxy.process.wakeups import at_most
from oauth_proxy.process.watching import Watching
from oauth_proxy.settings import Loaded, Settings, changes
from oauth_proxy.telemetry import Event, audit_for, configure_logging

if TYPE_CHECKING:
    from oauth_proxy.file_contents import FileContents

log = logging.getLogger(__name__)

MOST_LEAVING = 16
"""Generations that may still have streams open; of more, the oldest are cut."""


_READING = 10
"""Seconds for the configuration and the files that it names to be read: a pipe, or a far file system, may hang."""


class Asker(NamedTuple):
    """A worker that waits for the outcome of a reload, the number of its question, and who wants the reload."""

    worker: Worker
    number: int
    operator: str


class Succession:
    """`read` loads the configuration, `prepare` what workers share, and `look_into` the files that it names.

    `fork` starts a worker. `tell` hears where the first generation serves.
    """

    def __init__(
        self,
        read: Callable[[], Loaded],
        prepare: Callable[[Settings], None],
        look_into: Callable[[Settings], "FileContents"],
        tell: Callable[[str], None],
        fork: Callable[[Generation], None],
        listeners: Listeners,
        supervisor: Supervisor,
        status: Status,
        log_to: Outlet,
    ) -> None:
        self._log_to = log_to
        self.generations: list[Generation] = []
        """All that still have a worker, the oldest first."""
        self.present: Generation | None = None
        """The one that serves; None before the first does, and after a stop."""
        self.coming: Generation | None = None
        """The one that is being started."""
        self.failure: ConfigurationError | None = None
        """Why the first one cannot serve."""
        self._read = read
        self._prepare = prepare
        self._look_into = look_into
        self._tell = tell
        self._fork = fork
        self._listeners = listeners
        self._supervisor = supervisor
        self._status = status
        self._watching = Watching()
        self._named: frozenset[Path] = frozenset()
        """The files of the last configuration that could be read."""
        self._asked: list[Asker] = []
        """Those that wait for the outcome of the reload."""
        self._asked_later: list[Asker] = []
        """Those that have asked during a reload: they wait for the next one."""
        self._accepting: set[Worker] | None = None
        """The workers of the generation before that still accept connections, while a reload waits for them."""
        self._must_reload = False

    def start(self) -> None:
        """Start a generation with the configuration as it is now. It takes over when it is ready."""
        try:
            settings = self._configured()
            self._prepare(settings)
            if self.present is None:
                listeners = self._listeners.open_patiently(settings)
            else:
                self.present.require_same_store(settings)
                listeners = self._listeners.open(settings)
            with at_most(_READING):
                contents = self._look_into(settings)
            self.coming = Generation(self._status.generation + 1, settings, contents, listeners)
            self.generations.append(self.coming)
            for _ in range(settings.worker_count):
                self._fork(self.coming)
        except Forked:
            raise
        except ConfigurationError as error:
            self.fail(error.problems, passing=isinstance(error, MayPass))
        except Exception as error:
            if self.present is None:
                raise
            problem = f"a fault of the proxy itself ({type(error).__name__}), which its log has"
            log.exception("reload: %s", problem)
            self.fail([problem])

    def _configured(self) -> Settings:
        """The configuration as it is now. What it names is watched, and after a refusal also what was watched."""
        self._watching.reading()
        try:
            with at_most(_READING):
                loaded = self._read()
        except ConfigurationError as refused:
            self._watching.watch(self._named | refused.files)
            raise
        self._named = loaded.files
        self._watching.watch(self._named)
        return loaded.settings

    def reload(self, *asker: Asker) -> None:
        """Start another generation, after the one that is being started. `asker` is told how that ended."""
        if self.coming is not None or self._accepting is not None:
            self._must_reload = True
            self._asked_later += asker
            return
        self._asked += asker
        if self.present is None:
            self._reply(None)
            return
        self._supervisor.reloading()
        self.start()

    def look_at_files(self) -> None:
        """Reload if that is wanted when a file has changed, and one has."""
        if self.present is not None and self.present.settings.reload == "watch" and self._watching.has_changed():
            log.info("reload: a file has changed")
            self.reload()

    def advanced(self, worker: Worker) -> None:
        """A worker has everything it needs (`prepared`), or serves."""
        generation = worker.generation
        if generation is not self.coming:
            if worker.state == "prepared":  # it replaces one that has died
                worker.send({"do": "go"})
        elif generation.are_all(worker.state):
            if worker.state == "prepared":
                generation.send({"do": "go"})
            else:
                self._take_over(generation)

    def fail(self, problems: list[str], *, passing: bool = False) -> None:
        """The coming generation cannot serve. The present one goes on; without one, that is the end."""
        failed, self.coming = self.coming, None
        if failed is not None:
            failed.stop(0.0)
            self._forget_ended()  # the system may have had no room for the first worker
        if self.present is None:
            self.failure = (MayPass if passing else ConfigurationError)(problems)
            return
        self._listeners.keep(self.present.settings)
        self._note("reload", self.present.settings, "refused: " + "; ".join(problems))
        for problem in problems:
            log.error("reload: %s", problem)
        log.error("reload: nothing is changed, the configuration before stays in use")
        self._reloaded(problems)

    def closed(self, worker: Worker) -> None:
        """A worker accepts no connection any more."""
        if self._accepting is not None:
            self._accepting.discard(worker)
            self._finish()

    def ended(self, worker: Worker, how: str) -> None:
        """A worker's process has ended."""
        self._asked = [each for each in self._asked if each[0] is not worker]
        self._asked_later = [each for each in self._asked_later if each[0] is not worker]
        self.closed(worker)
        if worker.generation is self.coming:
            self.fail([f"a worker has ended at its start: {how}"], passing=True)
        self._forget_ended()

    def stop(self) -> None:
        """End all generations for good."""
        self._asked += self._asked_later
        self._asked_later = []
        self._reply(None)
        delay = self.present.settings.drain_delay if self.present is not None else 0.0
        for generation in self.generations:
            generation.stop(0.0 if generation is self.coming else delay)
        self.present = self.coming = self._accepting = None
        self._forget_ended()

    def _forget_ended(self) -> None:
        """Keep the generations that have workers, and the one whose workers are replaced."""
        self.generations = [each for each in self.generations if each.workers or each is self.present]

    def _take_over(self, coming: Generation) -> None:
        """All workers of a generation serve: the one before lets its connections end."""
        before, self.present, self.coming = self.present, coming, None
        coming.has_served = True
        configure_logging(coming.settings.log.format, self._log_to, coming.settings.log.level)
        self._status.generation = coming.number
        self._listeners.keep(coming.settings)
        if before is None:
            self._tell(str(coming.listeners["public"].at))
            self._supervisor.ready(self._status.line())
            self._reload_again()
            return
        for line in changes(before.settings, coming.settings):
            log.info("reload: %s", line)
        self._note("reload", coming.settings, f"generation {coming.number} serves")
        if before.settings.session.keys != coming.settings.session.keys:
            old, new = (each.settings.session.keys for each in (before, coming))
            kept = (
                "some of them are the same"
                if set(old) & set(new)
                else "none is the same: everybody signs in again"
            )
            self._note("key_change", coming.settings, f"session.secret: {len(old)} before, {len(new)} now, {kept}")
        before.hand_over(coming.settings)
        leaving = [each for each in self.generations if each is not coming]
        for oldest in leaving[:-MOST_LEAVING]:
            oldest.stop(0.0)
        self._accepting = set(before.workers)
        self._finish()

    def _note(self, event: Event, settings: Settings, why: str) -> None:
        """Write to the audit stream. It is opened for the moment: this process keeps no file."""
        try:
            audit = audit_for(settings.log, self._log_to)
            operators = ", ".join(dict.fromkeys(each.operator for each in self._asked if each.operator))
            audit.note(event, "operator", why, operator=operators)
            audit.close()
            self._status.audit_lost += audit.lost
        except ConfigurationError as error:
            self._status.audit_lost += 1
            log.error("%s", error)  # noqa: TRY400 an expected failure: no traceback

    def _finish(self) -> None:
        """A reload is done when no worker of the generation before accepts a connection any more."""
        if self._accepting is not None and not self._accepting:
            self._accepting = None
            log.info("reload: generation %d serves", self._status.generation)
            self._reloaded([])

    def _reloaded(self, problems: list[str]) -> None:
        """A reload has ended, well without problems."""
        self._status.note_reload(is_good=not problems)
        self._reply(problems)
        self._supervisor.ready(self._status.line())
        self._reload_again()

    def _reply(self, problems: list[str] | None) -> None:
        """Tell who waits what prevents the reload; None if the proxy stops."""
        for worker, number, _ in self._asked:
            worker.send({"do": "hear", "id": number, "content": problems})
        self._asked.clear()

    def _reload_again(self) -> None:
        """Reload if that was wanted meanwhile."""
        if self._must_reload:
            self._must_reload = False
            asked, self._asked_later = self._asked_later, []
            self.reload(*asked)
