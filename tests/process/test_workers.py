"""Several workers as one proxy: what they know together, and what becomes of one that dies or hangs."""

import asyncio
import os
import signal
import sys
import time
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import ClientResponse, ClientSession

from oauth_proxy.commands import Command, channels
from tests.support.browser import NAVIGATION, Visitor
from tests.support.processes import Proxies, processes, told, worker_of
from tests.support.sessions import refreshes, signed_in
from tests.support.tool import until
from tests.support.units import HOUR, PATIENCE


def line(cookie: str) -> dict[str, str]:
    """A Cookie line as a header."""
    return {"Cookie": cookie.removeprefix("Cookie: ")}


class Connections:
    """Connections that are kept open, each to the worker that accepted it."""

    def __init__(self, proxies: Proxies, stack: AsyncExitStack) -> None:
        self._url = proxies.url
        self._host = {"Host": f"localhost:{proxies.stage.port}"}
        self._stack = stack
        self.by_worker: dict[str, ClientSession] = {}

    async def reach(self, workers: int, cookie: str) -> None:
        """Open connections until so many workers are reached."""
        async with asyncio.timeout(PATIENCE):
            while len(self.by_worker) < workers:
                sessions = [await self.another() for _ in range(4 * workers)]
                answers = await asyncio.gather(*(self.ask(each, cookie=cookie) for each in sessions))
                for session, answer in zip(sessions, answers, strict=True):
                    self.by_worker.setdefault(worker_of(await answer.text()), session)

    async def another(self) -> ClientSession:
        connector = aiohttp.TCPConnector(limit=1)
        return await self._stack.enter_async_context(
            ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        )

    async def ask(self, session: ClientSession, path: str = "/echo", *, cookie: str) -> ClientResponse:
        """One answer, read to its end."""
        headers = {**self._host, **NAVIGATION, **line(cookie)}
        async with session.get(self._url + path, headers=headers, allow_redirects=False) as answer:
            await answer.read()
            return answer


@asynccontextmanager
async def connections(proxies: Proxies, workers: int, cookie: str) -> AsyncIterator[Connections]:
    async with AsyncExitStack() as stack:
        found = Connections(proxies, stack)
        await found.reach(workers, cookie)
        yield found


async def test_two_hundred_requests_at_expiry_over_four_workers_make_one_token_call(
    tmp_path: Path, visitor: Visitor
) -> None:
    async with processes(tmp_path, workers=4, frameio={"access_lifetime": 3}) as proxies:
        stage = proxies.stage
        cookie = await signed_in(stage, visitor)
        stage.frameio.set_access_lifetime(HOUR)
        expired = asyncio.create_task(asyncio.sleep(3))
        async with connections(proxies, 4, cookie) as opened:
            stage.frameio.calls.clear()
            await expired
            sessions = [*opened.by_worker.values()] * 50
            answers = await asyncio.gather(*(opened.ask(each, cookie=cookie) for each in sessions))
        assert [answer.status for answer in answers] == [200] * 200
        assert refreshes(stage) <= 1
        tokens = {each for answer in answers for each in [await answer.text()] if "Bearer" in each}
        assert len(tokens) == 200, "each was served by the tool"


async def test_a_sign_out_at_one_worker_holds_at_every_other_before_it_is_answered(
    tmp_path: Path,
) -> None:
    async with processes(tmp_path, workers=3) as proxies:
        for _ in range(3):
            async with Visitor() as visitor:
                cookie = await signed_in(proxies.stage, visitor)
            async with connections(proxies, 3, cookie) as opened:
                first, *others = opened.by_worker.values()
                assert (await opened.ask(first, "/oauth2/sign_out", cookie=cookie)).status == 200
                answers = [await opened.ask(each, cookie=cookie) for each in (*others, first)]
                assert [answer.status for answer in answers] == [302, 302, 302]


async def test_a_worker_that_dies_is_replaced_and_no_counter_falls(tmp_path: Path, visitor: Visitor) -> None:
    async with processes(tmp_path, workers=2) as proxies:
        cookie = await signed_in(proxies.stage, visitor)
        answered = 'oauth_proxy_requests_total{by="tool",code="200"}'
        async with connections(proxies, 2, cookie) as opened:
            before = await proxies.metrics()
            killed = proxies.workers[0]
            os.kill(killed, signal.SIGKILL)
            await until(lambda: killed not in proxies.workers and len(proxies.workers) == 2)
            living = []
            for each in opened.by_worker.values():  # the connections of the other go on
                try:
                    living.append((await opened.ask(each, cookie=cookie)).status)
                except aiohttp.ClientError:
                    continue
        assert living
        assert set(living) == {200}
        assert f"worker {killed} has ended: signal SIGKILL" in await proxies.says("has ended")
        async with asyncio.timeout(PATIENCE):
            while (await proxies.metrics())["oauth_proxy_workers"] < 2:  # noqa: ASYNC110 other processes
                await asyncio.sleep(0.05)
        after = await proxies.metrics()
        assert after["oauth_proxy_worker_restarts_total"] == 1
        assert after[answered] >= before[answered] >= 2
        assert all(after[name] >= value for name, value in before.items() if name.endswith(("_total", "_count")))


