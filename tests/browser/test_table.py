"""docs/visitors.md says what visitors are promised and which test shows it; this keeps it true."""

from pathlib import Path

import pytest

from tests.hostile.test_table import missing, named_in, names_in
from tests.support.places import ROOT
from tests.test_readme import table

PAGE = ROOT / "docs" / "visitors.md"
NAMED = named_in(PAGE.read_text("utf-8"))


def test_every_test_that_the_page_names_is_there() -> None:
    assert not missing(NAMED)


def test_every_test_in_a_browser_is_on_the_page() -> None:
    here = [path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)]
    unnamed = {(f"browser/{path.name}", name) for path in here for name in names_in(path)} - NAMED
    assert not unnamed


@pytest.mark.parametrize(
    ("heading", "rows"),
    [("What was met", 23), ("What is promised", 50), ("Bad input", 7), ("What else is played in a browser", 7)],
)
def test_every_line_has_a_test(heading: str, rows: int) -> None:
    found = table(PAGE, heading)
    assert len(found) >= rows
    assert [row for row in found if not named_in(row[-1])] == []


def test_no_promise_is_left_out() -> None:
    rows = table(PAGE, "What is promised")
    numbers = [row[0].partition(".")[0] for row in rows if len(row) == 3]  # the others go on with the one before
    assert numbers == [str(number) for number in range(1, 12)]
