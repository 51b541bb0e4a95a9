"""Which Pythons `make pythons` finds, and what it runs."""

import sys
from pathlib import Path

import pytest

from tests import pythons

PYPROJECT = (pythons.ROOT / "pyproject.toml").read_text("utf-8")


def test_the_classifiers_say_which_pythons_are_run_the_oldest_first() -> None:
    named = pythons.versions(PYPROJECT)
    assert f'requires-python = ">={named[0]}"' in PYPROJECT
    assert named == [f"3.{minor}" for minor in range(11, 11 + len(named))]


def test_what_is_run_is_there() -> None:
    for test in pythons.TESTS:
        file, _, name = test.partition("::")
        assert f"def {name}" in (pythons.ROOT / file).read_text("utf-8")


def on_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only Python of this version, wherever else one might be looked for."""
    for name in ("HOME", "PYENV_ROOT", "PATH"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setattr(pythons, "ROOT", folder)
    return folder / f"python{pythons.HERE}"


def test_a_python_that_works_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = on_path(tmp_path, monkeypatch)
    python.symlink_to(sys.executable)
    found = pythons.found(pythons.HERE)
    assert found is not None
    assert found[0] == python
    assert found[1] == sys.version.split()[0]


@pytest.mark.parametrize("says", ["exit 127", "echo CPython 2.7.18", "echo PyPy $VERSION.1", "true", None])
def test_what_only_bears_the_name_is_not_taken(
    says: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shim of pyenv's for a version that is not chosen, or another Python."""
    python = on_path(tmp_path, monkeypatch)
    python.write_text("no program" if says is None else f"#!/bin/sh\nVERSION={pythons.HERE}\n{says}\n")
    python.chmod(0o755)
    assert pythons.found(pythons.HERE) is None