async def test_a_worker_that_a_signal_without_a_name_ends_is_replaced_like_any_other(tmp_path: Path) -> None:
    async with processes(tmp_path) as proxies:
        [ended] = proxies.workers
        number = signal.SIGRTMIN + 3
        os.kill(ended, number)
        assert f"worker {ended} has ended: signal {number};" in await proxies.says("has ended")
        await until(lambda: proxies.workers not in ([], [ended]))
        assert (await proxies.stage.ask("/echo")).status == 401


async def test_the_first_process_of_a_container_buries_orphans_and_knows_how_its_own_have_ended(
    tmp_path: Path,
) -> None:
    """prctl(PR_SET_CHILD_SUBREAPER) brings it orphans as PID 1 has them, here one of the shell's."""
    imports = "import ctypes, os; from oauth_proxy.process import parent; from oauth_proxy.cli import main"
    lines = "ctypes.CDLL(None).prctl(36, 1, 0, 0, 0); parent.IS_FIRST = True; os.system('sleep 600 &')"
    async with processes(tmp_path, command=[sys.executable, "-c", f"{imports}; {lines}; main()"]) as proxies:
        orphan, worker = proxies.workers
        os.kill(orphan, signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
        assert f"worker {worker} has ended: signal SIGKILL;" in await proxies.says("has ended")
        await until(lambda: len(proxies.workers) == 1 and orphan not in proxies.workers)
        assert (await proxies.stage.ask("/echo")).status == 401


async def test_a_worker_whose_loop_stands_still_is_killed_and_replaced(tmp_path: Path) -> None:
    async with processes(tmp_path, command=told(crew__SILENCE=2.0)) as proxies:
        [hanging] = proxies.workers
        os.kill(hanging, signal.SIGSTOP)
        assert f"worker {hanging} is killed: no sign of life for 2 s" in await proxies.says("is killed")
        await until(lambda: proxies.workers not in ([], [hanging]))
        async with ClientSession() as http, http.get(f"http://{proxies.admin}/readyz") as ready:
            assert await ready.text() == "ready\n"


async def test_a_parent_that_slept_kills_no_worker_that_slept_too(tmp_path: Path) -> None:
    async with processes(tmp_path, command=told(crew__SILENCE=1.5)) as proxies:
        [worker] = proxies.workers
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in (worker, proxies.parent):
                os.kill(pid, number)
            await asyncio.sleep(2.5 if number == signal.SIGSTOP else 1.5)
        assert proxies.workers == [worker]


async def test_workers_whose_parent_was_killed_end_and_make_room(tmp_path: Path) -> None:
    async with processes(tmp_path, workers=2) as proxies:
        workers = proxies.workers
        proxies.process.kill()
        await proxies.ended()
        await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
        async with processes(tmp_path, listen=proxies.tree["listen"]) as again:
            assert again.workers


async def test_a_signal_to_a_worker_alone_does_no_harm(tmp_path: Path, visitor: Visitor) -> None:
    async with processes(tmp_path) as proxies:
        cookie = await signed_in(proxies.stage, visitor)
        [worker] = proxies.workers
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1):
            os.kill(worker, number)
        assert (await proxies.stage.ask("/echo", cookie)).status == 200
        assert proxies.workers == [worker]
        os.kill(worker, signal.SIGTERM)  # this one ends as at a stop, and another one comes
        await until(lambda: proxies.workers not in ([], [worker]))
        assert (await proxies.stage.ask("/echo", cookie)).status == 200


async def test_workers_share_the_bound_of_connections(tmp_path: Path, visitor: Visitor) -> None:
    async with processes(tmp_path, workers=2, limits={"connections": "16"}) as proxies:
        cookie = await signed_in(proxies.stage, visitor)
        async with connections(proxies, 2, cookie) as opened, AsyncExitStack() as stack:
            for _ in range(40):
                _, writer = await asyncio.open_connection("127.0.0.1", proxies.stage.listens_on)
                stack.callback(writer.close)
            assert opened.by_worker
            assert (await proxies.metrics())["oauth_proxy_connections"] <= 16


async def test_a_command_is_obeyed_once_whichever_worker_hears_it(tmp_path: Path) -> None:
    async with processes(tmp_path, workers=3) as proxies, ClientSession() as http:
        [channel] = channels([b64decode(key) for key in proxies.stage.keys], proxies.stage.url)
        sealed = channel.seal(Command.new("end", None, time.time()))
        statuses = []
        for _ in range(24):
            async with http.post(
                f"http://{proxies.admin}/command", data=sealed, headers={"Connection": "close"}
            ) as answer:
                statuses.append(answer.status)
        assert sorted(statuses) == [200, *[401] * 23]
