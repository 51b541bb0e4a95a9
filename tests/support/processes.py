"""A proxy as processes of its own, parent and workers, beside a stage with the emulated Frame.io and a tool."""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from tests.support.metrics import metrics
from tests.support.proxy import SECRET, Clock, Stage, free_port, on_stage, settings_tree
from tests.support.units import PATIENCE


class MachineClock(Clock):
    """The clock of this machine, which the proxy's processes have, too."""

    def __call__(self) -> float:
        return time.time()

    def wall(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def told(**constants: float) -> list[str]:
    """The command with other constants: `module.NAME` of the process package, written with two underscores."""
    lines = [f"{name.replace('__', '.')} = {value}" for name, value in constants.items()]
    modules = "from oauth_proxy.process import crew, parent, succession, worker"
    return [sys.executable, "-c", "; ".join([modules, "from oauth_proxy.cli import main", *lines, "main()"])]


def waiting_tool() -> tuple[web.Application, asyncio.Event, asyncio.Event]:
    """A tool that answers GET /open once the second event is set; the first tells that it was asked."""
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        asked.set()
        await may_answer.wait()
        return web.Response(text="all of it")

    tool = web.Application()
    tool.router.add_get("/open", slow)
    return tool, asked, may_answer


@dataclass
class Proxies:
    """The processes of one proxy. `stage` is asked at their port."""

    stage: Stage
    file: Path
    tree: dict[str, Any]
    admin: str
    process: Process
    log: list[str] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def parent(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://localhost:{self.stage.listens_on}"

    @property
    def workers(self) -> list[int]:
        """The processes of the workers that there are now."""
        children = Path(f"/proc/{self.parent}/task/{self.parent}/children").read_text("ascii")
        return [int(pid) for pid in children.split()]

    def write(self, **changes: Any) -> None:
        """Write the file anew, with these keys changed; nothing reads it yet."""
        self.tree.update(changes)
        new = self.file.with_suffix(".new")
        new.write_text(yaml.safe_dump(self.tree))
        new.replace(self.file)

    async def says(self, text: str, after: int = 0) -> str:
        """The first line of the log with this text, from line `after` on, once it is there."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while True:
                    for line in self.log[after:]:
                        if text in line:
                            return line
                    self._news.clear()
                    await self._news.wait()
        raise AssertionError("\n".join([f"nobody said {text!r}:", *self.log[after:]]))

    async def reloaded(self, text: str = "nothing is changed", *, by: int = signal.SIGHUP) -> str:
        """Reload by a signal, and wait until the log says so."""
        before = len(self.log)
        os.kill(self.parent, by)
        return await self.says(text, before)

    async def metrics(self) -> dict[str, float]:
        """Everything that /metrics says, by name and labels."""
        return await metrics(f"http://{self.admin}")

    async def counted(self, name: str) -> float | None:
        """What a counter says, if the worker that was asked can tell."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as http,
                http.get(f"http://{self.admin}/metrics") as answer,
            ):
                text = await answer.text()
        except (TimeoutError, aiohttp.ClientError):  # the one that hangs or dies
            return None
        found = [line for line in text.splitlines() if line.startswith(f"{name} ")]
        return float(found[0].rpartition(" ")[2]) if found and answer.status == 200 else None

    async def unready(self) -> None:
        """Wait until /readyz says that it is stopping, as often as there are workers that may be asked."""
        count = 0
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as http:
            while count < 8 * len(self.workers):
                async with http.get(f"http://{self.admin}/readyz", headers={"Connection": "close"}) as ready:
                    count = count + 1 if ready.status == 503 else 0

    async def listen_to(self) -> None:
        """Collect the log until the processes have closed it."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.log.append(line.decode().rstrip("\n"))
            self._news.set()

    async def ended(self) -> int:
        """The exit status of the parent, once it has ended."""
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


@asynccontextmanager
async def processes(
    folder: Path,
    *,
    tool: web.Application | None = None,
    command: Sequence[str] | None = None,
    frameio: Mapping[str, Any] | None = None,
    **changes: Any,
) -> AsyncIterator[Proxies]:
    """A proxy with the stage's plain configuration and `changes` of whole keys, stopped at the end."""
    async with on_stage(clock=MachineClock(), tool=tool, frameio=frameio) as stage:
        port, admin = free_port(), f"127.0.0.1:{free_port()}"
        behind = f"http://{stage.settings.upstreams['/'].url.authority}"
        tree = settings_tree(stage.url, "v2", stage.frameio_url, behind, client_secret=SECRET, keys=stage.keys)
        tree |= {"listen": f"127.0.0.1:{port}", "admin": {"listen": admin}, **changes}
        file = folder / "proxy.yaml"
        file.write_text(yaml.safe_dump(tree))
        process = await asyncio.create_subprocess_exec(
            *(command or [sys.executable, "-m", "oauth_proxy"]),
            *("run", str(file)),
            stdout=PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        proxies = Proxies(replace(stage, listens_on=port), file, tree, admin, process)
        listening = asyncio.create_task(proxies.listen_to())
        try:
            await proxies.says("serving on")
            yield proxies
        finally:
            if process.returncode is None:
                process.kill()
            async with asyncio.timeout(PATIENCE):
                await process.wait()
                await listening  # the workers have ended too
        assert not [line for line in proxies.log if "Traceback" in line], "\n".join(proxies.log)


def worker_of(answer: Any) -> str:
    """Which worker sent an answer of the demo's /echo: its request ids begin alike."""
    return str(dict(json.loads(answer)["headers"])["X-Request-Id"]).partition("-")[0]
