"""The metrics of one proxy, in the format of Prometheus: what is counted, and by which names."""

import platform
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from oauth_proxy import errors
from oauth_proxy.telemetry.counts import LATENCIES, Count, Durations, Histogram, Labels, Shown, code
from oauth_proxy.telemetry.logs import printable
from oauth_proxy.telemetry.traffic import Traffic, TrafficMetrics

C = TypeVar("C", bound=Collector)

CALLS = ("exchange", "profile", "refresh", "revoke")
"""What Frame.io is asked for."""
REFUSED = tuple(
    each.kind()
    for each in (getattr(errors, name) for name in errors.__all__)
    if issubclass(each, errors.ProxyError) and each is not errors.ProxyError
)
"""Why a request can be refused; besides, there are faults of ours."""
REFRESHES = ("done", "shared", "ended", "failed")
"""How a refresh of tokens can end; `shared` is the wait for one of another request or process."""


class Answered(Collector):
    """Responses so far and their durations. Plain numbers need no lock: counting and scraping share one thread."""

    def __init__(self) -> None:
        self._requests: dict[tuple[int, str], int] = {}
        self._took = Durations(LATENCIES)

    def count(self, status: int, by: str, seconds: float, *, stays_open: bool = False) -> None:
        """Count one response, sent `by` the tool or the proxy. What stays open is not among the durations."""
        self._requests[status, by] = self._requests.get((status, by), 0) + 1
        if status != 101 and not stays_open:
            self._took.add(seconds)

    def totals(self) -> dict[str, float]:
        """Answers by the first digit of their status, `1xx` to `5xx`, and durations by place: `took 0`, …"""
        found: dict[str, float] = dict.fromkeys((f"{digit}xx" for digit in range(1, 6)), 0)
        for (status, _), number in self._requests.items():
            found[f"{min(max(status // 100, 1), 5)}xx"] += number
        return found | {f"took {place}": number for place, number in enumerate(self._took.numbers())}

    def collect(self) -> Iterator[Metric]:
        """Both metric families, for Prometheus."""
        found: dict[tuple[str, str], int] = {}
        for (status, by), number in self._requests.items():
            found[code(status), by] = found.get((code(status), by), 0) + number
        requests = CounterMetricFamily("oauth_proxy_requests", "Requests answered.", labels=("code", "by"))
        for labels, number in found.items():
            requests.add_metric(labels, number)
        yield requests
        buckets, seconds = self._took.buckets()
        yield HistogramMetricFamily(
            "oauth_proxy_request_duration_seconds",
            "Time from a request's head to the end of its answer, but for WebSockets and event streams.",
            buckets=buckets,
            sum_value=seconds,
        )


class Metrics:
    """All metrics of one proxy. Each proxy has its own registry, so that two in one process do not mix."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self.answered = self._added(Answered())
        self.logins_started = self._added(
            Count("oauth_proxy_logins_started", "Visitors sent to Frame.io to sign in.")
        )
        self.logins = self._added(
            Count("oauth_proxy_logins", "Logins that came back, by how they ended.", ("result",), [("signed_in",)])
        )
        self.sign_outs = self._added(Count("oauth_proxy_sign_outs", "Sessions ended by visitors."))
        self.refreshes = self._added(
            Count(
                "oauth_proxy_refreshes",
                "Refreshes of sessions' tokens, by how they ended.",
                ("result",),
                [(each,) for each in REFRESHES],
            )
        )
        self.refusals = self._added(
            Count(
                "oauth_proxy_refusals",
                "Requests that were refused, by the reason.",
                ("reason",),
                [(each,) for each in (*REFUSED, "fault")],
            )
        )
        self.provider_calls = self._added(
            Count(
                "oauth_proxy_provider_calls",
                "Calls to Frame.io, by what was asked and how it ended.",
                ("call", "result"),
                [(call, result) for call in CALLS for result in ("ok", "provider_away", "provider_refused_us")],
            )
        )
        self._provider_took = self._added(
            Histogram(
                "oauth_proxy_provider_call_duration_seconds",
                "Time that calls to Frame.io took, the wait for a free connection included.",
                LATENCIES,
                ("call",),
                [(call,) for call in CALLS],
            )
        )
        build: Labels = version, platform.python_version()
        self.show(
            "oauth_proxy_build_info",
            "Always 1; the labels say what runs.",
            lambda: {build: 1.0},
            ("version", "python"),
        )
        ProcessCollector(registry=self.registry)

    def provider_called(self, call: str, result: str, seconds: float) -> None:
        """Count one of CALLS to Frame.io, and how it ended. A call that was not made has no duration."""
        self.provider_calls.add(call, result)
        if result != "provider_paused":
            self._provider_took.add(seconds, call)

    def show(
        self,
        name: str,
        documentation: str,
        read: Callable[[], Mapping[Labels, float]],
        labels: Labels = (),
        *,
        grows: bool = False,
    ) -> None:
        """Add a gauge, or a counter that a part keeps itself, which is read when somebody asks for the metrics."""
        self._added(Shown(name, documentation, labels, read, grows=grows))

    def show_traffic(self, traffic: Mapping[str, Traffic]) -> None:
        """Add the metrics of all tools, by their prefixes."""
        self._added(TrafficMetrics(traffic))

    def show_store(self, name: str, is_up: Callable[[], bool]) -> None:
        """Add a metric that shows whether the store of that name can be reached."""
        self.show(f"oauth_proxy_{name}_up", "Whether the store answers, 1 or 0.", lambda: {(): float(is_up())})

    def show_certificates(self, ends: Callable[[], Mapping[str, float]]) -> None:
        """Add a metric that shows when the certificate of each file ends."""
        self.show(
            "oauth_proxy_certificate_expiry_timestamp_seconds",
            "When the certificate in use ends, in seconds since the epoch.",
            lambda: {(printable(file),): moment for file, moment in ends().items()},
            ("file",),
        )

    def _added(self, collector: C) -> C:
        self.registry.register(collector)
        return collector


def process_metrics() -> CollectorRegistry:
    """The metrics of a process that serves nobody: its memory, CPU time and descriptors."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry
