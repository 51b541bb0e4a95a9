"""The table: a line for each row and value, a column for each proxy, every cell with its ratio to ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.measure import Sample, middle, ratio

OURS = "ours"
NOTHING = "—"


@dataclass
class Results:
    """Samples by row and column, one for each round; `failed` says why a cell has none."""

    columns: list[str]
    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, row: str, column: str, sample: Sample) -> None:
        """Keep one more round."""
        self.samples.setdefault((row, column), []).append(sample)

    def fail(self, row: str, column: str, reason: str) -> None:
        """Give up a cell: a median of fewer rounds would not be comparable."""
        self.samples.pop((row, column), None)
        self.failed[row, column] = reason

    def of(self, row: str, column: str) -> Sequence[Sample]:
        """The rounds of a cell, none where it has no value."""
        return self.samples.get((row, column), ())

    def rows(self) -> list[str]:
        """The rows that have a value, in the order they were measured."""
        return list(dict.fromkeys(row for row, _ in self.samples))

    def middle(self, row: str, column: str, of: str) -> float | None:
        """The median of a value."""
        rounds = self.of(row, column)
        return middle(rounds, of) if rounds and of in rounds[0] else None

    def ratio(self, row: str, column: str, of: str) -> float | None:
        """The median of a value's ratio to ours in the same round."""
        rounds, ours = self.of(row, column), self.of(row, OURS)
        if not rounds or not ours or of not in rounds[0]:
            return None
        return ratio(rounds, ours, of)


def number(value: float) -> str:
    """Three digits that matter."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.4f}"


def table(results: Results) -> str:
    """The whole table, in Markdown."""
    lines = [["", *results.columns]]
    for row in results.rows():
        for of in results.of(row, OURS)[0] if results.of(row, OURS) else ():
            lines.append([f"{row}: {of}", *(_cell(results, row, column, of) for column in results.columns)])
    return markdown(lines)


def _cell(results: Results, row: str, column: str, of: str) -> str:
    if (row, column) in results.failed:
        return "failed"
    value = results.middle(row, column, of)
    if value is None:
        return NOTHING
    to_ours = results.ratio(row, column, of)
    if column == OURS or to_ours is None:
        return number(value)
    return f"{number(value)} ({to_ours:.2f} ×)"


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns stand straight in a terminal too."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    first, *rest = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([first, rule, *rest])


@dataclass(frozen=True)
class Target:
    """What ours should reach: a value of a row compared with a column's, or with a plain number."""

    words: str
    row: str
    of: str
    at_least: float | None = None
    at_most: float | None = None
    column: str | None = None
    """Compared with this column's value, as ours divided by theirs."""

    def found(self, results: Results) -> float | None:
        """The number that is compared, or None where it was not measured."""
        if self.column is None:
            return results.middle(self.row, OURS, self.of)
        theirs = results.ratio(self.row, self.column, self.of)
        return 1 / theirs if theirs else None

    def verdict(self, found: float | None) -> str:
        """Whether that is enough, and by how much it is not."""
        if found is None:
            return "not measured"
        if self.at_least is not None and found < self.at_least:
            return f"missed by {(1 - found / self.at_least):.0%}"
        if self.at_most is not None and found > self.at_most:
            return f"missed by {(found / self.at_most - 1):.0%}"
        return "held"


SMALL = "small GET, 32 connections"
FRESH = "a fresh process, then 1,000 idle WebSockets"
CONNECTIONS = "a connection for each small GET, 32 at a time"
START = "a start, then idle"
IMPORTING = "CPU to that of importing uvloop and aiohttp.web"
RIVALS = ("oauth2-proxy", "Caddy")
WHOLE = "whole machine, small GET, 64 connections"
WORKERS = "workers, small GET, 64 connections"
RELOADS = "ten reloads, small GET, 50 connections"
TARGETS = (
    Target("small GET requests/s, to ClientSession", SMALL, "requests/s", 2.2, column="ClientSession"),
    Target("small GET requests/s, to oauth2-proxy", SMALL, "requests/s", 2.0, column="oauth2-proxy"),
    Target("small GET requests/s, to Caddy", SMALL, "requests/s", 1.3, column="Caddy"),
    Target("p99 at 32 connections, to oauth2-proxy", SMALL, "p99 ms", at_most=1.0, column="oauth2-proxy"),
    *(
        Target(f"{row}, {of}, to {rival}", row, of, 1.0, column=rival)
        for row, of in (
            ("1 MiB GET, 32 connections", "requests/s"),
            ("1 GiB download", "MiB/s"),
            ("1 GiB upload", "MiB/s"),
        )
        for rival in RIVALS
    ),
    Target("memory over 1 GiB down, MiB", "1 GiB download", "growth MiB", at_most=8.0),
    Target("memory over 1 GiB up, MiB", "1 GiB upload", "growth MiB", at_most=8.0),
    Target("idle WebSocket, KiB", FRESH, "KiB each", at_most=16.0),
    Target("cold start to listening, s", FRESH, "cold start s", at_most=0.5),
    Target(f"a start, {IMPORTING}", START, IMPORTING, at_most=1.8),
    Target(
        "a connection for each request, CPU, to Caddy", CONNECTIONS, "CPU s per 1,000", at_most=1.0, column="Caddy"
    ),
    Target("CPU with the access log, to none", "small GET, access log on", "CPU to none", at_most=1.1),
    Target("whole machine, requests/s, to oauth2-proxy", WHOLE, "requests/s", 4.0, column="oauth2-proxy"),
    Target("whole machine, requests/s, to Caddy", WHOLE, "requests/s", 1.7, column="Caddy"),
    Target("a further worker, MiB", WORKERS, "MiB of each further one", at_most=20.0),
    Target("the parent, MiB of its own", WORKERS, "MiB of the parent's own", at_most=12.0),
    Target("p99 during ten reloads, to quiet", RELOADS, "p99 to quiet", at_most=3.0),
    Target("requests lost in ten reloads", RELOADS, "lost", at_most=0.0),
    Target("token calls for 200 requests at expiry", "200 requests at expiry", "token calls", at_most=1.0),
)


def targets(results: Results) -> str:
    """Each target, what was found, whether that holds, and for speeds what the CPU time of the same row says.

    A core that others want too makes every proxy slower, and not at the same moment; CPU time per request or
    gibibyte stays nearly what it was.
    """
    lines = [["target", "asked", "found", "", "by CPU time"]]
    for target in TARGETS:
        found = target.found(results)
        asked = f"≥ {target.at_least:g}" if target.at_least is not None else f"≤ {target.at_most:g}"
        shown = NOTHING if found is None else number(found) + (" ×" if target.column else "")
        lines.append([target.words, asked, shown, target.verdict(found), _by_cpu(results, target)])
    return markdown(lines)


def _by_cpu(results: Results, target: Target) -> str:
    if target.column is None or target.at_least is None:
        return NOTHING
    for of in ("CPU s per 1,000", "CPU s"):
        theirs_to_ours = results.ratio(target.row, target.column, of)
        if theirs_to_ours is not None:
            return f"{theirs_to_ours:.2f} ×"
    return NOTHING


def absences(missing: Mapping[str, str], failed: Mapping[tuple[str, str], str]) -> str:
    """Who is not in the table and which cells have failed, a line each."""
    lines = [f"- {name}: {reason}" for name, reason in missing.items()]
    lines += [f"- {column}, {row}: {reason}" for (row, column), reason in failed.items()]
    return "\n".join(lines) or "- nobody and nothing"
