"""docs/security-model.md: its tests exist, its keys are those of the code, its picture is whole."""

import ast
import re
from xml.etree import ElementTree

from oauth_proxy import assertions
from tests.hostile.test_table import missing, named_in
from tests.support.places import ROOT
from tests.test_readme import named, table

MODEL = ROOT / "docs" / "security-model.md"
PAGE = MODEL.read_text("utf-8")
PICTURE = ROOT / "docs" / "trust-boundaries.svg"


def test_every_test_that_holds_a_boundary_is_there() -> None:
    assert not missing(named_in(PAGE))
    sections = re.split(r"^## \d ", PAGE, flags=re.MULTILINE)[1:]
    assert len(sections) == 8
    for section in sections:
        assert named_in(section)
        assert all(f"**{word}**" in section for word in ("Crosses", "Not defended"))


def test_the_keys_are_those_that_the_code_derives() -> None:
    purposes = {assertions.PURPOSE.decode().rpartition("/")[2]}
    for path in (ROOT / "oauth_proxy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name("Sealer"), args=[_, ast.Constant(str(purpose))]):
                    purposes.add(purpose)
    assert {named(row[0])[0] for row in table(MODEL, "Keys")} == purposes


def test_the_picture_has_each_boundary_and_says_so_in_words() -> None:
    picture = ElementTree.parse(PICTURE)  # noqa: S314 our own file
    words = "".join(picture.getroot().itertext())
    [alternative] = re.findall(r"!\[([^]]+)\]\(trust-boundaries\.svg\)", PAGE)
    for number in range(1, 9):
        assert f"({number})" in words
        assert re.search(rf"\b{number} ", alternative)
    assert "prefers-color-scheme: dark" in words
