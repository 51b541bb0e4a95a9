"""What systemd is told, and what it may do: the real protocol, spoken with real processes."""

import asyncio
import os
import signal
import socket
import time
from itertools import pairwise
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.support.command import said, written
from tests.support.processes import waiting_tool
from tests.support.proxy import free_port, serving
from tests.support.systemd import Notified, changed, unit
from tests.support.units import PATIENCE

WATCHED = {"WATCHDOG_USEC": "200000", "WATCHDOG_PID": "its own"}


def stamp() -> int:
    return time.monotonic_ns() // 1000


@pytest.mark.parametrize("address", ["FOLDER/notify", "@oauth-proxy-test-PID"])
async def test_ready_is_told_once_the_proxy_serves_also_on_an_abstract_socket(
    address: str, tmp_path: Path
) -> None:
    told = Notified(address.replace("FOLDER", str(tmp_path)).replace("PID", str(os.getpid())))
    port = free_port()
    async with unit(written(tmp_path, port=port), told=told), ClientSession() as browser:
        ready = await told.told("READY")
        assert ready == {"READY": "1", "STATUS": "generation 1 serves with 1 worker"}
        async with browser.get(f"http://localhost:{port}/open") as answer:
            assert answer.status == 502, "there is no tool"


async def test_a_reload_is_told_with_a_stamp_of_the_monotonic_clock_and_its_end(tmp_path: Path) -> None:
    file = written(tmp_path, port=free_port())
    async with unit(file) as one:
        await one.told.told("READY")
        changed(file, workers=2)
        number, before = len(one.told.messages), stamp()
        ready = await one.reloaded()
        reloading = await one.told.told("RELOADING", number)
        assert before <= int(reloading["MONOTONIC_USEC"]) <= stamp()
        assert ready["STATUS"].startswith("generation 2 serves with 2 workers")
        await one.told.is_told("serves with 2 workers; reloaded at ", number)


async def test_a_reload_that_fails_ends_for_systemd_too_and_the_status_says_so(tmp_path: Path) -> None:
    file = written(tmp_path, port=free_port())
    async with unit(file, environ=WATCHED) as one:
        await one.told.told("READY")
        changed(file, listen=7)
        ready = await one.reloaded()
        assert ready["STATUS"].startswith("generation 1 serves with 1 worker; the reload at ")
        assert ready["STATUS"].endswith(" failed, see the log")
        await one.told.told("WATCHDOG", len(one.told.messages))
        assert await one.stopped() == 0


async def test_a_sighup_while_it_starts_is_a_reload_once_it_serves(tmp_path: Path) -> None:
    async with unit(written(tmp_path, port=free_port())) as one:
        await one.told.is_told("1 worker starting")
        one.process.send_signal(signal.SIGHUP)
        await one.told.is_told("generation 2 serves")


async def test_a_reload_while_it_stops_starts_nothing(tmp_path: Path) -> None:
    tool, asked, may_answer = waiting_tool()
    port, admin = free_port(), f"127.0.0.1:{free_port()}"
    async with (
        serving(tool) as url,
        unit(file := written(tmp_path, port=port, tool=url, admin=admin)) as one,
        ClientSession() as browser,
        asyncio.timeout(PATIENCE),
    ):
        await one.told.told("READY")
        request = asyncio.create_task(browser.get(f"http://localhost:{port}/open"))
        await asked.wait()
        one.process.terminate()
        await one.told.told("STOPPING")
        one.process.send_signal(signal.SIGHUP)
        done = await asyncio.to_thread(said, "reload", file)
        assert (done.returncode, "it is stopping" in done.stderr) == (2, True), done
        may_answer.set()
        async with await request as answer:
            assert await answer.text() == "all of it"
        assert await one.ended() == 0
        assert not [each for each in one.told.messages if "RELOADING" in each]


