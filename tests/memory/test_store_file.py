"""Which files may be a store: what the command says of those that may not, and whose the file is that it makes."""

import asyncio
import os
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from threading import Barrier

import pytest

from oauth_proxy.errors import MayPass
from oauth_proxy.memory.file import prepared
from tests.support.command import AS_NOBODY, ended, needs_root, said, said_here, started, written
from tests.support.descriptors import descriptors_left
from tests.support.proxy import free_port

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that anybody may enter, and its owner write to."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def refused(folder: Path, file: Path, *, as_nobody: bool = False, status: int = 2) -> str:
    """What is said of this file as a store, by `run` and by `revoke` in the same words."""
    before = AS_NOBODY if as_nobody else ()
    config = written(folder, port=free_port(), store=f"sqlite:{file}")
    revoke = ("revoke", config, "--all")
    told = [said("run", config, before=before), said(*revoke, before=before) if before else said_here(*revoke)]
    said_of_it = {done.stderr.splitlines()[-1] for done in told}
    assert [(done.returncode, done.stdout) for done in told] == [(status, ""), (status, "")], told
    [sentence] = said_of_it
    return sentence.removeprefix(f"session.store: {file}").lstrip(": ")


def a_database(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.executescript(";".join(statements))


@pytest.fixture
def used(folder: Path) -> Path:
    """A store file that was used before."""
    file = folder / "sessions.db"
    done = said_here("revoke", written(folder, store=f"sqlite:{file}"), "--all")
    assert (done.returncode, done.stderr) == (0, "")
    return file


def test_a_file_that_is_no_database(folder: Path) -> None:
    file = folder / "sessions.db"
    file.write_text("u-jo\n" * 1000)
    assert refused(folder, file) == "the file is not a database"


def test_the_journal_of_ended_sessions_that_0_1_0_wrote_is_no_store_and_stays_as_it_is(folder: Path) -> None:
    file = folder / "ended.jsonl"
    file.write_text(journal := '["session-1", 1800000000.0]\n' * 40)
    assert refused(folder, file) == "the file is not a database"
    assert file.read_text() == journal


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE photos (name)", "PRAGMA user_version = 7", "PRAGMA application_id = 7"]
)
def test_the_database_of_another_program(folder: Path, statement: str) -> None:
    file = folder / "sessions.db"
    a_database(file, statement, "VACUUM")
    assert refused(folder, file) == "the file is the database of another program"


def test_a_file_that_a_newer_version_wrote(folder: Path, used: Path) -> None:
    a_database(used, "PRAGMA user_version = 2")
    assert refused(folder, used) == (
        "a newer version of the proxy wrote it (format 2, this version knows 1); run that version, or name "
        "another file"
    )


def test_a_file_that_is_damaged(folder: Path, used: Path) -> None:
    content = used.read_bytes()
    used.write_bytes(content[:4096] + bytes(len(content) - 4096))
    assert refused(folder, used).startswith("cannot be used: database disk image is malformed")


def test_no_file_and_no_folder_for_one_is_told_with_its_line_in_the_configuration(folder: Path) -> None:
    (folder / "sessions.db").mkdir()
    assert "this is a folder, and the store is a file" in refused(folder, folder / "sessions.db")
    assert "the folder of this file is not there" in refused(folder, folder / "nowhere/sessions.db")


def test_a_folder_that_everybody_may_write_to(folder: Path) -> None:
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    sentence = f"everybody may write to the folder {folder}/open, so anybody could replace the file"
    assert refused(folder, folder / "open/sessions.db") == sentence


@needs_root
def test_somebody_elses_folder(folder: Path) -> None:
    theirs = folder / "theirs"
    theirs.mkdir()
    os.chown(theirs, 1, 1)
    sentence = f"the folder {theirs} belongs to somebody else; use one of the user the proxy runs as"
    assert refused(folder, theirs / "sessions.db", as_nobody=True) == sentence


@needs_root
def test_roots_folder_that_the_service_may_not_write_to(folder: Path) -> None:
    sentence = f"the folder {folder} cannot be written to"
    assert refused(folder, folder / "sessions.db", as_nobody=True) == sentence


@needs_root
def test_somebody_elses_file_in_a_folder_where_anybody_could_put_one(folder: Path) -> None:
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)
    file = folder / "tmp/sessions.db"
    file.write_bytes(b"")
    sentence = "the file belongs to somebody else, and anybody could have put it there"
    assert refused(folder, file, as_nobody=True) == sentence


