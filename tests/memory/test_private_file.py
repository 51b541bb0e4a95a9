"""The file of the memory that ends with the proxy: it lies in memory, so it is bounded, and begun anew if full."""

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path

import pytest

from oauth_proxy.memory import Memory, full_disk_hazard, sqlite
from oauth_proxy.memory.home import Record
from oauth_proxy.memory.sqlite import SqliteHome
from tests.support.login import complaints
from tests.support.memories import a_memory, a_session
from tests.support.proxy import Clock
from tests.support.stores import SITE, WEEK, Place, a_place

MIB = 1024 * 1024
mounts = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small place, which root may do")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a folder in memory of this size."""
    folder = tmp_path / "shm"

    def mount(size: str) -> Path:
        folder.mkdir()
        shell(f"mount -t tmpfs -o size={size},mode=700 tmpfs {folder}")
        return folder

    yield mount
    shell(f"umount -l {folder}")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """For its clock."""
    async with a_place("sqlite", tmp_path) as somewhere:
        yield somewhere


@pytest.fixture
async def worker(place: Place) -> AsyncIterator[Callable[[Path], Memory]]:
    """One more worker of a proxy, whose private file this is."""
    async with AsyncExitStack() as stack:

        def begun(file: Path) -> Memory:
            home = SqliteHome(file, SITE, place.clock, lasting=False)
            stack.push_async_callback(home.close)
            return a_memory(place, home=home)

        yield begun


def shell(command: str) -> None:
    subprocess.run(command, shell=True, check=True)  # noqa: S602 a test's own words


def filled(folder: Path) -> Path:
    """Somebody else's file, which takes all the room that is left."""
    other = folder / "filling"
    with other.open("wb", 0) as filling, suppress(OSError):
        while filling.write(bytes(4096)):
            pass
    return other


async def follow(*workers: Memory) -> None:
    """What each does once a second, at the same time and for some seconds."""
    for _ in range(4):
        await asyncio.gather(*[each.follow() for each in workers])


async def share(place: Place, workers: list[Memory], name: str) -> bool:
    """Whether what one of them is told, session and end, all of them know."""
    for number, teller in enumerate(workers):
        session = a_session(place, f"{name}-{number}")
        ended = a_session(place, f"{name}-{number}-ended")
        if not await teller.remember(session):
            return False
        await teller.end(ended)
        await follow(*workers)
        for each in workers:
            if await each.newest(session.id) != session or not each.has_ended(ended):
                return False
    return True


def is_good(file: Path) -> bool:
    with closing(sqlite3.connect(file)) as database:
        return bool(database.execute("PRAGMA integrity_check").fetchall() == [("ok",)])


async def test_attempts_without_number_fill_no_memory_and_take_no_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MOST_BYTES", 2 * MIB)
    clock = Clock()
    home = SqliteHome(tmp_path / "memory.db", SITE, clock, lasting=False)
    await home.open()
    await home.put(Record("session:one", "tokens", clock(), WEEK))
    size = 0
    for number in range(40):
        await home.put(*[Record(f"claim:{number}-{each}", "x" * 200, clock(), 900.0) for each in range(1000)])
        clock.advance(1)
        await home.news()
        size = max(size, (tmp_path / "memory.db").stat().st_size)
    assert size < 8 * MIB
    assert await home.get("session:one") == "tokens"
    assert await home.get("claim:39-999") is not None
    await home.close()


