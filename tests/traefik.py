"""Builds Traefik, which Debian does not have, out of its Go module: `python -m tests.traefik FOLDER`.

`go install` takes no module whose go.mod replaces others. So a module of our own, in a folder that is thrown away,
requires Traefik and repeats those lines. Releases after 3.5 also need a module that is in their repository only.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MODULE, VERSION = "github.com/traefik/traefik/v3", "v3.5.3"
SUM = "h1:LxzoigGBOEx11CRDFYDFj/GfmnJsnxAl8bDkjqmsS2o="
"""The module's hash; its go.sum has those of everything else."""


def build(into: Path) -> None:
    """Build it; with two cores it takes some ten minutes the first time, and gigabytes for caches of Go."""
    go = shutil.which("go")
    if go is None:
        sys.exit("Go is not installed")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        found = json.loads(_said(go, "mod", "download", "-json", f"{MODULE}@{VERSION}", folder=folder))
        if found["Sum"] != SUM:
            sys.exit(f"{MODULE}@{VERSION} is {found['Sum']}, not the one that was tried")
        theirs = Path(found["Dir"])
        _, _, lines = (theirs / "go.mod").read_text("utf-8").partition("\n")
        ours = f"module build\n{lines}\nrequire {MODULE} {VERSION}\n"
        Path(folder, "go.mod").write_text(ours, "utf-8")
        Path(folder, "go.sum").write_text((theirs / "go.sum").read_text("utf-8"), "utf-8")
        target = str(into.resolve() / "traefik")
        _said(go, "build", "-mod=mod", "-ldflags=-s -w", "-o", target, f"{MODULE}/cmd/traefik", folder=folder)


def _said(*command: str, folder: str) -> str:
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, timeout=3600, check=True)  # noqa: S603
    return done.stdout


if __name__ == "__main__":
    build(Path(sys.argv[1]))
