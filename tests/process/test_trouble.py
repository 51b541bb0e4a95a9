"""What goes wrong around the processes: a worker that cannot start again, a disk that is full."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.support.browser import NAVIGATING, Visitor
from tests.support.command import written
from tests.support.crowd import crowd
from tests.support.processes import processes, told, waiting_tool
from tests.support.proxy import free_port
from tests.support.sessions import signed_in
from tests.support.tool import until
from tests.support.units import PATIENCE


async def test_a_worker_that_cannot_start_is_tried_again_less_and_less_often_until_it_can(
    tmp_path: Path, visitor: Visitor
) -> None:
    full = tmp_path / "full"
    imports = "import os, sys; from oauth_proxy.process import launch; from oauth_proxy.cli import main"
    lines = f"serve = launch.serve; launch.serve = lambda *told: os.path.exists({str(full)!r}) or serve(*told)"
    async with processes(tmp_path, command=[sys.executable, "-c", f"{imports}; {lines}; main()"]) as proxies:
        cookie = await signed_in(proxies.stage, visitor)
        full.touch()
        os.kill(proxies.workers[0], signal.SIGKILL)
        await proxies.says("another one starts in 1 s")
        await proxies.says("another one starts in 2 s")
        full.unlink()
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


async def test_a_socket_file_that_somebody_removed_is_made_again_by_a_reload(tmp_path: Path) -> None:
    """It was the end of the parent, and of everybody; and a worker that is replaced listens there, too."""
    path, broken = tmp_path / "proxy.sock", tmp_path / "broken"
    broken.mkdir()
    (broken / "error.html").write_text("{% if %}")
    async with processes(tmp_path, listen={"path": str(path), "mode": "0660"}) as proxies:
        path.unlink()
        await proxies.reloaded("serves")
        _, writer = await asyncio.open_unix_connection(str(path))
        writer.close()
        path.unlink()
        proxies.write(pages={"templates": str(broken)})
        await proxies.reloaded("nothing is changed")
        await until(lambda: len(proxies.workers) == 1)
        [worker] = proxies.workers
        os.kill(worker, signal.SIGKILL)
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"GET /oauth2/userinfo HTTP/1.1\r\nHost: another\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            assert (await reader.read()).startswith(b"HTTP/1.1 421 ")
        writer.close()
        proxies.write(pages={}, listen={"path": str(path), "mode": "0660", "group": "no-such-group"})
        await proxies.reloaded("this machine has no group no-such-group")
        proxies.write(listen={"path": str(path), "mode": "0600"})
        await proxies.reloaded("serves")
        assert path.stat().st_mode & 0o777 == 0o600


async def test_a_removed_socket_file_is_not_made_again_for_nobody_by_a_reload_that_cannot_listen_elsewhere(
    tmp_path: Path,
) -> None:
    path = tmp_path / "proxy.sock"
    async with processes(tmp_path, listen={"path": str(path), "mode": "0660"}) as proxies:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            path.unlink()
            proxies.write(admin={"listen": f"127.0.0.1:{taken.getsockname()[1]}"})
            await proxies.reloaded("Address already in use")
            assert not path.exists(), "no worker has it, so who connects would wait for ever"
        await proxies.reloaded("serves")
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"GET /oauth2/userinfo HTTP/1.1\r\nHost: another\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            assert (await reader.read()).startswith(b"HTTP/1.1 421 ")
        writer.close()


async def test_the_folder_that_workers_share_is_made_again_if_somebody_removed_it(
    tmp_path: Path, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "run"
    place.mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(place))
    async with processes(tmp_path, workers=2) as proxies:
        cookie = await signed_in(proxies.stage, visitor)
        [folder] = place.iterdir()
        shutil.rmtree(folder)
        await until(lambda: (folder / "memory.db").exists())
        os.kill(proxies.workers[0], signal.SIGKILL)
        await until(lambda: len(proxies.workers) == 2)
        await proxies.reloaded("serves")
        assert (await proxies.stage.ask("/echo", cookie)).status == 200
        proxies.process.terminate()
        assert await proxies.ended() == 0
        assert not folder.exists()


async def test_a_worker_that_was_told_alone_to_stop_holds_no_reload_up(tmp_path: Path) -> None:
    tool, asked, may_answer = waiting_tool()
    async with processes(tmp_path, tool=tool, access={"allow": ["everyone"], "public": ["/open"]}) as proxies:
        asking = asyncio.create_task(proxies.stage.ask("/open"))
        await asked.wait()
        os.kill(proxies.workers[0], signal.SIGTERM)
        await asyncio.sleep(0.5)
        await proxies.reloaded("serves")
        may_answer.set()
        assert (await asking).body == b"all of it"


async def test_a_file_that_cannot_be_read_to_its_end_does_not_stop_the_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "secret"
    os.mkfifo(pipe)
    command = told(succession___READING=3)
    async with processes(tmp_path, command=command) as proxies:
        proxies.write(session={"secret_file": str(pipe)})
        await proxies.reloaded("could not be read within 3 s")
        proxies.process.terminate()
        assert await proxies.ended() == 0


async def test_a_worker_that_is_killed_before_it_serves_is_a_trouble_that_may_pass(tmp_path: Path) -> None:
    """As by a system without memory. With exit status 2 a supervisor would not try again."""
    lines = "worker.serve = launch.serve = lambda *_: os.kill(os.getpid(), 9)"
    imports = "import os; from oauth_proxy.process import launch, worker; from oauth_proxy.cli import main"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"{imports}; {lines}; main()", "run", str(written(tmp_path, port=free_port()))),
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        _, said = await process.communicate()
    assert process.returncode == 75, said.decode()
    assert b"a worker has ended at its start: signal SIGKILL" in said


async def test_no_counter_falls_while_workers_hang_and_die(tmp_path: Path, visitor: Visitor) -> None:
    name = "oauth_proxy_request_duration_seconds_count"
    async with processes(tmp_path, workers=3, command=told(crew__SILENCE=3.0)) as proxies:
        cookie = await signed_in(proxies.stage, visitor)
        for _ in range(30):
            await proxies.stage.ask("/echo", cookie)
        await proxies.metrics()  # what a worker had counted that hangs is known from before, or not at all
        highest = 0.0
        hanging, dying, _ = proxies.workers
        os.kill(hanging, signal.SIGSTOP)
        for number in range(6):
            scraping = asyncio.create_task(proxies.counted(name))
            await asyncio.sleep(0.1)
            if number == 1:
                os.kill(dying, signal.SIGKILL)
            if (count := await scraping) is not None:
                assert count >= highest
                highest = count
        assert highest >= 20
