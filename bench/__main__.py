"""Measure the proxy beside its peers: `make bench`, or `make bench ARGS="--help"`."""

import argparse
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.programs import NotStartedError
from bench.rows import ROWS, Row
from bench.sockets import WrongAnswerError
from bench.stage import Column, NotSignedInError, Stage, set_up
from bench.table import SMALL, Results, absences, table, targets

RESULTS = Path(__file__).with_name("RESULTS.md")
BY_HAND = "## How steady this is\n"
"""Below this line RESULTS.md is written by people, and kept."""
NEEDED = ("wrk", "nginx", "taskset")
OF_A_PROXY = ("CPU s", "CPU s per 1,000", "peak MiB", "growth MiB")
FAILURES = (WrongAnswerError, NotStartedError, NotSignedInError, ValueError, OSError)
"""How a measurement fails; the run goes on, and the cell says so."""


def main(arguments: Sequence[str]) -> int:
    """Measure as the arguments say, print the table, and keep it when nothing was left out."""
    options = _parser().parse_args(arguments)
    rows = [row for row in ROWS if any(part in row.name for part in options.row or [""])]
    columns = options.columns.split(",") if options.columns else []
    if options.ratio:
        rows, columns = [row for row in ROWS if row.name == SMALL], ["ClientSession"]
    if absent := [name for name in NEEDED if shutil.which(name) is None]:
        sys.exit(f"not on PATH: {', '.join(absent)} (apt-get install wrk nginx-light util-linux)")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, set_up(Path(folder), columns) as stage:
        _tell(f"columns: {', '.join(column.name for column in stage.columns)}; load before: {load:.2f}")
        results = measure(stage, rows, options.rounds, options.seconds)
        if options.ratio:
            print(_ratio(results))
            return 0
        report = _report(results, stage, arguments, load)
    print(report)
    if len(rows) == len(ROWS) and not columns:
        by_hand = RESULTS.read_text("utf-8").partition(BY_HAND)[2] if RESULTS.exists() else ""
        RESULTS.write_text(f"{report}\n{BY_HAND}{by_hand}", "utf-8")
    return 0


def measure(stage: Stage, rows: Sequence[Row], rounds: int, seconds: float) -> Results:
    """Every row, in every round in every column in turn; each round begins with another column."""
    results = Results([column.name for column in stage.columns])
    for row in rows:
        fitting = [column for column in stage.columns if row.fits(column)]
        turns, of = (rounds * max(1, round(seconds)), 1.0) if row.divisible else (rounds, seconds)
        for turn in range(turns):
            start = turn % len(fitting)
            for column in fitting[start:] + fitting[:start]:
                _measure_one(results, row, column, of)
        _tell(row.name)
    return results


def _measure_one(results: Results, row: Row, column: Column, seconds: float) -> None:
    if (row.name, column.name) in results.failed:
        return
    try:
        sample = row.measure(column, seconds)
    except FAILURES as error:
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        results.fail(row.name, column.name, reason)
        _tell(f"failed: {row.name}, {column.name}: {reason}")
        return
    if column.peer is None:
        sample = {of: value for of, value in sample.items() if of not in OF_A_PROXY}
    results.add(row.name, column.name, sample)


def _ratio(results: Results) -> str:
    """What a change to the data path is judged by: CPU time per request, which a busy machine changes least."""
    cpu, rate = (results.ratio(SMALL, "ClientSession", of) for of in ("CPU s per 1,000", "requests/s"))
    if not cpu or not rate:
        return f"not measured: {results.failed}"
    return (
        f"ours to the ClientSession baseline: {1 / cpu:.2f} × its CPU per request, {1 / rate:.2f} × its requests/s"
    )


def _report(results: Results, stage: Stage, arguments: Sequence[str], load: float) -> str:
    versions = {**stage.versions, "CPython": platform.python_version()}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    command = f'make bench ARGS="{shlex.join(arguments)}"' if arguments else "make bench"
    return f"""# Results

Written by `{command}` on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, at a load of {load:.2f} before it
began and {os.getloadavg()[0]:.2f} when it ended (2 is its own).

{_machine()}. {listed}, {_wrk_version()}.

The proxy has core 0; upstream (nginx) and load generator share core 1. Cells are medians over the rounds; in
brackets the median ratio to ours in the same round. `direct` is the upstream without a proxy. nginx,
ClientSession and Caddy ask nobody who they are, and their requests carry no cookie; ours, Apache and oauth2-proxy
find a session in a cookie, after a real login. All write no access log, but in the row that asks what it costs.
For TLS, all show the same certificate, with an ECDSA key. A small GET sends the same two or three lines each
time; what pages and their assets send is in [mix.py](mix.py).

{table(results)}

Missing or failed:

{absences(stage.missing, results.failed)}

## Targets

{targets(results)}
"""


def _machine() -> str:
    info = Path("/proc/cpuinfo").read_text("utf-8")
    model = re.search(r"^model name\s*: (.+)$", info, re.MULTILINE)
    return f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"


def _wrk_version() -> str:
    done = subprocess.run(
        ["wrk", "-v"],  # noqa: S607 the one on PATH is the one that ran
        capture_output=True,
        text=True,
        check=False,
    )
    return " ".join((done.stdout + done.stderr).split()[:2])


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is taken (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="of load in each cell and round (%(default)s)")
    parser.add_argument("--row", action="append", help="only rows with this in their name; may be given again")
    parser.add_argument("--columns", default="", help="only these beside ours, separated by commas")
    parser.add_argument("--ratio", action="store_true", help="only ours to the ClientSession baseline")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
