"""A pytest plugin (`-p tests.tally`): what was tried of each table of docs/hostile.md, and what got through.

What is counted has run: each form that a test took from `tried`, or the test itself where it took none. A test
that failed ended at the first form that got through.
"""

import re
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

_PAGE = Path(__file__).parents[1] / "docs" / "hostile.md"
_of_this_test: list[int] = [0]


def tried(forms: Iterable[T]) -> Iterator[T]:
    """These forms of an attack, each of which is counted as it is played."""
    for form in forms:
        _of_this_test[0] += 1
        yield form


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Counts what one test tries; the number travels with its report, also from another process."""
    _of_this_test[0] = 0
    try:
        return (yield)
    finally:
        item.user_properties.append(("tried", _of_this_test[0] or 1))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table."""
    tables = _tables()
    reports = [
        (tables.get(_name(report.nodeid)), report)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if report.when == "call"
    ]
    tries: Counter[str] = Counter()
    through: Counter[str] = Counter()
    for table, report in reports:
        if table is not None:
            tries[table] += dict(report.user_properties)["tried"]
            through[table] += report.failed
    terminalreporter.section("hostile traffic")
    for table in dict.fromkeys(tables.values()):
        terminalreporter.write_line(_row(table, tries[table], through[table]))
    terminalreporter.write_line(_row("all of it", tries.total(), through.total()))


def _row(table: str, tries: int, through: int) -> str:
    return f"{table:<40}{tries:>8} tried{through:>8} got through"


def _tables() -> dict[str, str]:
    """The heading under which the page names each test of tests/hostile, the first one of several."""
    found: dict[str, str] = {}
    for part in _PAGE.read_text("utf-8").split("\n## ")[1:]:
        heading = part.partition("\n")[0]
        for name in re.findall(r"`(hostile/\w+\.py::test_\w+)`", part):
            found.setdefault(name, heading)
    return found


def _name(nodeid: str) -> str:
    return nodeid.removeprefix("tests/").partition("[")[0]
