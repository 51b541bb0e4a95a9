"""Counters and histograms of plain numbers. They need no lock, as counting and scraping share one thread.

The law: labels come from a fixed set, so that nothing a visitor, a tool or Frame.io sends makes a new series.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from itertools import accumulate

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Labels = tuple[str, ...]
LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds, for what somebody waits for."""
LIFETIMES = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0)
"""Upper bounds in seconds, for what stays open: a second to a day."""

_CODES = {**{int(status): str(int(status)) for status in HTTPStatus}, 444: "444", 499: "499"}
"""Registered ones, and nginx's two for requests that nobody waits for the answer of."""


def code(status: int) -> str:
    """The label for a status: itself if it is registered, or `other`, as a tool can send any number."""
    return _CODES.get(status, "other")


def by_code(numbers: Mapping[int, int]) -> dict[str, int]:
    """Numbers by status as numbers by label."""
    found: dict[str, int] = {}
    for status, number in numbers.items():
        found[code(status)] = found.get(code(status), 0) + number
    return found


class Count(Collector):
    """A counter. Series that are named as `known` are there from the start, as 0: a rate misses none of theirs."""

    def __init__(
        self, name: str, documentation: str, labels: Labels = (), known: Iterable[Labels] = ((),)
    ) -> None:
        self._described = name, documentation
        self._labels = labels
        self._numbers = dict.fromkeys((each for each in known if len(each) == len(labels)), 0)

    def add(self, *labels: str) -> None:
        """Count one."""
        self._numbers[labels] = self._numbers.get(labels, 0) + 1

    def numbers(self) -> Mapping[Labels, int]:
        """How many there were, by the values of the labels."""
        return self._numbers

    def collect(self) -> Iterator[Metric]:
        """The metric family, for Prometheus."""
        family = CounterMetricFamily(*self._described, labels=self._labels)
        for labels, number in self._numbers.items():
            family.add_metric(labels, number)
        yield family


class Durations:
    """How often something took how long: the numbers of a histogram with these upper `bounds`, in seconds."""

    __slots__ = ("_bounds", "_seconds", "_took")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._took = [0] * (len(bounds) + 1)
        self._seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one that took so long."""
        self._took[bisect_left(self._bounds, seconds)] += 1
        self._seconds += seconds

    def numbers(self) -> list[int]:
        """How many there were up to the first bound, between that and the second, and so on."""
        return list(self._took)

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """The number at or below each bound, and the sum of all in seconds."""
        bounds = (*map(floatToGoString, self._bounds), "+Inf")
        return list(zip(bounds, accumulate(self._took), strict=True)), self._seconds


class Histogram(Collector):
    """A histogram; its series are those that are named as `known`."""

    def __init__(
        self,
        name: str,
        documentation: str,
        bounds: tuple[float, ...],
        labels: Labels = (),
        known: Iterable[Labels] = ((),),
    ) -> None:
        self._described = name, documentation
        self._labels = labels
        self._series = {each: Durations(bounds) for each in known}

    def add(self, seconds: float, *labels: str) -> None:
        """Count one that took so long."""
        self._series[labels].add(seconds)

    def collect(self) -> Iterator[Metric]:
        """The metric family, for Prometheus."""
        family = HistogramMetricFamily(*self._described, labels=self._labels)
        for labels, durations in self._series.items():
            family.add_metric(labels, *durations.buckets())
        yield family


class Shown(Collector):
    """Numbers that are `read` when they are asked for, by the values of the labels; a gauge, or a counter."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Labels,
        read: Callable[[], Mapping[Labels, float]],
        *,
        grows: bool = False,
    ) -> None:
        self._described = name, documentation
        self._labels = labels
        self._read = read
        self._family = CounterMetricFamily if grows else GaugeMetricFamily

    def collect(self) -> Iterator[Metric]:
        """The metric family, for Prometheus."""
        family = self._family(*self._described, labels=self._labels)
        for labels, number in self._read().items():
            family.add_metric(labels, number)
        yield family
