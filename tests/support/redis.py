"""A real redis-server on loopback that a test starts, freezes, kills and starts again; nothing goes to disk."""

import asyncio
import signal
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.proxy import free_port
from tests.support.units import PATIENCE

BINARY = Path("/usr/bin/redis-server")

needs_redis = pytest.mark.skipif(not BINARY.exists(), reason="the Debian package redis-server is not installed")


class RedisServer:
    """The server at one port, which speaks TLS there or does not; `options` are arguments of redis-server."""

    def __init__(self, folder: str, *options: str, tls: bool = False) -> None:
        self.port = free_port()
        self._folder = folder
        self._options = ("--tls-port" if tls else "--port", str(self.port), *options)
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Returns when it accepts connections; its memory is empty, or as somebody had it saved."""
        fixed = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self._folder)
        self._process = await asyncio.create_subprocess_exec(
            BINARY, *fixed, *self._options, stdin=DEVNULL, stdout=PIPE, stderr=asyncio.subprocess.STDOUT
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            async for line in self._process.stdout:
                if b"Ready to accept connections" in line:
                    return
        pytest.fail("redis-server did not start")

    async def kill(self) -> None:
        """SIGKILL: connections break, and whatever it held is gone."""
        if self._process is not None:
            self._process.kill()
            await self._process.communicate()
            self._process = None

    def freeze(self) -> None:
        """From now on it accepts and answers nothing, and breaks nothing off."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It answers again, also what was asked meanwhile."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @asynccontextmanager
    async def client(self, **how: Any) -> AsyncIterator[Any]:
        """Somebody who looks into it: a Redis, whose types do not know that its answers are bytes here."""
        client = Redis(port=self.port, protocol=2, **how)
        try:
            yield client
        finally:
            await client.aclose()

    async def asked(self, *commands: str) -> int:
        """How often these commands were run."""
        async with self.client() as client:
            stats = await client.info("commandstats")
        return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in commands)


@asynccontextmanager
async def redis_server(*options: str, tls: bool = False) -> AsyncIterator[RedisServer]:
    """A started server, gone at the end."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(folder, *options, tls=tls)
        await server.start()
        try:
            yield server
        finally:
            await server.kill()
