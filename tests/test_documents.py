"""What every Markdown file of the project owes its reader: no link leads nowhere."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.test_house import ROOT, tracked

DOCUMENTS = [path for path in tracked() if path.suffix == ".md"]
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?![a-z]+:)([^)\s]+)\)|^\[[^]]+\]: (?![a-z]+:)(\S+)$", re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """The names by which a page's headings are linked to, as GitHub makes them: the second of a name gets -1."""
    text = re.sub(r"^```.*?^```$", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w -]", "", words).replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def dead_links(document: Path, root: Path = ROOT) -> list[str]:
    """The relative links that lead to no file below `root`, or to no heading of a page."""
    dead = []
    for first, second in LINK.findall(CODE.sub("", document.read_text("utf-8"))):
        path, _, anchor = (target := first or second).partition("#")
        linked = (document.parent / path).resolve() if path else document
        found = linked.exists() and linked.is_relative_to(root)
        if not found or (anchor and (linked.suffix != ".md" or anchor not in anchors(linked))):
            dead.append(target)
    return dead


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_its_heading(document: Path) -> None:
    assert not dead_links(document)


def test_a_dead_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b` c\n[a](#a-b-c) [b](#b) [c](none.md)\n`[d](none.md)` [e](https://none.example)\n")
    assert dead_links(page, tmp_path) == ["#b", "none.md"]
