"""What is counted of the requests for one tool."""

from collections.abc import Iterator, Mapping
from typing import Literal

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from oauth_proxy.telemetry.counts import LATENCIES, LIFETIMES, Durations, by_code

ERRORS = ("busy", "cut_short", "hung_up", "nonsense", "timeout", "unreachable")
"""How a tool can fail a request; `cut_short` is after the first byte of its answer."""
ABANDONED = (
    *("bad_request", "body_too_slow", "fault", "session_over", "stopping", "too_many_at_once"),
    *("visitor_left", "visitor_too_slow"),
)
"""Why a request for a tool can end early without a fault of the tool's."""
Stream = Literal["websocket", "events"]


class Traffic:
    """The requests for one tool so far."""

    def __init__(self) -> None:
        self.requests: dict[int, int] = {}
        """Answers of the tool, by status."""
        self.starts = Durations(LATENCIES)
        """How long it took until an answer began."""
        self.errors = dict.fromkeys(ERRORS, 0)
        self.abandoned = dict.fromkeys(ABANDONED, 0)
        self.streams: dict[Stream, Durations] = {
            "websocket": Durations(LIFETIMES),
            "events": Durations(LIFETIMES),
        }
        """How long WebSockets and event streams that have ended were open."""

    def began(self, status: int, seconds: float) -> None:
        """The tool has begun an answer with this status, `seconds` after the request was there."""
        self.requests[status] = self.requests.get(status, 0) + 1
        self.starts.add(seconds)

    def failed(self, kind: str) -> None:
        """A request has ended early: one of ERRORS or ABANDONED."""
        counted = self.errors if kind in self.errors else self.abandoned
        counted[kind if kind in counted else "fault"] += 1


class TrafficMetrics(Collector):
    """The metrics of all tools, by the prefix of the path that leads to each."""

    def __init__(self, traffic: Mapping[str, Traffic]) -> None:
        self._traffic = traffic

    def collect(self) -> Iterator[Metric]:
        """The metric families, for Prometheus."""
        name = "oauth_proxy_upstream"
        requests = CounterMetricFamily(
            f"{name}_requests", "Answers that a tool has begun.", None, ("upstream", "code")
        )
        starts = HistogramMetricFamily(
            f"{name}_response_start_seconds",
            "Time from a request for a tool, its wait for a connection included, to the head of the answer.",
            labels=("upstream",),
        )
        errors = CounterMetricFamily(f"{name}_errors", "Requests that a tool failed.", None, ("upstream", "kind"))
        abandoned = CounterMetricFamily(
            f"{name}_abandoned",
            "Requests for a tool that ended early, and not by the tool.",
            None,
            ("upstream", "reason"),
        )
        streams = HistogramMetricFamily(
            f"{name}_stream_duration_seconds",
            "How long WebSockets and event streams were open, of those that have ended.",
            labels=("upstream", "kind"),
        )
        for upstream, traffic in self._traffic.items():
            for code, number in by_code(traffic.requests).items():
                requests.add_metric((upstream, code), number)
            starts.add_metric((upstream,), *traffic.starts.buckets())
            for kind, number in traffic.errors.items():
                errors.add_metric((upstream, kind), number)
            for reason, number in traffic.abandoned.items():
                abandoned.add_metric((upstream, reason), number)
            for stream, durations in traffic.streams.items():
                streams.add_metric((upstream, stream), *durations.buckets())
        yield from (requests, starts, errors, abandoned, streams)
