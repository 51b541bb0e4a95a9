"""One log of several processes."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import aiohttp
import yaml

from tests.support.command import said_here
from tests.support.processes import processes
from tests.support.proxy import a_secret, free_port, settings_tree
from tests.support.tool import until
from tests.support.units import PATIENCE

PATH = "/" + "x" * 700


async def test_lines_of_several_workers_do_not_mix(tmp_path: Path) -> None:
    """The pipe is full most of the time, and each worker writes many long lines at a time."""
    log = {"format": "json", "access": "true"}
    async with processes(tmp_path, workers=3, log=log, access={"allow": ["everyone"]}) as proxies:
        request = f"GET {PATH} HTTP/1.1\r\nHost: localhost:{proxies.stage.port}\r\n\r\n".encode()

        async def ask() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxies.stage.listens_on)
            for _ in range(20):
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]))
            writer.close()

        await asyncio.gather(*(ask() for _ in range(30)))
    lines = [json.loads(line) for line in proxies.log]
    assert sum(line["message"].startswith(f"GET {PATH}") for line in lines) == 600


async def test_the_level_changes_at_run_time_in_every_worker_and_the_file_has_the_last_word(
    tmp_path: Path,
) -> None:
    log = {"format": "json", "access": "true"}
    async with processes(tmp_path, workers=2, log=log) as proxies:

        async def level(*wanted: str) -> list[str]:
            done = await asyncio.to_thread(said_here, "log-level", proxies.file, *wanted)
            assert done.returncode == 0, done.stderr
            return done.stdout.splitlines()

        assert await level() == ["info: 2 workers"]
        assert await level("warning") == ["warning: 2 workers"]
        assert await level() == ["warning: 2 workers"]
        os.kill(proxies.workers[0], signal.SIGKILL)
        await proxies.says("another one starts")
        async with asyncio.timeout(PATIENCE):
            while await level() != ["warning: 2 workers"]:  # noqa: ASYNC110 a worker's start is another process's
                await asyncio.sleep(0.1)
        for _ in range(10):
            assert (await proxies.stage.ask("/quiet")).status == 401
        await proxies.reloaded("generation 2 serves")
        assert await level() == ["info: 2 workers"]
        assert (await proxies.stage.ask("/told")).status == 401
        await proxies.says("/told")
        assert not [line for line in proxies.log if "/quiet" in line]


async def test_a_reload_changes_the_form_of_every_process_s_lines(tmp_path: Path) -> None:
    """The parent's, from whom most of the grave ones are, stayed as they were until a restart."""
    async with processes(tmp_path) as proxies:
        for number, form in ((2, "json"), (3, "text")):
            proxies.write(log={"format": form})
            done = await proxies.reloaded(f"generation {number} serves")
            await until(lambda: len(proxies.workers) == 1)
            os.kill(proxies.workers[0], signal.SIGKILL)
            died = await proxies.says("another one starts", proxies.log.index(done))
            assert [line.startswith("{") for line in (done, died)] == [form == "json"] * 2


async def test_a_standard_error_that_nobody_reads_keeps_nobody_waiting(tmp_path: Path) -> None:
    port, admin = free_port(), f"127.0.0.1:{free_port()}"
    site, nowhere = f"http://localhost:{port}", "http://127.0.0.1:9"
    tree = settings_tree(site, "v2", nowhere, nowhere, client_secret=None, keys=[a_secret()])
    file = tmp_path / "unread.yaml"
    file.write_text(yaml.safe_dump(tree | {"admin": {"listen": admin}, "log": {"access": "true"}}))
    lines = ["from oauth_proxy import cli, outlet", "outlet.MOST_WAITING = 20_000", "cli.main()"]
    reads, writes = os.pipe()
    command = [sys.executable, "-c", "; ".join(lines), "run", str(file)]
    proxy = await asyncio.create_subprocess_exec(*command, stderr=writes)
    os.close(writes)
    head = f"GET {PATH} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await connected(port)
            for _ in range(300):
                writer.write(head)
                answer = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(answer.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]))
            writer.close()
        async with aiohttp.ClientSession() as http, http.get(f"http://{admin}/metrics") as metrics:
            text = await metrics.text()
        [told] = [line for line in text.splitlines() if line.startswith("oauth_proxy_log_lines_dropped_total")]
        assert float(told.split()[1]) > 100
        proxy.terminate()
        async with asyncio.timeout(PATIENCE):
            assert await proxy.wait() == 0
    finally:
        if proxy.returncode is None:
            proxy.kill()
            await proxy.wait()
        os.close(reads)


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to a proxy that is just starting."""
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
