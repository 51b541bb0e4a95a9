"""The homes a memory can have, as several processes would have them: each time one more object on one place."""

import asyncio
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from oauth_proxy.memory.home import Home
from oauth_proxy.memory.process import ProcessHome
from oauth_proxy.memory.redis import RedisHome
from oauth_proxy.memory.sqlite import SqliteHome
from oauth_proxy.settings import Redis, Sqlite, parse_store
from tests.cast import PATIENCE, Clock, free_port
from tests.redis_server import BINARY, RedisServer, redis_server

SITE = "oauth-proxy:review.example.com:__Host-session"
WEEK = 7 * 86_400.0
SHARED = ["sqlite", "redis", "sentinel", "cluster"]


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
async def a_place(kind: str, folder: Path) -> AsyncIterator[Place]:
    """A place of this kind that nobody has used yet."""
    async with AsyncExitStack() as stack:
        match kind:
            case "sqlite":
                address = f"sqlite:{folder}/sessions.db"
            case "redis":
                address = (await stack.enter_async_context(redis_server())).url
            case "sentinel":
                address, _, _ = await stack.enter_async_context(sentinel())
            case "cluster":
                address = await stack.enter_async_context(cluster())
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


@asynccontextmanager
async def cluster() -> AsyncIterator[str]:
    """A cluster of one node, which has all slots."""
    async with redis_server("--cluster-enabled", "yes", "--cluster-port", str(free_port())) as node:
        async with node.client() as client, asyncio.timeout(PATIENCE):
            await client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            while (await client.execute_command("CLUSTER INFO"))["cluster_state"] != "ok":  # noqa: ASYNC110 idem
                await asyncio.sleep(0.05)
        yield f"redis+cluster://127.0.0.1:{node.port}"
