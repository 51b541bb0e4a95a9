"""The homes a memory can have, as several processes would have them: each time one more object on one place."""

import asyncio
import subprocess
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis as Client
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from oauth_proxy.memory.home import Home
from oauth_proxy.memory.process import ProcessHome
from oauth_proxy.memory.redis import RedisHome
from oauth_proxy.memory.sqlite import SqliteHome
from oauth_proxy.settings import Redis, Sqlite, parse_store
from tests.support.proxy import Clock, free_port
from tests.support.redis import BINARY, RedisServer, redis_server
from tests.support.units import DAY, PATIENCE

SITE = "oauth-proxy:review.example.com:__Host-session"
WEEK = 7 * DAY
SHARED = ["sqlite", "redis", "sentinel", "cluster"]

everywhere = pytest.mark.parametrize("place", ["process", *SHARED], indirect=True)
shared = pytest.mark.parametrize("place", SHARED, indirect=True)
in_a_file = pytest.mark.parametrize("place", ["sqlite"], indirect=True)


class Place:
    """What `session.store` names; `home` gives one more home there, as one more process would have it."""

    def __init__(self, address: str, stack: AsyncExitStack) -> None:
        self.address = address
        self.clock = Clock()
        self._stack = stack

    def home(self, *, site: str = SITE, clock: Callable[[], float] | None = None) -> Home:
        """Closed with the place."""
        home = self._made(site, clock or self.clock)
        self._stack.push_async_callback(home.close)
        return home

    def _made(self, site: str, clock: Callable[[], float]) -> Home:
        match parse_store(self.address):
            case Sqlite(path):
                return SqliteHome(path, site, clock)
            case Redis() as where:
                return RedisHome(where, site, WEEK)
            case _:
                return ProcessHome(clock)


@asynccontextmanager
async def a_place(kind: str, folder: Path, node: "ClusterNode | None" = None) -> AsyncIterator[Place]:
    """A place of this kind that nobody has used yet; for a cluster, on that node."""
    async with AsyncExitStack() as stack:
        match kind:
            case "sqlite":
                address = f"sqlite:{folder}/sessions.db"
            case "redis":
                address = (await stack.enter_async_context(redis_server())).url
            case "sentinel":
                address, _, _ = await stack.enter_async_context(sentinel())
            case "cluster":
                assert node is not None
                address = await node.empty()
            case _:
                address = "cookie"
        async with AsyncExitStack() as homes:
            yield Place(address, homes)


@asynccontextmanager
async def sentinel() -> AsyncIterator[tuple[str, RedisServer, RedisServer]]:
    """A master and its replica with a password, and a sentinel without one; the address they have together."""
    secret = ("--requirepass", "sesame", "--masterauth", "sesame", "--repl-diskless-sync-delay", "0")
    async with redis_server(*secret) as master, redis_server(*secret) as replica:
        async with replica.client(password="sesame") as client:
            await client.replicaof("127.0.0.1", str(master.port))
            async with asyncio.timeout(PATIENCE):
                while (await client.info("replication"))["master_link_status"] != "up":  # noqa: ASYNC110 another process
                    await asyncio.sleep(0.05)
        with tempfile.TemporaryDirectory() as folder:
            async with _watching(_configured(Path(folder), port := free_port(), master.port)):
                yield f"redis+sentinel://:sesame@127.0.0.1:{port}/studio", master, replica


def _configured(folder: Path, port: int, master: int) -> Path:
    file = folder / "sentinel.conf"
    file.write_text(
        f"bind 127.0.0.1\nport {port}\n"
        f"sentinel monitor studio 127.0.0.1 {master} 1\nsentinel auth-pass studio sesame\n"
        "sentinel down-after-milliseconds studio 500\nsentinel failover-timeout studio 2000\n"
    )
    return file


@asynccontextmanager
async def _watching(file: Path) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        BINARY, file, "--sentinel", stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            async for line in process.stdout:
                if b"+slave slave" in line:  # from now on it has somebody to promote
                    break
            else:
                pytest.fail("the sentinel did not start")
        yield
    finally:
        process.kill()
        await process.communicate()


class ClusterNode:
    """A cluster of one node, which has all slots. Whoever needs one gets the same one, with nothing in it.

    Redis lets such a node write nothing for its first two seconds, so one is started for all tests of a run.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    async def empty(self) -> str:
        """Its address."""
        if self._process is None:
            self._start()
            async with self._client() as client:
                await client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        async with asyncio.timeout(PATIENCE), self._client() as client:
            while (await client.execute_command("CLUSTER INFO"))["cluster_state"] != "ok":  # noqa: ASYNC110 another process
                await asyncio.sleep(0.05)
            await client.flushall()
        return f"redis+cluster://127.0.0.1:{self._port}"

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _start(self) -> None:
        self._port = free_port()
        words = ["--bind", "127.0.0.1", "--port", str(self._port), "--save", "", "--dir", self._folder.name]
        cluster = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
        self._process = subprocess.Popen([BINARY, *words, *cluster], stdin=DEVNULL, stdout=DEVNULL)  # noqa: S603 ours

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Any]:
        client = Client(port=self._port, protocol=2, retry=Retry(ConstantBackoff(0.05), 200))
        try:
            yield client
        finally:
            await client.aclose()
