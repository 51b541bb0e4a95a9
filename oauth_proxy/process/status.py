"""What the parent knows of itself, as metrics."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from oauth_proxy.process.crew import Worker


class Status:
    """Numbers that only grow, and the outcome of the last reload."""

    def __init__(self, workers: Callable[[], Iterable[Worker]] = tuple) -> None:
        self.generation = 0
        self._workers = workers
        self.restarts = 0
        self._reloads = {"success": 0, "failure": 0}
        self._was_good = True
        self._last_good = time.time()

    def note_reload(self, *, is_good: bool) -> None:
        """A reload has ended."""
        self._reloads["success" if is_good else "failure"] += 1
        self._was_good = is_good
        if is_good:
            self._last_good = time.time()

    @property
    def serving(self) -> int:
        """How many workers serve."""
        return sum(worker.state == "serving" for worker in self._workers())

    def line(self) -> str:
        """All of it in a line for people."""
        line = f"generation {self.generation} serves, {self.serving} workers"
        return line if self._was_good else f"{line}; the last reload failed, see the log"

    def metrics(self) -> list[list[Any]]:
        """The metrics, in the form of `telemetry.snapshot`."""
        reloads = [
            ["oauth_proxy_reloads_total", [["result", result]], number] for result, number in self._reloads.items()
        ]
        return [
            _gauge("oauth_proxy_workers", "Worker processes that serve.", self.serving),
            _gauge("oauth_proxy_generation", "How many configurations have been in use.", self.generation),
            [
                *("oauth_proxy_worker_restarts", "Workers that died and were replaced.", "counter"),
                [["oauth_proxy_worker_restarts_total", [], self.restarts]],
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


def _gauge(name: str, documentation: str, value: float) -> list[Any]:
    return [name, documentation, "gauge", [[name, [], value]]]
