"""The proxy as a process of its own, between a tool, Frame.io and visitors in this one; and what is seen of it."""

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.people import App
from tests.support.proxy import a_secret, free_port, serving, settings_tree

PUBLIC = ["/public/*", "POST /public/*"]


@dataclass
class Process:
    """The proxy."""

    pid: int
    port: int
    admin: int
    frameio: FrameIO

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def rss(self) -> float:
        """Resident memory, MiB."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text("ascii"))
        assert found is not None, "the process has ended"
        return int(found[1]) / 1024

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208 - names are all that is wanted

    def request(self, target: str, *lines: str, method: str = "GET") -> bytes:
        """A request's head."""
        return "\r\n".join(
            (f"{method} {target} HTTP/1.1", f"Host: localhost:{self.port}", *lines, "", "")
        ).encode()

    async def gauge(self, name: str) -> int:
        """One number of the admin listener's."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.admin)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        try:
            async with asyncio.timeout(30):
                found = re.search(rb"\n%b (\S+)" % name.encode(), await reader.read())
        finally:
            writer.close()
        assert found is not None
        return int(float(found[1]))


@asynccontextmanager
async def proxy(*, access_lifetime: float = 3600) -> AsyncIterator[Process]:
    """A fresh process that serves; all it says goes nowhere but for faults, which are shown at the end."""
    port, admin, tool = free_port(), free_port(), free_port()
    frameio = FrameIO(time.time, access_lifetime=access_lifetime, calls_per_minute=1_000_000)
    async with serving(frameio.app()) as frameio_url:
        public_url = f"http://localhost:{port}"
        frameio.register(App("studio", None, (f"{public_url}/oauth2/callback",)))
        tool_url = f"http://127.0.0.1:{tool}"
        tree = settings_tree(public_url, "v2", frameio_url, tool_url, client_secret=None, keys=[a_secret()])
        tree["access"]["public"] = PUBLIC
        tree["admin"]["listen"] = f"127.0.0.1:{admin}"
        with TemporaryDirectory(prefix="load-") as folder:
            file = Path(folder) / "proxy.yaml"
            file.write_text(yaml.safe_dump(tree))
            async with _program("tests.load.tool", str(tool)), _program("oauth_proxy", "run", str(file)) as pid:
                yield Process(pid, port, admin, frameio)


@asynccontextmanager
async def _program(*module: str) -> AsyncIterator[int]:
    """A Python module as a process, from the moment it says that it serves; its number."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", *module, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    faults = asyncio.create_task(_listened_to(process.stderr, ready := asyncio.Event()))
    try:
        async with asyncio.timeout(60):
            await ready.wait()
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        for line in await faults:
            print(line)


async def _listened_to(stderr: asyncio.StreamReader, ready: asyncio.Event) -> list[str]:
    """Read all of it; the lines that tell of a fault."""
    found: list[str] = []
    async for raw in stderr:
        line = raw.decode(errors="replace").rstrip()
        if "serving" in line:
            ready.set()
        if "Traceback" in line or " ERROR " in line or found:  # and all that follows
            found.append(line)
    return found


def tell(words: str) -> None:
    """Progress, at once."""
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)
