"""The last quarter of an hour: what was counted in each step of time, and what was refused or failed last.

The law: whatever strangers do, it stays small; who repeats one thing fills one row, and one kind of trouble a few.

All of it is plain JSON, because workers tell it to their parent, in which it outlives them.
"""

from collections.abc import Mapping
from typing import Any

STEP = 15.0
"""Seconds of a step. The monotonic clock numbers them: it is the same for all processes of a machine."""
STEPS = 60
"""How many are kept, beside the one that is not over."""
MOST_ROWS = 25
"""Rows of strangers' refusals, and again of everything else: neither pushes the other out."""
MOST_OF_KIND = 5
"""Rows of one kind of trouble among these."""

Told = dict[str, Any]
"""What one process tells another: `steps`, pairs of a number and counts by name, and `rows`."""
Row = dict[str, Any]
"""One refusal or failure, or several alike: see `Recent.note`."""


class Recent:
    """Counts of each step, added up over all workers, and the last refusals and failures."""

    def __init__(self) -> None:
        self._steps: dict[int, dict[str, float]] = {}
        self._rows: dict[bool, dict[tuple[Any, ...], Row]] = {True: {}, False: {}}

    def count(self, step: int, numbers: Mapping[str, float]) -> None:
        """Add these numbers to a step's."""
        if numbers:
            mine = self._steps.setdefault(step, {})
            for name, number in numbers.items():
                mine[name] = mine.get(name, 0) + number
            oldest = max(self._steps) - STEPS
            for old in [each for each in self._steps if each < oldest]:
                del self._steps[old]

    def note(self, row: Row) -> None:
        """Keep a row: `status`, `failure`, `by`, `at` and `first` (seconds since the epoch), `count`, and facts.

        Rows that are alike in the first three and in `upstream` and `whose` become one, with the newest facts.
        """
        kind = (row["status"], row["failure"], row["by"])
        key = (*kind, row.get("upstream"), row.get("whose"))
        rows = self._rows["user" in row or row["status"] >= 500]
        known = rows.pop(key, None)
        if known is not None:
            newer = row if row["at"] >= known["at"] else known
            count, first = row["count"] + known["count"], min(row["first"], known["first"])
            row = {**newer, "count": count, "first": first}
        rows[key] = row
        alike = [each for each in rows if each[:3] == kind]
        if len(alike) > MOST_OF_KIND:
            del rows[alike[0]]
        elif len(rows) > MOST_ROWS:
            del rows[next(iter(rows))]

    def add(self, told: Told) -> None:
        """Add what another one has told."""
        for step, numbers in told["steps"]:
            self.count(step, numbers)
        for row in told["rows"]:
            self.note(row)

    def told(self) -> Told:
        """Everything that is kept; of the rows the newest is last."""
        rows = [row for some in self._rows.values() for row in some.values()]
        steps = [[step, dict(numbers)] for step, numbers in sorted(self._steps.items())]
        return {"steps": steps, "rows": sorted(rows, key=lambda row: row["at"])}

    def take(self) -> Told:
        """The same, and keep nothing of it."""
        told = self.told()
        self._steps.clear()
        for rows in self._rows.values():
            rows.clear()
        return told
