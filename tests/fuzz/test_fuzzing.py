"""The fuzzing itself: it says what it did, and what it finds is kept as a case."""

from pathlib import Path

import pytest

from tests.fuzz import one, targets


def a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cases of the target `paths` are, for one test."""
    folder = tmp_path / "paths"
    folder.mkdir()
    (folder / "begin").write_bytes(b"/a/b")
    monkeypatch.setattr(one, "CASES", tmp_path)
    return folder


def test_bytes_that_break_a_target_are_kept_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(data: bytes) -> None:
        assert b"/" not in data

    folder = a_folder(tmp_path, monkeypatch)
    monkeypatch.setitem(targets.TARGETS, "paths", breaks)
    with pytest.raises(AssertionError):
        one.with_hypothesis("paths", 30)
    [found] = folder.glob("found-*")
    assert found.read_bytes() == b"/"


def test_a_target_that_holds_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = a_folder(tmp_path, monkeypatch)
    one.with_hypothesis("paths", 1)
    assert [case.name for case in folder.iterdir()] == ["begin"]
    assert capsys.readouterr().err.startswith("#500 DONE cov: 0\n")
