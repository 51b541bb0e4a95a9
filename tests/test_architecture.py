"""docs/architecture.md shows the floors that import-linter holds, and laws that modules state and tests hold."""

import re
import tomllib

from tests.hostile.test_table import missing, named_in
from tests.support.places import ROOT
from tests.test_readme import named, table

PAGE = ROOT / "docs" / "architecture.md"


def test_the_floors_are_those_that_import_linter_holds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    [held] = [each["layers"] for each in project["tool"]["importlinter"]["contracts"] if each["type"] == "layers"]
    shown = [(number, " | ".join(named(rooms))) for number, rooms, _ in table(PAGE, "The rooms")]
    assert shown == [(str(len(held) - at), rooms) for at, rooms in enumerate(held)]


def test_there_are_ten_words() -> None:
    assert len(table(PAGE, "Ten words")) == 10


def test_each_law_stands_in_its_module_and_tests_hold_it() -> None:
    laws = table(PAGE, "The laws")
    assert len(laws) == 10
    for law, module, held_by in laws:
        [path] = re.findall(r"\]\(\.\./(.+)\)", module)
        assert "\nThe law: " in (ROOT / path).read_text("utf-8"), law
        tests = named_in(held_by)
        assert tests
        assert not missing(tests), law
        linked = re.findall(r"\]\(\.\./tests/(.+?)\)", held_by)
        assert set(linked) == {file for file, _ in tests}, law
