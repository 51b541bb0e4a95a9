"""Lists of addresses are read again when their files change, and a broken file changes nothing."""

import logging
from pathlib import Path

import pytest

from oauth_proxy.email_files import EmailFiles
from oauth_proxy.errors import ConfigurationError


def looked(files: EmailFiles) -> None:
    """A look that sees a change, and the one after that."""
    files.look()
    files.look()


def has(files: EmailFiles, path: Path, *locals_: str) -> list[bool]:
    return [files.lists[path].has(local, "a.example") for local in locals_]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "people.txt"
    path.write_text("jo@a.example\n")
    return path


def test_a_changed_file_is_read_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    files = EmailFiles([path])
    looked(files)
    path.write_text("kim@a.example\nsam@a.example\n")
    looked(files)
    assert has(files, path, "jo", "kim", "sam") == [False, True, True]
    assert caplog.messages == [f"{path} is read again, 2 addresses"]


def test_a_file_that_is_replaced_by_a_link_to_another_is_read_again(path: Path, tmp_path: Path) -> None:
    """As Kubernetes does it."""
    files = EmailFiles([path])
    other = tmp_path / "other.txt"
    other.write_text("om@a.example\n")
    (tmp_path / "link").symlink_to(other)
    (tmp_path / "link").replace(path)
    looked(files)
    assert has(files, path, "jo", "om") == [False, True]


def test_half_a_list_between_two_steps_of_a_writer_counts_for_nothing(path: Path) -> None:
    path.write_text("jo@a.example\nkim@a.example\n")
    files = EmailFiles([path])
    for content in ("jo@a.example\n", "jo@a.example\nki", "jo@a.example\nkim@a.example\nsam@a.example\n"):
        path.write_text(content)
        files.look()
        assert has(files, path, "jo", "kim", "sam") == [True, True, False]
    files.look()
    assert has(files, path, "jo", "kim", "sam") == [True, True, True]


@pytest.mark.parametrize("content", [b"", b"jo@a.example\nkim at a.example\n", b"\xff", None])
def test_a_broken_file_keeps_the_list_before_it_and_is_told_of_once(
    path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    files = EmailFiles([path])
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    for _ in range(70):
        files.look()
    assert has(files, path, "jo", "kim") == [True, False]
    [told] = caplog.messages
    assert told.startswith(f"{path}: ")
    assert told.endswith("; the list before it stays in use")
    assert "a.example" not in told
    path.write_text("kim@a.example\n")
    looked(files)
    assert has(files, path, "jo", "kim") == [False, True]


def test_a_broken_file_does_not_keep_another_one_from_being_read(path: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.txt"
    second.write_text("jo@a.example\n")
    files = EmailFiles([path, second])
    path.write_text("")
    second.write_text("kim@a.example\n")
    looked(files)
    assert (has(files, path, "jo"), has(files, second, "jo", "kim")) == ([True], [False, True])


def test_a_file_that_is_broken_at_the_start_is_a_problem_of_the_configuration(path: Path) -> None:
    path.write_text("")
    with pytest.raises(ConfigurationError, match="the file is empty"):
        EmailFiles([path])
