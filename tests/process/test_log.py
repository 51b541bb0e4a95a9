"""One log of several processes."""

import asyncio
import json
from pathlib import Path

from tests.support.processes import processes

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