@needs_root
def test_a_file_that_can_only_be_read(folder: Path) -> None:
    (folder / "data").mkdir()
    file = folder / "data/sessions.db"
    said_here("revoke", written(folder, store=f"sqlite:{file}"), "--all")
    os.chown(folder / "data", NOBODY, NOBODY)
    sentence = "the file cannot be read and written by the user the proxy runs as"
    assert refused(folder, file, as_nobody=True) == sentence


@needs_root
@pytest.mark.parametrize("made_before", [True, False])
def test_a_disk_that_is_full(folder: Path, made_before: bool) -> None:
    (disk := folder / "disk").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k,mode=700", "tmpfs", disk], check=True)  # noqa: S603, S607
    try:
        file = disk / "sessions.db"
        if made_before:
            said_here("revoke", written(folder, store=f"sqlite:{file}"), "--all")
        with (disk / "filling").open("wb", 0) as filling, suppress(OSError):
            while filling.write(bytes(4096)):
                pass
        assert refused(folder, file, status=75).startswith("cannot be used: ")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)  # noqa: S603, S607


@pytest.mark.parametrize("left", [0, 1])
def test_too_many_open_files_are_not_the_configurations_fault(left: int, used: Path) -> None:
    """SQLite does not say that it is this."""
    with descriptors_left(left), pytest.raises(MayPass, match="cannot be used"):
        prepared(used)
    prepared(used)


@needs_root
def test_a_disk_that_can_only_be_read(folder: Path, used: Path) -> None:
    subprocess.run(["mount", "--bind", folder, folder], check=True)  # noqa: S603, S607
    config = written(folder, store=f"sqlite:{used}")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)  # noqa: S603, S607
        for words in (("run", config), ("revoke", config, "--all")):
            done = said(*words)
            assert (done.returncode, done.stdout) == (2, "")
            assert (
                done.stderr.splitlines()[-1] == f"session.store: {used}: the folder {folder} cannot be written to"
            )
    finally:
        subprocess.run(["umount", "-l", folder], check=True)  # noqa: S603, S607


@needs_root
async def test_what_root_revokes_before_the_service_ever_ran_holds_and_the_service_can_use_the_file(
    folder: Path,
) -> None:
    (data := folder / "data").mkdir(mode=0o700)
    os.chown(data, NOBODY, NOBODY)
    file = data / "sessions.db"
    config = written(folder, port=free_port(), admin=f"127.0.0.1:{free_port()}", store=f"sqlite:{file}")
    done = await asyncio.to_thread(said, "revoke", config, "--user", "u-jo")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"written to sqlite:{file}" in done.stdout
    assert owners(data) == {NOBODY: 0o600}
    for _ in range(2):
        async with started("run", config, sign=b"serving", before=AS_NOBODY) as service:
            done = await asyncio.to_thread(said, "revoke", config, "--user", "u-al")
            assert (done.returncode, done.stderr) == (0, "")
            assert "is told" in done.stdout, "the proxy was asked"
            beside = written_beside(config)
            done = await asyncio.to_thread(said, "revoke", beside, "--user", "u-bo")
            assert (done.returncode, done.stderr) == (0, "")
            assert "is written to" in done.stdout, "the file was written to while the service had it open"
            assert owners(data) == {NOBODY: 0o600}
            service.terminate()
            assert (await ended(service))[0] == 0
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT count(*) FROM ended").fetchone() == (3,)


def owners(folder: Path) -> dict[int, int]:
    """Whose the files are, and their modes."""
    return {each.stat().st_uid: each.stat().st_mode & 0o777 for each in folder.iterdir()}


def written_beside(config: Path) -> Path:
    """The same configuration for a proxy that does not run."""
    other = config.with_name("other.yaml")
    text = config.read_text()
    admin = text.partition("admin:\n")[2].split("listen: ")[1].split("\n")[0]
    other.write_text(text.replace(admin, f"127.0.0.1:{free_port()}"))
    return other


def test_a_file_that_several_processes_begin_at_once_is_all_of_theirs(tmp_path: Path) -> None:
    """One looked at an empty file, and then at the tables that another one had made meanwhile."""
    with ThreadPoolExecutor(4) as processes:
        for number in range(60):
            path, together = tmp_path / f"{number}.db", Barrier(4)

            def begin(path: Path = path, together: Barrier = together) -> None:
                together.wait()
                prepared(path)

            for begun in [processes.submit(begin) for _ in range(4)]:
                begun.result()
