"""The metrics, in the format of Prometheus."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Answered(Collector):
    """Responses so far and their durations. Plain numbers need no lock: counting and scraping share one thread."""

    BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
    """Upper bounds of the histogram buckets, in seconds."""

    def __init__(self) -> None:
        self._requests: dict[tuple[int, str], int] = {}
        self._took = [0] * (len(self.BOUNDS) + 1)
        self._seconds = 0.0

    def count(self, status: int, by: str, seconds: float) -> None:
        """Count one response, sent `by` the tool or the proxy."""
        self._requests[status, by] = self._requests.get((status, by), 0) + 1
        self._took[bisect_left(self.BOUNDS, seconds)] += 1
        self._seconds += seconds

    def collect(self) -> Iterator[Metric]:
        """Both metric families, for Prometheus."""
        requests = CounterMetricFamily("oauth_proxy_requests", "Requests answered.", labels=("code", "by"))
        for (status, by), number in self._requests.items():
            requests.add_metric((str(status), by), number)
        yield requests
        bounds = (*map(floatToGoString, self.BOUNDS), "+Inf")
        yield HistogramMetricFamily(
            "oauth_proxy_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            buckets=list(zip(bounds, accumulate(self._took), strict=True)),
            sum_value=self._seconds,
        )


class Metrics:
    """All metrics of one proxy. Each proxy has its own registry, so that two in one process do not mix."""

    def __init__(self, connections: Callable[[], int] = lambda: 0, tasks: Callable[[], int] = lambda: 0) -> None:
        self.registry = CollectorRegistry()
        self.answered = Answered()
        self.registry.register(self.answered)
        self.logins = Counter(
            "oauth_proxy_logins", "Logins, by how they ended.", ["result"], registry=self.registry
        )
        self.provider_calls = Counter(
            "oauth_proxy_provider_calls",
            "Calls to Frame.io, by what was asked and how it ended.",
            ["call", "result"],
            registry=self.registry,
        )
        for name, what, number in (
            ("oauth_proxy_connections", "Connections of visitors.", connections),
            ("oauth_proxy_tasks", "Tasks of the event loop: what grows here is a leak.", tasks),
        ):
            Gauge(name, what, registry=self.registry).set_function(number)
        self.sign_outs = Counter("oauth_proxy_sign_outs", "Sessions ended by visitors.", registry=self.registry)

    def show_store(self, name: str, is_up: Callable[[], bool]) -> None:
        """Add a metric that shows whether the store of that name can be reached."""
        gauge = Gauge(f"oauth_proxy_{name}_up", "Whether the store answers, 1 or 0.", registry=self.registry)
        gauge.set_function(is_up)