async def test_a_stop_is_told_with_the_time_that_it_may_take(tmp_path: Path) -> None:
    file = written(tmp_path, port=free_port())
    changed(file, drain="5m", drain_delay="1s")
    async with unit(file) as one:
        await one.told.told("READY")
        assert await one.stopped() == 0
        stopping = await one.told.told("STOPPING")
        assert int(stopping["EXTEND_TIMEOUT_USEC"]) >= 301_000_000
        await one.told.is_told("stopping; 1 worker may finish requests")


async def test_the_status_tells_of_a_worker_that_has_died_and_of_the_next(tmp_path: Path) -> None:
    file = written(tmp_path, port=free_port())
    changed(file, workers=2)
    async with unit(file) as one:
        await one.told.told("READY")
        number = len(one.told.messages)
        os.kill(one.workers[0], signal.SIGKILL)
        await one.told.is_told("serves with 1 worker; 1 worker starting", number)
        await one.told.is_told("serves with 2 workers", number)


async def test_a_watchdog_that_is_wanted_hears_more_often_than_it_waits(tmp_path: Path) -> None:
    async with unit(written(tmp_path, port=free_port()), environ=WATCHED) as one:
        await one.told.told("READY")
        told = one.told.messages
        at = []
        for _ in range(8):
            await one.told.told("WATCHDOG", len(told))
            at.append(time.monotonic())
        assert min(b - a for a, b in pairwise(at)) < 0.5, "not only with the workers' signs of life"


@pytest.mark.parametrize(
    "environ", [{**WATCHED, "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "often"}]
)
async def test_the_watchdog_of_another_process_or_none_hears_nothing(
    environ: dict[str, str], tmp_path: Path
) -> None:
    async with unit(written(tmp_path, port=free_port()), environ=environ) as one:
        await one.told.told("READY")
        await one.reloaded()
        assert await one.stopped() == 0
        await one.told.is_told("stopping")
        assert not [each for each in one.told.messages if "WATCHDOG" in each]


async def test_a_systemd_that_is_gone_holds_nothing_up(tmp_path: Path) -> None:
    file, port = written(tmp_path, port=free_port()), free_port()
    async with unit(file) as one, ClientSession() as browser:
        await one.told.told("READY")
        one.told.vanish()
        changed(file, listen=f"127.0.0.1:{port}")
        one.process.send_signal(signal.SIGHUP)
        await one.says("generation 2 serves")
        async with browser.get(f"http://localhost:{port}/open", headers={"Host": "localhost"}) as answer:
            assert answer.status != 200
        assert await one.stopped() == 0


async def test_a_systemd_that_is_busy_is_not_waited_for_and_told_later(tmp_path: Path) -> None:
    told = Notified(str(tmp_path / "notify"))
    assert told.fill() > 0
    hear, told.listen = told.listen, lambda: None  # type: ignore[method-assign]
    async with unit(written(tmp_path, port=free_port()), told=told) as one:
        await one.says("serving on")
        hear()
        await told.told("READY")
        assert await one.stopped() == 0


async def test_sigterm_to_all_processes_lets_requests_finish_as_sigterm_to_the_first_one(tmp_path: Path) -> None:
    tool, asked, may_answer = waiting_tool()
    port = free_port()
    async with (
        serving(tool) as url,
        unit(written(tmp_path, port=port, tool=url)) as one,
        ClientSession() as browser,
        asyncio.timeout(PATIENCE),
    ):
        await one.told.told("READY")
        request = asyncio.create_task(browser.get(f"http://localhost:{port}/open"))
        await asked.wait()
        os.killpg(one.process.pid, signal.SIGTERM)  # KillMode=control-group
        await one.told.told("STOPPING")
        may_answer.set()
        async with await request as answer:
            assert await answer.text() == "all of it"
        assert await one.ended() == 0
        assert not [line for line in one.log if " ERROR " in line]


async def test_an_address_in_use_is_told_as_what_may_pass_and_a_wrong_file_as_what_does_not(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        file = written(tmp_path, port=other.getsockname()[1])
        async with unit(file) as one:
            assert await one.ended() == 75
    changed(file, listen=7)
    async with unit(file) as one:
        assert await one.ended() == 2
