"""What one process has of the files that the settings name, after another one has read them again."""

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from oauth_proxy.file_contents import FileContents
from tests.support.certificates import Authority
from tests.support.configuration import file, read


@pytest.fixture
def contents(tmp_path: Path, authority: Authority) -> FileContents:
    (tmp_path / "people.txt").write_text("jo@a.example\n")
    authority.write(tmp_path / "site", "a.example")
    authority.write_ca(tmp_path / "ca.pem")
    text = file(
        tls="tls: {cert: site.crt, key: site.key}",
        access="access: {allow: [{emails_file: people.txt}]}",
        upstreams="upstreams: {/: {url: https://tool, ca_file: ca.pem}}",
    )
    return FileContents.of(read(text, folder=tmp_path))


def held(contents: FileContents) -> tuple[list[int], float, ssl.SSLContext]:
    """How many people each list has, when the certificate ends, and what the tool is trusted by."""
    assert contents.tls is not None
    [ends] = contents.tls.ends.values()
    return [len(each) for each in contents.email_files.lists.values()], ends, contents.tool_tls.contexts["/"]


def test_what_another_process_has_read_is_read_at_once_without_a_word_and_kept_when_it_breaks(
    tmp_path: Path, contents: FileContents, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    before = held(contents)
    contents.catch_up()
    assert held(contents) == before
    (tmp_path / "people.txt").write_text("jo@a.example\nkim@a.example\n")
    authority.write(tmp_path / "site", "a.example", ends=datetime(2030, 1, 1, tzinfo=UTC))
    Authority().write_ca(tmp_path / "ca.pem")
    contents.catch_up()
    people, ends, trusted = now = held(contents)
    assert (people, ends) == ([2], datetime(2030, 1, 1, tzinfo=UTC).timestamp())
    assert trusted is not before[2]
    for name in ("people.txt", "site.key", "ca.pem"):
        (tmp_path / name).write_bytes(b"")
    contents.catch_up()
    assert held(contents) == now
    assert caplog.messages == []
    logging.getLogger(__name__).info("and it can log again")
    assert caplog.messages == ["and it can log again"]
