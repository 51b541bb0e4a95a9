"""The store file among real processes, and what may happen to it while it is in use."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from oauth_proxy.identity import Session
from oauth_proxy.memory import Memory
from oauth_proxy.memory.home import Record
from tests.memory.test_homes import listed, news
from tests.support.login import complaints
from tests.support.memories import a_session, processes
from tests.support.stores import Place, a_place, in_a_file
from tests.support.units import PATIENCE

pytestmark = in_a_file


@pytest.fixture
def file(place: Place) -> Path:
    return Path(place.address.removeprefix("sqlite:"))


@asynccontextmanager
async def worker(file: Path, name: str, work: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.store_worker", file, name, work), stdin=PIPE, stdout=PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line(process: Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def killed_after(process: Process, lines: int) -> int:
    """The last thing it said it had done before SIGKILL, in the middle of the next."""
    for _ in range(lines):
        await line(process)
    process.kill()
    said, _ = await process.communicate()
    return max(map(int, said.split()), default=lines - 1)


def is_good(file: Path) -> bool:
    with closing(sqlite3.connect(file)) as database:
        return bool(database.execute("PRAGMA integrity_check").fetchall() == [("ok",)])


def shell(command: str) -> None:
    """What somebody does to a file, in a process of their own: closing it here would give up SQLite's locks."""
    subprocess.run(command, shell=True, check=True)  # noqa: S602 a test's own words


async def test_processes_write_side_by_side_and_kill_9_leaves_a_good_file(place: Place, file: Path) -> None:
    home = place.home(clock=time.time)
    await home.open()
    async with worker(file, "a", "put") as a, worker(file, "b", "put") as b, worker(file, "c", "tell") as c:
        last = await asyncio.gather(killed_after(a, 50), killed_after(b, 70), killed_after(c, 30))
    kept = await listed(home, "session")
    for name, count in zip("ab", last, strict=False):
        assert {f"session:{name}-{number}" for number in range(count + 1)} <= kept.keys()
    told = await news(home)
    assert told[: 5 * (last[2] + 1)] == [f"c {n} {each}" for n in range(last[2] + 1) for each in range(5)]
    assert len(told) % 5 == 0, "all of it or nothing"
    await home.put(Record("session:after", "x", 1.0, 60.0))
    assert is_good(file)


async def test_one_process_at_a_time_has_the_turn(place: Place, file: Path) -> None:
    await place.home().open()
    counted = file.with_suffix(".count")
    counted.write_text("0")
    async with worker(file, "a", "count") as a, worker(file, "b", "count") as b:
        assert [await a.wait(), await b.wait()] == [0, 0]
    assert counted.read_text() == "40"


HARM = {
    "removed": "rm {file}",
    "removed with its logs": "rm {file} {file}-wal {file}-shm",
    "replaced": "mv {other} {file}",
    "copied over": "cp {other} {file}",
    "emptied": "truncate -s 0 {file}",
}


@pytest.mark.parametrize("harm", HARM)
async def test_a_file_that_is_not_the_one_it_was_is_told_everything_again(
    place: Place, file: Path, tmp_path_factory: pytest.TempPathFactory, harm: str
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    async with a_place("sqlite", elsewhere) as another:
        [stranger] = await processes(another, 1)
        await stranger.end_user("u-stranger")
    one, other = await processes(place)
    session, ended = a_session(place), a_session(place, "b", who="u-al")
    assert await one.remember(session)
    await one.end(ended)
    shell(HARM[harm].format(file=file, other=elsewhere / "sessions.db"))
    for _ in range(2):
        await one.follow()
        await other.follow()
    await knows(other, session, ended)
    [restarted] = await processes(place, 1)
    await knows(restarted, session, ended)
    if harm == "replaced":
        assert restarted.has_ended(a_session(place, "c", who="u-stranger")), "what it held is not written over"
    place.clock.advance(1)
    assert await other.end_user(None)
    await one.follow()
    assert one.has_ended(session)
    assert is_good(file)


def is_away(memory: Memory) -> bool:
    return memory.trouble is not None


async def knows(memory: Memory, session: Session, ended: Session) -> None:
    assert memory.trouble is None
    assert await memory.newest("session-a") == session
    assert memory.has_ended(ended)


TROUBLE = {
    "garbage": ("head -c 65536 /dev/urandom | dd of={file} conv=notrunc status=none", "rm {file}"),
    "a folder": ("rm {file}* && mkdir {file}", "rmdir {file}"),
    "no folder": ("mv {folder} {folder}-away", "mv {folder}-away {folder}"),
}


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_a_file_that_cannot_be_used_for_a_while_fails_nobody_and_is_told_all_when_it_is_well(
    place: Place, file: Path, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    begins, ends = (each.format(file=file, folder=file.parent) for each in TROUBLE[trouble])
    one, other = await processes(place)
    session, ended = a_session(place), a_session(place, "b", who="u-al")
    shell(begins)
    for _ in range(3):
        await one.follow()
        await other.follow()
    assert one.trouble == other.trouble == "sqlite unreachable"
    assert not await one.remember(session)
    await one.end(ended)
    assert one.has_ended(ended)
    assert not other.has_ended(ended)
    assert ["sqlite fails" in each for each in complaints(caplog)] == [True, True], "one for each process"
    shell(ends)
    await one.follow()
    await other.follow()
    await knows(other, session, ended)
    assert len([each for each in complaints(caplog) if "sqlite is back" in each]) == 2


async def test_a_file_that_another_process_holds_is_waited_for_and_then_done_without(
    place: Place, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    [one] = await processes(place, 1)
    session = a_session(place)
    async with worker(file, "a", "hold") as holder:
        assert await line(holder) == "held"
        assert not await one.remember(session)
        assert is_away(one)
        place.home()  # a process that starts meanwhile is not stopped by it
    await one.follow()
    assert not is_away(one)
    assert await one.newest(session.id) == session
    assert ["fails" in each or "back" in each for each in complaints(caplog)] == [True, True]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk, which root may do")
async def test_a_full_disk_is_as_a_store_that_is_away(
    place: Place, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shell(f"mount -t tmpfs -o size=256k,mode=700 tmpfs {file.parent}")
    try:
        [one] = await processes(place, 1)
        sessions = [a_session(place, f"{number}" + os.urandom(8000).hex()) for number in range(32)]
        assert [await one.remember(session) for session in sessions].count(False)
        assert is_away(one)
        for _ in range(3):
            await one.follow()
        assert len(complaints(caplog)) == 1
        shell(f"mount -o remount,size=8m {file.parent}")
        await one.follow()
        assert not is_away(one)
        [restarted] = await processes(place, 1)
        for session in sessions:
            assert await restarted.newest(session.id) == session
    finally:
        shell(f"umount -l {file.parent}")
