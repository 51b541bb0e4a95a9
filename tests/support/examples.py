"""The examples of docs/tool-api.md as processes of their own, until the test is done with them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.places import ROOT
from tests.support.units import PATIENCE

EXAMPLES = ROOT / "docs/examples"


@asynccontextmanager
async def example(*command: str | Path, port: int, environ: Mapping[str, str]) -> AsyncIterator[None]:
    """A tool that runs, from the moment it listens at this port."""
    environ = {"PATH": os.environ["PATH"], **environ}
    process = await asyncio.create_subprocess_exec(*command, stdout=sys.stderr, stderr=sys.stderr, env=environ)
    try:
        async with asyncio.timeout(PATIENCE):
            while not await _listens(port):
                assert process.returncode is None, "it has ended; what it said stands above"
                await asyncio.sleep(0.05)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(PATIENCE):
            await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return False
    writer.close()
    return True
