"""What goes wrong around the processes: a worker that cannot start again, a disk that is full."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.support.browser import NAVIGATING, Visitor
from tests.support.crowd import crowd
from tests.support.processes import processes
from tests.support.sessions import signed_in
from tests.support.units import PATIENCE


async def test_a_worker_that_cannot_start_is_tried_again_less_and_less_often_until_it_can(
    tmp_path: Path, visitor: Visitor
) -> None:
    templates = tmp_path / "templates"
    templates.mkdir()
    async with processes(tmp_path, pages={"templates": str(templates)}) as proxies:
        cookie = await signed_in(proxies.stage, visitor)
        (templates / "error.html").write_text("{% if %}")
        os.kill(proxies.workers[0], signal.SIGKILL)
        assert "error.html" in await proxies.says("cannot serve")
        await proxies.says("another one starts in 1 s")
        await proxies.says("another one starts in 2 s")
        (templates / "error.html").write_text("mended")
        async with asyncio.timeout(PATIENCE):  # nobody is refused meanwhile: the connection waits
            assert (await proxies.stage.ask("/echo", cookie)).status == 200


async def test_when_nothing_can_be_written_each_process_goes_on_by_itself(tmp_path: Path) -> None:
    """As on a full disk: no file may become longer than half a MiB."""
    limited = ["prlimit", "--fsize=500000", sys.executable, "-m", "oauth_proxy"]
    async with processes(tmp_path, command=limited) as proxies:
        people = await crowd(proxies.stage, 60)
        for each in people:
            answer = await proxies.stage.ask("/oauth2/sign_out", each.cookie, *NAVIGATING)
            assert answer.status == 200
        assert "each process goes on by itself" in await proxies.says("sqlite fails")
        for each in people:
            assert (await proxies.stage.ask("/echo", each.cookie, *NAVIGATING)).status == 302, "signed out, still"
        async with Visitor() as visitor:
            cookie = await signed_in(proxies.stage, visitor)
        assert (await proxies.stage.ask("/echo", cookie)).status == 200