@pytest.mark.parametrize("size", [2_500, 20_000, 60_000])
async def test_about_a_tenth_is_forgotten_at_once_however_large_the_records_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(sqlite, "MOST_BYTES", 8 * MIB)
    clock = Clock()
    home = SqliteHome(tmp_path / "memory.db", SITE, clock, lasting=False)
    await home.open()
    counts, names, at_once = [0], [""], max(1, 20_000 // size)
    for number in range(12 * MIB // size // at_once):
        names = [f"session:{number}-{each}" for each in range(at_once)]
        await home.put(*[Record(name, "x" * size, clock(), WEEK + number) for name in names])
        await home.news()
        [count] = await home.asked(lambda file: file.execute("SELECT count(*) FROM record").fetchone())
        counts.append(count)
    most = max(counts)
    assert 4 * MIB < most * size < 8 * MIB
    assert min(counts[counts.index(most) :]) > 0.8 * most
    assert await home.get(names[-1]) is not None, "what expires last"
    await home.close()


@mounts
async def test_a_small_place_gets_not_full_by_attempts_nor_by_large_sessions(
    place: Place, worker: Callable[[Path], Memory], mounted: Callable[[str], Path]
) -> None:
    """Docker gives 64 MiB; this one is still smaller."""
    file = mounted("16m") / "memory.db"
    one, other = worker(file), worker(file)
    await follow(one, other)
    for number in range(20):
        for each in range(50):
            assert await one.remember(a_session(place, f"{number}-{each}-" + os.urandom(6000).hex()))
        for each in range(200):
            await other.leave(f"form {number} {each}", os.urandom(2000), 900.0)
    assert await share(place, [one, other], "after")
    place.clock.advance(WEEK + 1)
    assert await share(place, [one, other], "when all has expired")
    assert is_good(file)


@mounts
async def test_a_private_file_in_a_full_place_is_begun_anew_by_all_workers(
    place: Place,
    worker: Callable[[Path], Memory],
    mounted: Callable[[str], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In a full file nothing can be deleted either. Here its content has all the room that somebody else left."""
    file = mounted("16m") / "memory.db"
    workers = [worker(file) for _ in range(4)]
    await follow(*workers)
    session, ended = a_session(place), a_session(place, "b", who="u-al")
    assert await workers[0].remember(session)
    await workers[0].end(ended)
    for number in range(12):
        await workers[1].leave(f"form {number}", os.urandom(500_000), 900.0)
    filled(file.parent)
    assert not await workers[2].remember(a_session(place, "c"))
    await asyncio.gather(*[each.remember(a_session(place, f"c-{n}")) for n, each in enumerate(workers)])
    await follow(*workers)
    assert [each.trouble for each in workers] == [None] * 4
    for each in (*workers, late := worker(file)):
        await each.follow()
        assert await each.newest(session.id) == session
        assert each.has_ended(ended)
    assert await share(place, [*workers, late], "after")
    fails, back = (len([each for each in complaints(caplog) if word in each]) for word in ("fails", "back"))
    assert 1 <= fails == back <= 4, "each says once that it fails, and once that it is back"
    assert is_good(file)


@mounts
async def test_a_place_that_is_full_before_the_proxy_begins_is_as_a_store_that_is_away(
    place: Place,
    worker: Callable[[Path], Memory],
    mounted: Callable[[str], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What they are told meanwhile is more than the place could hold."""
    file = mounted("16m") / "memory.db"
    other = filled(file.parent)
    workers = [worker(file) for _ in range(2)]
    await follow(*workers)
    assert [each.trouble for each in workers] == ["sqlite unreachable"] * 2
    for number in range(600):
        for each in workers:
            assert not await each.remember(a_session(place, f"{number} {id(each)}" + os.urandom(6000).hex()))
    place.clock.advance(1)
    session, ended = a_session(place), a_session(place, "b", who="u-al")
    assert not await workers[0].remember(session)
    await workers[0].end(ended)
    assert len(complaints(caplog)) == 2
    other.unlink()
    await follow(*workers)
    assert await workers[1].newest(session.id) == session
    assert workers[1].has_ended(ended)
    assert await share(place, workers, "after")


@mounts
async def test_a_store_in_a_full_place_is_never_removed(mounted: Callable[[str], Path]) -> None:
    clock = Clock()
    file = mounted("1m") / "sessions.db"
    home = SqliteHome(file, SITE, clock)
    await home.open()
    await home.put(Record("session:one", "tokens", clock(), WEEK))
    before = file.stat().st_ino
    other = filled(file.parent)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        await home.put(*[Record(f"session:{number}", "x" * 5000, clock(), WEEK) for number in range(100)])
    with suppress(sqlite3.OperationalError):
        await home.open()
    other.unlink()
    await home.open()
    assert file.stat().st_ino == before
    assert await home.get("session:one") == "tokens"
    await home.close()


@mounts
async def test_a_place_without_a_limit_is_not_taken_for_a_full_one(mounted: Callable[[str], Path]) -> None:
    clock = Clock()
    file = mounted("0") / "memory.db"
    home = SqliteHome(file, SITE, clock, lasting=False)
    await home.open()
    await home.put(Record("session:one", "tokens", clock(), WEEK))
    assert await home.get("session:one") == "tokens"
    assert full_disk_hazard(file) is None
    await home.close()
