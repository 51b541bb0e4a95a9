"""The arithmetic: what wrk and /proc say, medians, and ratios to our proxy."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Sample = Mapping[str, float]
"""One measurement of one row in one column: values by the name of what was measured."""

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Load:
    """What wrk reports: a count, a rate per second, and latencies in seconds."""

    requests: int
    rate: float
    p50: float
    p99: float


def parse_wrk(text: str) -> Load:
    """What `wrk --latency` printed. Raises ValueError when any request failed: its speed means nothing then."""
    wrong = re.search(r"^ *(Socket errors|Non-2xx).*$", text, re.MULTILINE)
    if wrong:
        raise ValueError(wrong[0].strip())
    return Load(
        requests=int(_one(r"(\d+) requests in", text)[0]),
        rate=float(_one(r"Requests/sec: +([\d.]+)", text)[0]),
        p50=_timed(*_one(r"50% +([\d.]+)(us|ms|s|m|h)\b", text)),
        p99=_timed(*_one(r"99% +([\d.]+)(us|ms|s|m|h)\b", text)),
    )


def _one(pattern: str, text: str) -> tuple[str, ...]:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"wrk did not say {pattern!r}")
    return found.groups()


def _timed(number: str, unit: str) -> float:
    return float(number) * _UNITS[unit]


def parent(stat: str) -> int:
    """The parent's process id in a line of /proc/PID/stat (proc(5))."""
    return int(_fields(stat)[1])


def cpu_ticks(stat: str) -> int:
    """User and system time in clock ticks in a line of /proc/PID/stat: its fields 14 and 15."""
    fields = _fields(stat)
    return int(fields[11]) + int(fields[12])


def _fields(stat: str) -> list[str]:
    """The fields from the third on: the second is the command's name, and may hold spaces and parentheses."""
    return stat.rpartition(")")[2].split()


def memory(status: str, what: str) -> int:
    """Bytes of memory in /proc/PID/status (`VmRSS` now, `VmHWM` at the peak) or smaps_rollup (`Pss`, …)."""
    found = re.search(rf"^{what}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0  # a process that is about to end has none


def middle(samples: Sequence[Sample], of: str) -> float:
    """The median over the rounds of one value."""
    return median(sample[of] for sample in samples)


def ratio(samples: Sequence[Sample], ours: Sequence[Sample], of: str) -> float | None:
    """The median over the rounds of their value to ours, each pair from the same round; None where ours is 0."""
    pairs = [theirs[of] / mine[of] for theirs, mine in zip(samples, ours, strict=True) if mine[of]]
    return median(pairs) if pairs else None
