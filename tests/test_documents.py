"""What the project's pages, and make help, owe their reader; no link leads nowhere."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.support.places import ROOT
from tests.test_house import tracked

DECISIONS = ROOT / "docs" / "decisions"
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


def test_every_page_is_in_the_list_of_documents() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages <= set(re.findall(r"\]\(([\w-]+\.md)\)", index))


def test_a_dead_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b` c\n[a](#a-b-c) [b](#b) [c](none.md)\n`[d](none.md)` [e](https://none.example)\n")
    assert dead_links(page, tmp_path) == ["#b", "none.md"]


def test_decisions_are_numbered_listed_and_say_where_they_stand() -> None:
    pages = sorted(DECISIONS.glob("0*.md"))
    listed = re.findall(r"^(\d+)\. \[(.+)\]\((.+)\)$", (DECISIONS / "README.md").read_text("utf-8"), re.MULTILINE)
    assert [name for _, _, name in listed] == [page.name for page in pages]
    for number, (page, (shown, title, _)) in enumerate(zip(pages, listed, strict=True), start=1):
        text = page.read_text("utf-8")
        assert (page.name[:4], shown) == (f"{number:04}", str(number))
        assert text.startswith(f"# {number}. {title}\n"), page.name
        said = re.findall(
            r"^\*\*(Decision|Why|What we tried|What would change our mind|Where it stands)\b", text, re.M
        )
        assert list(dict.fromkeys(said)) == [
            "Decision",
            "Why",
            "What we tried",
            "What would change our mind",
            "Where it stands",
        ], page.name
        assert "](../../oauth_proxy/" in text.rpartition("**Where it stands")[2], page.name


def test_make_help_tells_of_every_target_what_it_does_needs_and_takes() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    [phony] = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    told = re.findall(r"^make ([a-z0-9-]+): .+\n {4}needs .+; \w+ .+$", done.stdout, re.MULTILINE)
    assert sorted(told) == sorted(phony.split())
