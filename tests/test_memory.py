"""The proxy's own memory while a gigabyte passes through it, in either direction."""

import asyncio
import platform
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import ClientTimeout

from tests.support.browser import Visitor
from tests.support.units import MIB

GIB = 1024 * MIB
PIECE = bytes(256 * 1024)

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="reads a process's memory in /proc"
)


@dataclass
class Demo:
    """A proxy in a process of its own, with the demo's cast in another."""

    pid: int
    url: str

    def resident(self, what: str = "VmRSS") -> int:
        """Bytes of memory now, or at the peak (`VmHWM`) since `forget_peak`."""
        [found] = re.findall(rf"{what}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        return int(found) * 1024

    def page_faults(self) -> int:
        """How often the process got a page from the system so far (proc(5), minflt)."""
        return int(Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[7])

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


@asynccontextmanager
async def a_demo() -> AsyncIterator[Demo]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "oauth_proxy", "demo", "--port", "0",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        yield Demo(process.pid, line.split("at ")[1].split("/ ")[0])
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


@pytest.mark.parametrize("direction", ["down", "up"])
async def test_a_gibibyte_passes_through_at_flat_memory(direction: str) -> None:
    async with a_demo() as demo, Visitor() as visitor:
        await visitor.login(f"{demo.url}/echo")
        await _transfer(visitor, demo, direction, 16 * MIB)
        idle = demo.resident()
        demo.forget_peak()
        assert await _transfer(visitor, demo, direction, GIB) == GIB
        assert demo.resident("VmHWM") - idle < 16 * MIB


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tells glibc what to do")
async def test_memory_that_is_free_is_not_given_back_to_be_asked_for_again() -> None:
    async with a_demo() as demo, Visitor() as visitor:
        await visitor.login(f"{demo.url}/echo")
        faults = []
        for _ in range(2):  # the first takes what the second finds
            before = demo.page_faults()
            await asyncio.gather(*(_transfer(visitor, demo, "down", 64 * MIB) for _ in range(8)))
            faults.append(demo.page_faults() - before)
        assert faults[1] < 8 * 64, "less than one in each MiB"


async def _transfer(visitor: Visitor, demo: Demo, direction: str, size: int) -> int:
    """Bytes that arrived at the other end."""
    endless = ClientTimeout(total=None)
    if direction == "down":
        async with visitor.session.get(f"{demo.url}/download?bytes={size}", timeout=endless) as answer:
            return sum([len(piece) async for piece in answer.content.iter_any()])

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(size // len(PIECE)):
            yield PIECE

    async with visitor.session.post(f"{demo.url}/upload", data=pieces(), timeout=endless) as answer:
        assert answer.status == 200, await answer.text()
        return int((await answer.json())["size"])
