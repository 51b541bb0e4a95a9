"""`python -m tests.fuzz`: every target for its share of the time, and one line for each about what came of it."""

import argparse
import re
import subprocess
import sys
import tempfile
import time

from tests.fuzz.one import CASES

TARGETS = sorted(folder.name for folder in CASES.iterdir())
EVERY = 10.0
"""Seconds between two words about a target's progress."""
_PROGRESS = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+)")


def fuzzed(name: str, seconds: int) -> bool:
    """Whether nothing was found."""
    with tempfile.TemporaryDirectory() as corpus:
        return _fuzzed(name, [sys.executable, "-m", "tests.fuzz.one", name, str(seconds), corpus])


def _fuzzed(name: str, command: list[str]) -> bool:
    runs, branches, told, said = "0", "0", time.monotonic(), []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as process:  # noqa: S603 - ours
        assert process.stderr is not None
        for line in process.stderr:
            if found := _PROGRESS.match(line):
                runs, branches = found.groups()
                if time.monotonic() - told > EVERY:
                    told = time.monotonic()
                    print(f"{name:<10} {runs:>10} runs  {branches:>6} branches  …", flush=True)
            else:
                said.append(line)
    held = process.returncode == 0
    outcome = "nothing found" if held else "FOUND\n" + "".join(said[-40:])
    print(f"{name:<10} {runs:>10} runs  {branches:>6} branches  {outcome}", flush=True)
    return held


def main() -> int:
    """The exit code: 1 when anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=180, help="for all targets together")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"some of: {' '.join(TARGETS)}")
    wanted = parser.parse_args()
    names = wanted.targets or TARGETS
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no such target: {' '.join(sorted(unknown))}")
    seconds = max(1, wanted.seconds // len(names))
    return 1 if [name for name in names if not fuzzed(name, seconds)] else 0


if __name__ == "__main__":
    sys.exit(main())
