"""A log that nobody reads stops nobody: lines are dropped, counted, and the log says so later."""

import fcntl
import os
import socket
from collections.abc import Iterator

import pytest

from oauth_proxy import outlet
from oauth_proxy.outlet import Outlet

LINE = "x" * 99 + "\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe with little room."""
    reads, writes = os.pipe()
    fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, 4096)
    yield reads, writes
    for each in (reads, writes):
        os.close(each)


def all_of(reads: int) -> str:
    os.set_blocking(reads, False)
    read = b""
    try:
        while piece := os.read(reads, 65_536):
            read += piece
    except BlockingIOError:
        pass
    return read.decode()


def test_to_write_to_a_pipe_that_nobody_reads_never_waits(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, writes = pipe
    monkeypatch.setattr(outlet, "MOST_WAITING", 1000)
    log = Outlet(writes)
    for _ in range(1000):
        log.write(LINE)
    assert os.get_blocking(writes), "whoever else has it notices nothing"
    assert log.dropped == 1000 - 40 - 10
    assert log.pump(), "some lines wait"
    first = all_of(reads)
    assert not log.pump()
    log.write("later\n")
    assert (first + all_of(reads)).splitlines() == [
        *[LINE.strip()] * 50,
        "950 lines of this log were dropped, because nobody read it",
        "later",
    ]


def test_a_line_longer_than_the_pipe_comes_whole(pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    log = Outlet(writes)
    long = "y" * 10_000 + "\n"
    log.write(long)
    log.write(LINE)
    read = ""
    while len(read) < len(long + LINE):
        read += all_of(reads)
        log.pump()
    assert read == long + LINE
    assert not log.dropped


def test_a_reader_that_has_gone_is_no_error(pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    log = Outlet(writes)
    log.write(LINE)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, reads)
    os.close(nothing)
    log.write(LINE)
    assert log.dropped == 1


def test_a_socket_that_nobody_reads_is_the_same() -> None:
    """The journal's end of standard error is one."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        log = Outlet(ours.fileno())
        for _ in range(100_000):
            log.write(LINE)
        assert log.dropped > 0
        theirs.setblocking(False)
        assert theirs.recv(len(LINE)) == LINE.encode()


def test_a_forked_process_writes_nothing_twice(pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    log = Outlet(writes)
    for _ in range(50):
        log.write(LINE)
    assert log.pump()
    log.begin_anew()
    assert not log.pump()
    assert all_of(reads) == LINE * 40
