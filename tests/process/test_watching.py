"""Which files have changed, as two looks at them tell: an early one, and one that has to find the same."""

import os
import time
from pathlib import Path

import pytest

from oauth_proxy.process.watching import Watching

HOUR = 3600


class Clock:
    """The clock of the watching, which its tests move."""

    def __init__(self, ahead: int = 0) -> None:
        self._ahead = ahead
        self._now = 100.0

    def time_ns(self) -> int:
        return time.time_ns() + self._ahead * 10**9

    def monotonic(self) -> float:
        """Each look finds that it is time for one."""
        self._now += 1
        return self._now


def watching_by(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Watching:
    monkeypatch.setattr("oauth_proxy.process.watching.time", clock)
    return Watching()


def changes(watching: Watching) -> list[bool]:
    return [watching.has_changed() for _ in range(5)]


@pytest.mark.parametrize("by", ["another machine, whose clock is ahead", "this machine, whose clock was set back"])
def test_a_time_that_is_still_to_come_is_no_change(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There was a reload every second, until that time had come."""
    watching, path = watching_by(Clock(-HOUR if "set back" in by else HOUR), monkeypatch), tmp_path / "file"
    path.write_text("it")
    os.utime(path, (time.time() + 3 * HOUR,) * 2)
    for _ in range(3):
        watching.reading()
        watching.watch([path])
        assert not any(changes(watching))
    path.write_text("another")
    assert changes(watching) == [False, True, False, False, False]


@pytest.mark.parametrize("when", ["an hour ago", "an hour from now"])
def test_what_changes_while_it_is_read_is_a_change_whatever_its_time(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching, path = watching_by(Clock(HOUR if when == "an hour ago" else -HOUR), monkeypatch), tmp_path / "file"
    path.write_text("it")
    watching.reading()
    watching.watch([path])
    assert not any(changes(watching))
    watching.reading()
    path.write_text("another")
    watching.watch([path])
    assert sum(changes(watching)) == 1


def test_a_file_that_nobody_knew_before_it_was_read_may_have_changed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching, path = watching_by(Clock(), monkeypatch), tmp_path / "file"
    watching.reading()
    path.write_text("it")
    watching.watch([path])
    assert sum(changes(watching)) == 1


def test_a_file_that_may_be_read_now_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watching, path = watching_by(Clock(HOUR), monkeypatch), tmp_path / "file"
    path.write_text("it")
    path.chmod(0o000)
    watching.reading()
    watching.watch([path])
    assert not any(changes(watching))
    path.chmod(0o600)
    assert sum(changes(watching)) == 1
