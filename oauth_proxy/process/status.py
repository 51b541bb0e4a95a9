"""What the parent knows of itself, as metrics."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from oauth_proxy.process.crew import Worker
from oauth_proxy.telemetry import LOST, process_metrics, snapshot


class Status:
    """Numbers that only grow, and the outcome of the last reload."""

    def __init__(self, workers: Callable[[], Iterable[Worker]] = tuple) -> None:
        self.generation = 0
        self.restarts = 0
        self.audit_lost = 0
        """Lines of the audit stream that the parent could not write."""
        self.is_stopping = False
        self._workers = workers
        self._reloads = {"success": 0, "failure": 0}
        self._was_good = True
        self._last_good = time.time()
        self._last = ""
        self._process = process_metrics()

    def note_reload(self, *, is_good: bool) -> None:
        """A reload has ended."""
        self._reloads["success" if is_good else "failure"] += 1
        self._was_good = is_good
        if is_good:
            self._last_good = time.time()
        at = time.strftime("%Y-%m-%d %H:%M:%S %Z")
        self._last = f"reloaded at {at}" if is_good else f"the reload at {at} failed, see the log"

    @property
    def serving(self) -> int:
        """How many workers serve."""
        return self._states()["serving"]

    def line(self) -> str:
        """How the proxy is, as one line for people."""
        states = self._states()
        serving, leaving = states["serving"], states["leaving"]
        starting = states.total() - serving - leaving
        if self.is_stopping:
            return f"stopping; {_counted(leaving)} may finish requests"
        told = [f"generation {self.generation} serves with {_counted(serving)}"] if self.generation else []
        told += [f"{_counted(starting)} starting"] if starting else []
        told += [f"{_counted(leaving)} finishing"] if leaving else []
        return "; ".join([*told, *filter(None, [self._last])])

    def _states(self) -> Counter[str]:
        return Counter(worker.state for worker in self._workers())

    def metrics(self) -> list[list[Any]]:
        """The metrics, in the form of `telemetry.snapshot`."""
        reloads = [
            ["oauth_proxy_reloads_total", [["result", result]], number] for result, number in self._reloads.items()
        ]
        return [
            *snapshot(self._process),
            _gauge("oauth_proxy_workers", "Worker processes that serve.", self.serving),
            _gauge("oauth_proxy_generation", "How many configurations have been in use.", self.generation),
            [
                *("oauth_proxy_worker_restarts", "Workers that died and were replaced.", "counter"),
                [["oauth_proxy_worker_restarts_total", [], self.restarts]],
            ],
            [
                *("oauth_proxy_audit_lines_lost", LOST, "counter"),
                [["oauth_proxy_audit_lines_lost_total", [], self.audit_lost]],
            ],
            ["oauth_proxy_reloads", "Reloads, by how they ended.", "counter", reloads],
            _gauge(
                "oauth_proxy_last_reload_successful",
                "Whether the last reload, or the start, was successful, 1 or 0.",
                int(self._was_good),
            ),
            _gauge(
                "oauth_proxy_last_reload_success_timestamp_seconds",
                "When the configuration in use was loaded, in seconds since the epoch.",
                self._last_good,
            ),
        ]


def _counted(workers: int) -> str:
    return f"{workers} worker" if workers == 1 else f"{workers} workers"


def _gauge(name: str, documentation: str, value: float) -> list[Any]:
    return [name, documentation, "gauge", [[name, [], value]]]
