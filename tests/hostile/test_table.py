"""docs/hostile.md says what is shown by which test; this keeps it true."""

import ast
import re
from functools import cache
from pathlib import Path

from tests.support.places import TESTS

PAGE = (TESTS.parent / "docs" / "hostile.md").read_text("utf-8")


@cache
def names_in(path: Path) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = {node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, functions)}
    return {name for name in names if name.startswith("test_")}


def named_in(page: str) -> set[tuple[str, str]]:
    """The tests that a page names: the file below tests/, and the function."""
    return set(re.findall(r"`([\w/]+\.py)::(test_\w+)`", page))


def missing(named: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the named tests that do not exist."""
    return {(file, name) for file, name in named if name not in names_in(TESTS / file)}


NAMED = named_in(PAGE)


def test_every_test_that_the_page_names_is_there() -> None:
    assert not missing(NAMED)
    assert len(NAMED) > 100


def test_every_hostile_test_is_on_the_page() -> None:
    here = [path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)]
    unnamed = {
        (path.name, name)
        for path in here
        for name in names_in(path)
        if (f"hostile/{path.name}", name) not in NAMED
    }
    assert not unnamed


def test_every_row_has_a_test_or_a_reason() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| Seen in")]
    assert len(rows) > 50
    assert all(line.count(" | ") == 2 and "::test_" in line for line in rows)
