"""Lists of addresses in files: what is read, and what is refused."""

from pathlib import Path

import pytest

from oauth_proxy.settings import EmailPattern, parse_email_pattern
from oauth_proxy.settings.emails import EmailList, patterns_for, read_email_list
from oauth_proxy.settings.problems import Refused


def listed(path: Path, content: bytes) -> EmailList:
    path.write_bytes(content)
    return read_email_list(path)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_list_has_a_pattern_a_line_and_may_say_what_for(tmp_path: Path, ends: str) -> None:
    lines = [
        "\ufeff# freelancers",
        "",
        "Jo@partner.example.org  # till May",
        " *@studio.example.com\t",
        "a#b@c.example",
    ]
    found = listed(tmp_path / "people.txt", ends.join(lines).encode())
    assert found.patterns == {
        EmailPattern("jo", "partner.example.org"),
        EmailPattern(None, "studio.example.com"),
        EmailPattern("a#b", "c.example"),
    }


def test_a_list_of_nobody_says_so(tmp_path: Path) -> None:
    assert not listed(tmp_path / "people.txt", b"# nobody yet\n").patterns
    with pytest.raises(Refused, match="the file is empty; a list of nobody has a line that begins with '#'"):
        listed(tmp_path / "people.txt", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"jo@a.example\njo at b.example\n", "line 2 of the file: an email pattern has one '@' in it"),
        (b"jo@a.example, kim@a.example", "line 1 of the file: an email pattern is one mailbox"),
        (b"caf\xe9@a.example", "the file is not UTF-8 text"),
        (b"#" * (1024 * 1024 + 1), "the file is larger than 1MiB"),
    ],
)
def test_a_file_that_is_no_list_as_a_whole_is_refused_and_not_repeated(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(Refused) as refused:
        listed(tmp_path / "people.txt", content)
    assert refused.value.message.startswith(message)
    assert "b.example" not in refused.value.message


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="the file cannot be read: no such file or directory"):
        read_email_list(tmp_path / "people.txt")


@pytest.mark.parametrize("pattern", ["jo@a.b.example", "*@a.b.example", "*@*.b.example", "jo@*.b.example"])
def test_a_list_has_whom_one_of_its_patterns_fits(pattern: str) -> None:
    assert EmailList(frozenset({parse_email_pattern(pattern)})).has("jo", "a.b.example")
    assert not EmailList(frozenset({parse_email_pattern(pattern)})).has("jo", "b.example")
    assert parse_email_pattern(pattern) in set(patterns_for("jo", "a.b.example"))
