"""docs/where-it-runs.md names every file of config/, and what runs it."""

import re

from tests.support.places import CONFIG, ROOT

PAGE = ROOT / "docs/where-it-runs.md"
ROWS = re.findall(r"^\| (\[.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
MAKE = set(re.findall(r"^([a-z0-9-]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def test_no_file_of_config_is_missing_and_each_stands_in_one_row() -> None:
    named = [name for row in ROWS for name in re.findall(r"\(\.\./config/([^)#]+)\)", row)]
    assert sorted(named) == sorted(path.name for path in CONFIG.iterdir())


def test_each_says_what_for_and_which_test_runs_it() -> None:
    before = ""
    for row in ROWS:
        file, what, how, tests = row.split(" | ")
        assert what, file
        assert how, file
        tests = before if tests == "the same" else tests
        names = re.findall(r"\(\.\./(tests/[^)]+)\)", tests)
        targets = re.findall(r"`make ([a-z0-9]+)`", tests)
        assert names or targets, file
        assert all((ROOT / name).is_file() for name in names), file
        assert set(targets) <= MAKE, file
        before = tests
