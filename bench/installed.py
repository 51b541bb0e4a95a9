"""What is installed here, and in which version; asked only when a run needs it."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def said(*command: str, after: str = "") -> Callable[[], str]:
    """What a command says first, or the first word behind `after` in that line."""

    def version() -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        line = (done.stdout + done.stderr).strip().partition("\n")[0]
        return line.rpartition(after)[2].split()[0] if after else line.split()[0]

    return version


def of_python(distribution: str) -> Callable[[], str]:
    """The version of a Python distribution."""
    code = f"from importlib.metadata import version; print(version({distribution!r}))"
    return said(sys.executable, "-c", code)


def absent(command: str, hint: str, *files: Path) -> Callable[[], str | None]:
    """Why the command cannot be run, or None: it must be on PATH, and its files there."""

    def reason() -> str | None:
        if shutil.which(command) is None or not all(file.exists() for file in files):
            return f"not installed here ({hint})"
        return None

    return reason
