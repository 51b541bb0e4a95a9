"""`make pythons`: the tests that tell Pythons apart, on each Python of the classifiers that this machine has.

A Python is looked for on the PATH, among pyenv's and uv's, and in .pythons, where .ci/debian-python puts those of
newer Debians. Each gets an environment of its own, .venv-3.X, with all that the lock files name. `--missing` lists
the versions that are not found, and does no more.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE

ROOT = Path(__file__).parents[1]
TESTS = (
    *(f"tests/upstream/test_{name}.py" for name in ("cut_short", "macos", "pieces", "tunnel", "tunnel_ends")),
    "tests/upstream/test_aborts.py::test_a_visitor_who_does_not_read_holds_little_and_then_leaves",
    *("tests/session/test_sessions.py", "tests/settings/test_model.py", "tests/test_aiohttp_private.py"),
    "tests/test_cli_serving.py::test_a_stop_lets_no_one_in_and_requests_under_way_finish",
    "tests/test_cli_serving.py::test_demo_takes_a_free_port_and_its_cast_dies_with_it_even_when_it_is_killed",
)
"""What differs between Pythons: event loops, transports, aiohttp's private names, processes and signals, types."""
LOCKS = ("requirements.txt", "requirements-dev.txt")
HERE = ".".join(platform.python_version_tuple()[:2])
"""The Python of .venv, on which the whole suite runs."""


def versions(text: str) -> list[str]:
    """The versions that the classifiers of a pyproject.toml name."""
    return re.findall(
        r"Python :: (3\.\d+)$", "\n".join(tomllib.loads(text)["project"]["classifiers"]), re.MULTILINE
    )


def candidates(version: str) -> Iterator[Path]:
    """Where a Python of this version may be, the newest of each place first."""
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield Path(on_path)
    home = Path.home()
    folders = {
        Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions": f"{version}.*/bin/python{version}",
        home / ".local/share/uv/python": f"cpython-{version}.*/bin/python{version}",
        ROOT / ".pythons": f"{version}/usr/bin/python{version}",
    }
    for folder, pattern in folders.items():
        yield from sorted(folder.glob(pattern), key=_numbers, reverse=True)


def found(version: str) -> tuple[Path, str] | None:
    """Return a CPython of this version that works, and its whole version; pyenv's shims do not always."""
    tell = (
        "import platform, sqlite3, ssl, venv; print(platform.python_implementation(), platform.python_version())"
    )
    for path in candidates(version):
        with suppress(OSError):  # a link to nothing, or no program
            said = subprocess.run([path, "-c", tell], stdout=PIPE, stderr=DEVNULL, text=True, check=False).stdout  # noqa: S603
            kind, _, whole = said.strip().partition(" ")
            if kind == "CPython" and whole.startswith(f"{version}."):
                return path, whole
    return None


def environment(version: str, python: Path) -> "subprocess.CompletedProcess[str]":
    """Make the version's environment, unless there is one of these lock files and this Python."""
    folder = ROOT / f".venv-{version}"
    stamp, made_of = folder / "made-of", hashlib.sha256(str(python).encode())
    for lock in LOCKS:
        made_of.update((ROOT / lock).read_bytes())
    if stamp.exists() and stamp.read_text() == made_of.hexdigest():
        return subprocess.CompletedProcess([], 0, "")
    uv: list[str | Path] = [sys.executable, "-m", "uv", "--quiet"]
    install = [*uv, "pip", "install", "--python", _inside(version), "--require-hashes", "--requirement"]
    done = _run([*uv, "venv", "--clear", "--no-project", "--python", python, folder])
    for lock in LOCKS:
        done = done if done.returncode else _run([*install, lock])
    if not done.returncode:
        stamp.write_text(made_of.hexdigest())
    return done


def main(arguments: list[str]) -> int:
    """Run what is asked for; the exit code."""
    wanted = [each for each in versions((ROOT / "pyproject.toml").read_text("utf-8")) if each != HERE]
    had = {version: python for version in wanted if (python := found(version))}
    missing = [version for version in wanted if version not in had]
    if arguments[:1] == ["--missing"]:
        print("\n".join(missing))
        return 0
    with ThreadPoolExecutor(os.cpu_count()) as several:
        runs = [several.submit(tested, version, path, arguments or TESTS) for version, (path, _) in had.items()]
    failed = []
    for (path, whole), done in zip(had.values(), (each.result() for each in runs), strict=True):
        print(f"Python {whole} ({path}):\n{done.stdout}", end="")
        if done.returncode:
            failed.append(whole)
    print(
        f"The whole suite is for {HERE} (make test). Run: {_list([whole for _, whole in had.values()])}.", end=" "
    )
    print(f"Failed: {_list(failed)}. Not had here: {_list(missing)}.")
    return 1 if failed else 0


def tested(version: str, python: Path, tests: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run the tests on one Python; what was said, and the exit code."""
    done = environment(version, python)
    if done.returncode:
        return done
    no_skips = ["-p", "tests.no_skips"] if os.environ.get("CI") == "true" else []
    return _run([_inside(version), "-m", "pytest", "-q", "-p", "no:cacheprovider", *no_skips, *tests])


def _numbers(path: Path) -> list[int]:
    return [int(each) for each in re.findall(r"\d+", str(path))]


def _list(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _inside(version: str) -> Path:
    return ROOT / f".venv-{version}" / "bin" / "python"


def _run(command: Sequence[str | Path]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 our own commands
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
