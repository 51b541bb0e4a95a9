"""The metrics of all workers, to be asked for by name."""

from collections.abc import Iterator

from oauth_proxy.telemetry import Written


class Numbers:
    """What `telemetry.merged` returns, as numbers."""

    def __init__(self, written: Written) -> None:
        self._samples: dict[str, list[tuple[dict[str, str], float]]] = {}
        for _, _, _, samples in written:
            for name, labels, value in samples:
                self._samples.setdefault(name, []).append((dict(labels), value))

    def __contains__(self, name: str) -> bool:
        return name in self._samples

    def of(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name that have these labels."""
        return sum(value for said, value in self._samples.get(name, ()) if labels.items() <= said.items())

    def by(self, name: str, label: str) -> Iterator[tuple[str, float]]:
        """The values of a label, and the number of each."""
        return ((said[label], value) for said, value in self._samples.get(name, ()))
