"""More connections than there may be: idle ones give way, and whoever runs it can still ask how things are."""

import asyncio
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.hostile.test_heads import all_of, sent, strangers
from tests.support.command import written
from tests.support.proxy import RawAnswer, free_port
from tests.support.raw_http import TOOL_BYTES, Wire, wired
from tests.support.tool import until
from tests.support.units import KIB
from tests.tally import tried

FEW = 16


@pytest.fixture
async def small() -> AsyncIterator[Wire]:
    async with wired(limits={"connections": str(FEW)}) as wire:
        yield wire


async def asked(url: str, path: str) -> RawAnswer:
    """What the admin listener says."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(20):
        raw = await reader.read()
    writer.close()
    return RawAnswer.read(raw)


async def test_idle_connections_give_way_to_new_ones_the_oldest_first(small: Wire) -> None:
    """1,324 idle connections locked everybody out."""
    async with strangers(small, 3 * FEW) as sockets:
        for each in sockets[::2]:
            await sent(each, b"GET / HTTP/1.1\r\nX-Half: ")
        for _ in range(5):
            assert (await small.ask("/healthz")).body == TOOL_BYTES
        assert small.stage.proxy.capacity.open <= FEW
        for each in sockets[: 2 * FEW]:
            assert await all_of(each) == b""
        assert (await asked(small.stage.admin_url, "/readyz")).status == 200
        await sent(sockets[-1], small.request("/healthz", "Connection: close"))
        assert TOOL_BYTES in await all_of(sockets[-1])


async def test_when_none_is_idle_the_new_one_is_closed_at_once_and_readiness_says_so(
    small: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    small.tool.may_answer.clear()
    async with strangers(small, FEW) as busy:
        for each in busy:
            await sent(each, small.request("/assets/x", "Connection: close"))
        await until(lambda: len(small.tool.heard) == FEW)
        async with strangers(small, 5) as late:
            for each in late:
                await sent(each, small.request("/healthz"))
                assert await all_of(each) == b""
        ready = await asked(small.stage.admin_url, "/readyz")
        assert (ready.status, ready.body) == (503, b"full: 16 connections, none of them idle\n")
        assert (await asked(small.stage.admin_url, "/healthz")).status == 200
        assert b"\noauth_proxy_connections 16.0\n" in (await asked(small.stage.admin_url, "/metrics")).body
        assert "a connection was refused: there are 16 already, none of them idle" in caplog.text
        small.tool.may_answer.set()
        for each in busy:
            assert TOOL_BYTES in await all_of(each), "none of them was lost"
    assert (await small.ask("/healthz")).body == TOOL_BYTES
    assert (await asked(small.stage.admin_url, "/readyz")).status == 200


async def test_who_goes_on_sending_what_was_refused_gives_way_to_anybody_who_comes(small: Wire) -> None:
    """An answer that comes early waits for the upload to end: no stranger keeps a place by that."""
    for lines in tried((["Connection: close"], [])):
        upload = small.request("/page", f"Content-Length: {1 << 40}", *lines, method="POST") + b"x" * KIB
        async with strangers(small, FEW) as sockets:
            for each in sockets:
                await sent(each, upload)
                head = await asyncio.get_running_loop().sock_recv(each, 12)
                assert head == b"HTTP/1.1 401"
            assert small.stage.proxy.capacity.open == FEW
            for _ in range(3):
                assert (await small.ask("/healthz")).body == TOOL_BYTES


@asynccontextmanager
async def a_process(folder: Path, soft: int, hard: int) -> AsyncIterator[tuple[int, str]]:
    """The command with so few open files; its port, and its admin listener's URL."""
    port, admin = free_port(), free_port()
    file = written(folder, port=port, admin=f"127.0.0.1:{admin}")
    command = f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "{sys.executable}" -m oauth_proxy run "{file}"'
    process = await asyncio.create_subprocess_exec("bash", "-c", command, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            while b"serving" not in await process.stderr.readline():
                pass
        draining = asyncio.create_task(process.stderr.read())
        yield port, f"http://127.0.0.1:{admin}"
        process.terminate()
        assert b"Traceback" not in await draining
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_thousand_idle_connections_at_few_open_files_lock_nobody_out(tmp_path: Path) -> None:
    """The soft limit is raised to the hard one, and some of that no visitor gets."""
    async with a_process(tmp_path, 256, 1024) as (port, admin_url):
        crowd: list[socket.socket] = []
        try:
            for _ in range(14):
                crowd += [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
                # It has accepted these by then; of more than its backlog of 128, some would wait for seconds.
                assert (await asked(admin_url, "/healthz")).status == 200
            assert (await asked(admin_url, "/readyz")).status == 200
            metrics = (await asked(admin_url, "/metrics")).body
            assert re.findall(rb"\noauth_proxy_connections (\S+)", metrics) == [b"384.0"]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET /oauth2/userinfo HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
            async with asyncio.timeout(20):
                assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
            writer.close()
        finally:
            for each in crowd:
                each.close()
