"""`make audit`: whether a locked package has a known vulnerability, by pip-audit; and whether anybody looked.

pip-audit ends well when the index has no data on a package, as a mirror may have none: then nothing was looked at.
So its report is read here, and says how many had none. The exit code is 1 for a vulnerability, and 0 with "NOT
AUDITED" on a machine that cannot reach the data.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

LOCKS = ("requirements.txt", "requirements-build.txt")
"""What reaches operators, and what makes it."""


class Verdict(NamedTuple):
    """What is said, and whether that is a failure."""

    sentence: str
    failed: bool


def verdict(name: str, report: str, complaint: str) -> Verdict:
    """Judge what pip-audit wrote on standard output (JSON, or nothing) and on standard error."""
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError):
        last = (complaint.strip().splitlines() or ["pip-audit said nothing"])[-1]
        return Verdict(f"{name}: NOT AUDITED, the data cannot be reached: {last[:200]}", failed=False)
    found = [
        f"{each['name']} {each['version']}: {hole['id']}, fixed in {', '.join(hole['fix_versions']) or 'none yet'}"
        for each in packages
        for hole in each.get("vulns", ())
    ]
    if found:
        return Verdict("\n".join(f"{name}: {each}" for each in found), failed=True)
    missing = [each["name"] for each in packages if "skip_reason" in each]
    if missing or not packages:
        of = f"{len(missing)} of {len(packages)} packages"
        return Verdict(f"{name}: NOT AUDITED, the index has no data here on {of}", failed=False)
    return Verdict(f"{name}: no known vulnerability in {len(packages)} packages", failed=False)


def audited(program: Path, name: str) -> Verdict:
    """Ask pip-audit about the packages of one lock file that this Python installs."""
    options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--timeout", "10", "-f", "json"]
    command = [str(program), "-r", name, *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)  # noqa: S603
    except subprocess.TimeoutExpired:
        return Verdict(f"{name}: NOT AUDITED, the data did not come within five minutes", failed=False)
    return verdict(name, done.stdout, done.stderr)


def main(words: Sequence[str]) -> int:
    """Audit each lock file with the pip-audit at that path, and print what was found; the exit code."""
    [program] = words
    verdicts = [audited(Path(program), name) for name in LOCKS]
    for each in verdicts:
        print(each.sentence)
    return int(any(each.failed for each in verdicts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
