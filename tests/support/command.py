"""The command `oauth-proxy` as a process of its own, and a configuration for it."""

import asyncio
import os
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, chdir
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from oauth_proxy.cli import main
from tests.support.proxy import a_secret
from tests.support.units import PATIENCE

COMMAND = [sys.executable, "-m", "oauth_proxy"]
AS_NOBODY = (
    # It may still read everything, or it could not load a Python that lies in root's folder.
    *("env", "--unset=COVERAGE_PROCESS_CONFIG"),  # it could not write what it measured
    *("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"),
    *(
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=+dac_read_search",
        "--bounding-set=-all,+dac_read_search",
    ),
)
"""Before a command of root's: it runs as nobody, who may write to what is nobody's only."""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="what root and another user do needs root")
APP = {"FRAMEIO_CLIENT_ID": "the-client-id", "FRAMEIO_CLIENT_SECRET": "the-client-secret"}


def said(
    *arguments: str | Path,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    before: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself, run to its end; never a traceback."""
    done = subprocess.run(  # noqa: S603 our own command
        [*before, *COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
        env={**os.environ, **(environ or {})},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def said_here(
    *arguments: str | Path, environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """As `said`, without a process of its own: for commands that leave nothing behind, in a tenth of the time."""
    with chdir(folder or "."):
        done = CliRunner(env=environ).invoke(main, [str(each) for each in arguments], prog_name="oauth-proxy")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


@asynccontextmanager
async def started(
    *arguments: str | Path,
    sign: bytes,
    folder: Path | None = None,
    before: Sequence[str] = (),
    command: Sequence[str] = COMMAND,
) -> AsyncIterator[Process]:
    """A command that goes on, from the moment it prints `sign`; killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *before, *command, *arguments, stdin=PIPE, stdout=PIPE, stderr=asyncio.subprocess.STDOUT, cwd=folder
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            async for line in process.stdout:
                if sign in line:
                    break
            else:
                pytest.fail(f"{arguments[0]} ended without {sign!r}")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        async with asyncio.timeout(PATIENCE):
            await process.communicate()


async def ended(process: Process) -> tuple[int | None, str]:
    """How the process ended, and what it still said."""
    async with asyncio.timeout(60):
        told, _ = await process.communicate()
    assert b"Traceback" not in told, told.decode()
    return process.returncode, told.decode()


def written(
    folder: Path,
    *,
    port: int = 4180,
    tool: str = "http://127.0.0.1:9",
    admin: str = "127.0.0.1:0",
    store: str = "cookie",
) -> Path:
    """A good configuration file, by which /open needs no sign-in."""
    tree = {
        "public_url": f"http://localhost:{port}",
        "listen": f"127.0.0.1:{port}",
        "frameio": {"api": "v2", "client_id": "the-client-id", "client_secret": "the-client-secret"},
        "session": {"secret": a_secret(), "store": store},
        "upstreams": {"/": tool},
        "access": {"allow": ["everyone"], "public": ["/open"]},
        "admin": {"listen": admin},
    }
    file = folder / "proxy.yaml"
    file.write_text(yaml.safe_dump(tree))
    return file
