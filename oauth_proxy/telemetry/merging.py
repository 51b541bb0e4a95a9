"""Metrics of several processes as those of one.

The law: a counter never falls, whatever becomes of the process that counted.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Labels = tuple[tuple[str, str], ...]
_GROWS = ("counter", "histogram", "summary")


class Family(NamedTuple):
    """A metric: its name, what it says, its type (as Prometheus calls them), and its samples."""

    name: str
    documentation: str
    type: str
    samples: dict[tuple[str, Labels], float]


Written = list[list[Any]]
"""Families as they are sent to another process, as JSON."""


def snapshot(registry: CollectorRegistry) -> Written:
    """What the registry's metrics are now."""
    return [
        [
            metric.name,
            metric.documentation,
            metric.type,
            [
                [sample.name, sorted(sample.labels.items()), sample.value]
                for sample in metric.samples
                if not sample.name.endswith("_created")  # workers come and go: when one began says nothing
            ],
        ]
        for metric in registry.collect()
    ]


def merged(snapshots: Iterable[Written]) -> Written:
    """The metrics of all these processes: they are added, but for states, of which the worst one counts.

    That is the smallest of `…_up`, the earliest `…_timestamp_seconds`, and the largest `…_ratio`. What runs is the
    same everywhere (`…_info`), and the oldest process tells since when.
    """
    families: dict[str, Family] = {}
    for each in snapshots:
        for family in _read(each):
            known = families.setdefault(family.name, family._replace(samples={}))
            for key, value in family.samples.items():
                before = known.samples.get(key)
                known.samples[key] = value if before is None else _combined(family.name, before, value)
    return _write(families.values())


def lasting(written: Written) -> Written:
    """What remains of a process that has ended: what it has counted."""
    return _write(family for family in _read(written) if family.type in _GROWS)


def exposition(written: Written) -> bytes:
    """The metrics in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(written))
    return generate_latest(registry)


class _Collected(Collector):
    def __init__(self, written: Written) -> None:
        self._written = written

    def collect(self) -> Iterator[Metric]:
        for family in _read(self._written):
            metric = Metric(family.name, family.documentation, family.type)
            for (name, labels), value in family.samples.items():
                metric.add_sample(name, dict(labels), value)
            yield metric


def _combined(name: str, one: float, other: float) -> float:
    if name.endswith(("_up", "_timestamp_seconds")) or name == "process_start_time_seconds":
        return min(one, other)
    return max(one, other) if name.endswith(("_ratio", "_info")) else one + other


def _read(written: Written) -> Iterator[Family]:
    for name, documentation, kind, samples in written:
        pairs = {(sample, tuple(map(tuple, labels))): value for sample, labels, value in samples}
        yield Family(name, documentation, kind, pairs)


def _write(families: Iterable[Family]) -> Written:
    return [
        [*family[:3], [[name, list(labels), value] for (name, labels), value in family.samples.items()]]
        for family in families
    ]
