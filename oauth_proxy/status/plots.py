"""The last quarter of an hour as three small plots: what is asked for, what goes wrong, and how long it takes."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from oauth_proxy.recent import STEP, STEPS
from oauth_proxy.status.words import short, took
from oauth_proxy.telemetry import LATENCIES

WIDTH, HEIGHT = 10 * STEPS, 100
"""Of a plot, in units of its own."""

Counts = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of a plot: its legend, the looks (a class of the style sheet), and an SVG path (SVG 2, 9.3)."""

    legend: str
    looks: str
    path: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot: its title, what its top edge stands for, all of it as a sentence, and its series.

    `off` is how much of its width lies before the proxy was started.
    """

    title: str
    top: str
    sentence: str
    series: tuple[Series, ...]
    off: int


def plots(steps: Mapping[int, Counts], now: int, first: int) -> list[Plot]:
    """The plots of the steps before `now`, which is not over; `first` is the one in which the proxy started."""
    shown = range(now - STEPS, now)
    counts = [steps.get(each, {}) for each in shown]
    off = 10 * max(0, min(STEPS, first - shown.start))
    return [_requests(counts, off), _troubles(counts, off), _durations(counts, off)]


def total(steps: Mapping[int, Counts], name: str, since: int = 0) -> float:
    """How much was counted under this name, from a step on."""
    return sum(numbers.get(name, 0) for step, numbers in steps.items() if step >= since)


def answers(numbers: Counts) -> float:
    """How many requests were answered, however."""
    return sum(numbers.get(f"{digit}xx", 0) for digit in range(1, 6))


def quantile(share: float, numbers: Counts) -> float | None:
    """About how many seconds that share of requests took at most, as Prometheus has it; None without any."""
    found = [numbers.get(f"took {place}", 0) for place in range(len(LATENCIES) + 1)]
    so_far = list(accumulate(found))
    if not so_far[-1]:
        return None
    wanted = share * so_far[-1]
    place = next(place for place, number in enumerate(so_far) if number >= wanted)
    if place == len(LATENCIES):
        return LATENCIES[-1]
    lower = LATENCIES[place - 1] if place else 0.0
    return lower + (LATENCIES[place] - lower) * (1 - (so_far[place] - wanted) / found[place])


def _requests(counts: Sequence[Counts], off: int) -> Plot:
    rates = [answers(each) / STEP for each in counts]
    top = _top(rates)
    sentence = f"{short(rates[-1])} a second now, at most {short(max(rates))}"
    series = (Series("requests", "asked", _bars(rates, [0.0] * STEPS, top)),)
    return Plot("Requests a second", short(top), sentence, series, off)


def _troubles(counts: Sequence[Counts], off: int) -> Plot:
    failed, refused = ([each.get(name, 0) * 60 / STEP for each in counts] for name in ("5xx", "4xx"))
    top = _top([one + other for one, other in zip(failed, refused, strict=True)])
    sentence = f"{short(failed[-1])} failed and {short(refused[-1])} refused a minute now, "
    sentence += f"at most {short(max(failed))} and {short(max(refused))}"
    series = (
        Series("failed (5xx)", "failed", _bars(failed, [0.0] * STEPS, top)),
        Series("refused (4xx)", "refused", _bars(refused, failed, top)),
    )
    return Plot("Failed and refused a minute", short(top), sentence, series, off)


def _durations(counts: Sequence[Counts], off: int) -> Plot:
    half, most = ([quantile(share, each) for each in counts] for share in (0.5, 0.95))
    known = [each for each in most if each is not None]
    top = _top(known)
    said = f"half of the requests took {took(_last(half))} at most, 95 of 100 {took(_last(most))}"
    series = (
        Series("95 of 100 took at most", "most", _line(most, top)),
        Series("half took at most", "half", _line(half, top)),
    )
    return Plot("Time to answer", took(top), said if known else "nothing was asked for", series, off)


def _last(values: Iterable[float | None]) -> float:
    known = [each for each in values if each is not None]
    return known[-1] if known else 0.0


def _top(values: Iterable[float]) -> float:
    """1, 2 or 5 times a power of ten, no less than all of the values."""
    most = max(values, default=0.0)
    if most <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(most))
    return next(power * each for each in (1, 2, 5, 10) if power * each >= most * 0.999)


def _scale(top: float) -> Callable[[float], float]:
    return lambda value: round(HEIGHT * min(1.0, value / top), 1)


def _bars(values: Sequence[float], below: Sequence[float], top: float) -> str:
    """A bar for each value, standing on what is `below`. What is not 0 can be seen."""
    high = _scale(top)
    parts = []
    for place, (value, base) in enumerate(zip(values, below, strict=True)):
        if value > 0:
            size = max(2.0, high(value))
            parts.append(f"M{10 * place} {HEIGHT - high(base)}h10v{-size}h-10z")
    return "".join(parts)


def _line(values: Sequence[float | None], top: float) -> str:
    """A line through the values, as steps; it is broken where there is none."""
    high = _scale(top)
    parts = []
    for is_known, run in groupby(enumerate(values), key=lambda each: each[1] is not None):
        if is_known:
            points = [(10 * place, HEIGHT - high(value or 0.0)) for place, value in run]
            parts.append("M" + "L".join(f"{x} {y}L{x + 10} {y}" for x, y in points))
    return "".join(parts)
