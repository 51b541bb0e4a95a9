"""A new configuration takes over while everything goes on: nobody is dropped, and a wrong one changes nothing."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientSession

from tests.support.browser import NAVIGATION, Visitor
from tests.support.command import said, said_here
from tests.support.processes import Proxies, processes
from tests.support.proxy import a_secret, free_port
from tests.support.sessions import signed_in
from tests.support.tool import until
from tests.support.units import PATIENCE

SERVES = "serves"
"""In the log's line of a reload that went well."""


class Load:
    """Visitors who ask without a pause, each on a connection that is kept as long as the proxy lets it."""

    def __init__(self, proxies: Proxies, cookie: str) -> None:
        self.answered = 0
        self.lost: list[str] = []
        self._proxies = proxies
        self._cookie = cookie

    async def ask_on(self) -> None:
        """Until cancelled."""
        headers = {
            "Host": f"localhost:{self._proxies.stage.port}",
            "Cookie": self._cookie.removeprefix("Cookie: "),
        }
        async with ClientSession(connector=aiohttp.TCPConnector(limit=1), headers=headers) as http:
            while True:
                try:
                    async with http.post(f"{self._proxies.url}/echo", data=b"typed") as answer:
                        await answer.read()
                        self._count(answer.status)
                except (aiohttp.ClientError, OSError) as error:  # a POST is not tried again by the client
                    self.lost.append(repr(error))

    def _count(self, status: int) -> None:
        if status == 200:
            self.answered += 1
        else:
            self.lost.append(str(status))


@asynccontextmanager
async def load(proxies: Proxies, cookie: str, visitors: int = 20) -> AsyncIterator[Load]:
    one = Load(proxies, cookie)
    tasks = [asyncio.create_task(one.ask_on()) for _ in range(visitors)]
    try:
        yield one
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_reloads_under_load_lose_no_request_and_cut_no_websocket_and_no_stream(
    tmp_path: Path, visitor: Visitor
) -> None:
    async with processes(tmp_path, workers=2) as proxies, ClientSession() as http:
        cookie = await signed_in(proxies.stage, visitor)
        headers = {"Host": f"localhost:{proxies.stage.port}", "Cookie": cookie.removeprefix("Cookie: ")}
        origin = {"Origin": f"http://localhost:{proxies.stage.port}"}
        async with (
            http.ws_connect(f"{proxies.url}/clock", headers={**headers, **origin}) as socket,
            http.get(f"{proxies.url}/feed", headers={**headers, "Accept": "text/event-stream"}) as feed,
            load(proxies, cookie) as running,
        ):
            for _ in range(5):
                before = running.answered
                await proxies.reloaded(SERVES)
                async with asyncio.timeout(PATIENCE):
                    while running.answered < before + 50:  # noqa: ASYNC110 visitors that count for themselves
                        await asyncio.sleep(0.01)
            first = await socket.receive_str()
            assert await socket.receive_str() != first, "the clock goes on"
            assert b"event" in await feed.content.readuntil(b"\n\n")
            assert not running.lost
        metrics = await proxies.metrics()
        assert metrics["oauth_proxy_generation"] == 6
        assert metrics['oauth_proxy_reloads_total{result="success"}'] == 5
        assert metrics['oauth_proxy_requests_total{by="tool",code="200"}'] >= running.answered


async def test_sessions_ends_and_logins_in_progress_carry_over(tmp_path: Path, visitor: Visitor) -> None:
    async with processes(tmp_path) as proxies:
        stage = proxies.stage
        cookie = await signed_in(stage, visitor)
        async with Visitor() as other:
            ended = await signed_in(stage, other)
        navigating = [f"{name}: {value}" for name, value in NAVIGATION.items()]
        assert (await stage.ask("/oauth2/sign_out", ended, *navigating)).status == 200
        await proxies.reloaded(SERVES)
        assert (await stage.ask("/echo", cookie)).status == 200
        assert (await stage.ask("/echo", ended, *navigating)).status == 302


async def test_what_is_changed_is_in_use_and_is_logged_without_secrets(tmp_path: Path, visitor: Visitor) -> None:
    async with processes(tmp_path) as proxies:
        stage, secret = proxies.stage, a_secret()
        cookie = await signed_in(stage, visitor)
        assert (await stage.ask("/echo")).status == 401
        proxies.write(
            access={"allow": ["everyone"], "public": ["/echo"]}, session={"secret": [secret, *stage.keys]}
        )
        await proxies.reloaded(SERVES)
        assert (await stage.ask("/echo")).status == 200
        assert (await stage.ask("/hello", cookie)).status != 401, "the session goes on with the old key"
        logged = "\n".join(proxies.log)
        assert "reload: access.public: [] → ['/echo']" in logged
        assert "reload: session.secret: " in logged
        assert secret not in logged


async def test_listener_and_number_of_workers_change_like_everything_else(
    tmp_path: Path, visitor: Visitor
) -> None:
    async with processes(tmp_path) as proxies:
        cookie = await signed_in(proxies.stage, visitor)
        old, new = proxies.stage.listens_on, free_port()
        proxies.write(listen=f"127.0.0.1:{new}", workers=2)
        await proxies.reloaded(SERVES)
        proxies.stage.listens_on = new
        assert (await proxies.stage.ask("/echo", cookie)).status == 200
        await until(lambda: len(proxies.workers) == 2)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", old)


async def test_a_wrong_configuration_is_told_and_changes_nothing(tmp_path: Path, visitor: Visitor) -> None:
    """One proxy, and every way in which its file can be wrong."""
    templates, pem = tmp_path / "templates", tmp_path / "bad.pem"
    templates.mkdir()
    (templates / "error.html").write_text("{% if %}")
    pem.write_text("no certificate")
    with_taken = asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with processes(tmp_path) as proxies, await with_taken as taken:
        cookie = await signed_in(proxies.stage, visitor)
        [worker] = proxies.workers
        good = dict(proxies.tree)
        address = f"127.0.0.1:{taken.sockets[0].getsockname()[1]}"
        wrong: dict[str, dict[str, Any]] = {
            "is missing": {"public_url": None},
            "session.store cannot change while the proxy runs": {
                "session": {**good["session"], "store": f"sqlite:{tmp_path}/s.db"}
            },
            f"cannot listen on {address}: Address already in use": {"listen": address},
            "the file cannot be read": {"tls": {"cert": "none.pem", "key": "none.pem"}},
            "the file holds no certificate in PEM": {"tls": {"cert": str(pem), "key": str(pem)}},
            "error.html": {"pages": {"templates": str(templates)}},
        }
        for number, (why, change) in enumerate(wrong.items(), 1):
            proxies.tree.clear()
            proxies.write(**{key: value for key, value in {**good, **change}.items() if value is not None})
            await proxies.reloaded("nothing is changed")
            assert any(why in each for each in proxies.log), (why, proxies.log)
            assert (await proxies.stage.ask("/echo", cookie)).status == 200
            assert (await proxies.metrics())['oauth_proxy_reloads_total{result="failure"}'] == number
            assert (await proxies.metrics())["oauth_proxy_last_reload_successful"] == 0
        assert proxies.workers == [worker]
        proxies.tree.clear()
        proxies.write(**good)
        await proxies.reloaded(SERVES)
        assert (await proxies.metrics())["oauth_proxy_last_reload_successful"] == 1


async def test_the_command_says_when_it_is_done_or_what_prevents_it(tmp_path: Path) -> None:
    async with processes(tmp_path) as proxies:
        done = await asyncio.to_thread(said, "reload", proxies.file)
        assert (done.returncode, done.stdout, done.stderr) == (0, "The proxy uses the file as it is now.\n", "")
        (tmp_path / "error.html").write_text("{% if %}")  # the file is good: only who serves sees this
        proxies.write(pages={"templates": str(tmp_path)})
        done = await asyncio.to_thread(said, "reload", proxies.file)
        assert done.returncode == 2
        assert "error.html" in done.stderr
        assert done.stderr.endswith("The proxy goes on as before.\n")
    done = await asyncio.to_thread(said, "reload", proxies.file)
    assert done.returncode == 2
    assert "so there is nothing to reload" in done.stderr


@pytest.mark.parametrize("change", ["where to ask", "how to prove who asks"])
async def test_what_keeps_the_command_from_the_proxy_is_said_to_need_the_signal(
    change: str, tmp_path: Path
) -> None:
    async with processes(tmp_path) as proxies:
        if change == "where to ask":
            proxies.write(admin={"listen": f"127.0.0.1:{free_port()}"})
        else:
            proxies.write(session={"secret": a_secret()})
        done = await asyncio.to_thread(said_here, "reload", proxies.file)
        assert (done.returncode, done.stdout) == (2, "")
        assert "SIGHUP to it (systemctl reload) has it read the file" in done.stderr
        await proxies.reloaded(SERVES)
        done = await asyncio.to_thread(said_here, "reload", proxies.file)
        assert (done.returncode, done.stderr) == (0, "")


async def test_signals_that_come_all_at_once_end_in_one_good_generation(tmp_path: Path, visitor: Visitor) -> None:
    async with processes(tmp_path) as proxies:
        cookie = await signed_in(proxies.stage, visitor)
        for _ in range(20):
            proxies.process.send_signal(signal.SIGHUP)
        await proxies.reloaded(SERVES)
        await until(lambda: len(proxies.workers) == 1)
        assert (await proxies.stage.ask("/echo", cookie)).status == 200


@pytest.mark.parametrize("what", ["the file", "a secret that Kubernetes replaces"])
async def test_with_watch_a_change_needs_no_signal(what: str, tmp_path: Path) -> None:
    for number, secret in enumerate([a_secret(), a_secret()]):
        (tmp_path / f"data{number}").mkdir()
        (tmp_path / f"data{number}" / "secret").write_text(secret)
    (tmp_path / "now").symlink_to("data0")
    session = {"secret_file": "now/secret"}
    async with processes(tmp_path, reload="watch", session=session) as proxies:
        if what == "the file":
            proxies.write(access={"allow": ["everyone"], "public": ["/echo"]})
        else:
            (tmp_path / "next").symlink_to("data1")
            (tmp_path / "next").replace(tmp_path / "now")
        await proxies.says("a file has changed")
        await proxies.says(SERVES)
        changed = "access.public" if what == "the file" else "session.secret"
        assert any(changed in line for line in proxies.log)


@pytest.mark.parametrize("late", ["a secret", "a list of addresses"])
async def test_with_watch_a_file_that_comes_after_its_name_is_waited_for(late: str, tmp_path: Path) -> None:
    """Nothing happened when it came: only what a good file names was watched."""
    async with processes(tmp_path, reload="watch") as proxies:
        if late == "a secret":
            proxies.write(session={"secret_file": "late/file"})
        else:
            proxies.write(access={"allow": [{"emails_file": "late/file"}]})
        await proxies.says("the file cannot be read")
        await proxies.says("nothing is changed")
        (tmp_path / "late").mkdir()
        (tmp_path / "late" / "file").write_text(a_secret() if late == "a secret" else "jo@example.com")
        await proxies.says(SERVES)


async def test_a_file_named_from_a_folder_that_was_replaced_is_that_of_the_new_folder(tmp_path: Path) -> None:
    """A deployment that makes the folder anew: each reload said that there was no such file."""
    folder = tmp_path / "now"
    folder.mkdir()
    (folder / "secret").write_text(a_secret())
    start = f"cd {folder} && exec {sys.executable} -m oauth_proxy run proxy.yaml"
    session = {"secret_file": "secret"}
    async with processes(folder, command=["sh", "-c", start], session=session, reload="watch") as proxies:
        folder.rename(tmp_path / "before")
        folder.mkdir()
        (folder / "secret").write_text(a_secret())
        proxies.write(access={"allow": ["everyone"], "public": ["/echo"]})
        await proxies.says("a file has changed")
        await proxies.says(SERVES)
        assert any("access.public" in line for line in proxies.log)
        assert any("session.secret" in line for line in proxies.log)


async def test_the_oldest_streams_end_when_drain_is_over(tmp_path: Path, visitor: Visitor) -> None:
    async with processes(tmp_path, drain="1s") as proxies, ClientSession() as http:
        cookie = await signed_in(proxies.stage, visitor)
        headers = {"Host": f"localhost:{proxies.stage.port}", "Cookie": cookie.removeprefix("Cookie: ")}
        async with http.get(f"{proxies.url}/feed", headers={**headers, "Accept": "text/event-stream"}) as feed:
            await feed.content.readuntil(b"\n\n")
            await proxies.reloaded(SERVES)
            async with asyncio.timeout(PATIENCE):
                with suppress(aiohttp.ClientError):
                    await feed.content.read()
        await until(lambda: len(proxies.workers) == 1)


@pytest.mark.parametrize("change", ["a rule", "the secret"])
async def test_whom_the_new_file_refuses_keeps_nothing_open_and_gets_nothing_more(
    change: str, tmp_path: Path, visitor: Visitor
) -> None:
    """What was open at the reload goes on in the processes of before, which know the old file."""
    async with processes(tmp_path) as proxies, ClientSession() as http:
        cookie = await signed_in(proxies.stage, visitor)
        site = f"localhost:{proxies.stage.port}"
        headers = {"Host": site, "Cookie": cookie.removeprefix("Cookie: ")}
        reader, writer = await asyncio.open_connection("127.0.0.1", proxies.stage.listens_on)
        async with http.ws_connect(
            f"{proxies.url}/clock", headers={**headers, "Origin": f"http://{site}"}
        ) as socket:
            await socket.receive_str()
            if change == "a rule":
                proxies.write(access={"allow": [{"email": "nobody@example.com"}]})
            else:
                proxies.write(session={"secret": a_secret()})
            await proxies.reloaded(SERVES)
            async with asyncio.timeout(PATIENCE):
                while (message := await socket.receive()).type == aiohttp.WSMsgType.TEXT:
                    continue
            assert message.data == 4401
            writer.write(f"GET /echo HTTP/1.1\r\nHost: {site}\r\n{cookie}\r\n\r\n".encode())
            assert (await reader.readline()).split()[1] in (b"401", b"403")
        writer.close()


async def test_a_fault_of_ours_while_a_file_is_read_ends_nobody(tmp_path: Path, visitor: Visitor) -> None:
    """It ended all: whatever was no ConfigurationError killed every worker, and the parent."""
    lines = """
import sys
from oauth_proxy import cli
read, times = cli.load_with_files, []
def broken(*arguments):
    times.append(arguments)
    if len(times) == 2:
        raise ZeroDivisionError
    return read(*arguments)
cli.load_with_files = broken
cli.main()
"""
    async with processes(tmp_path, command=[sys.executable, "-c", lines]) as proxies:
        cookie = await signed_in(proxies.stage, visitor)
        await proxies.reloaded("nothing is changed")
        await proxies.says("a fault of the proxy itself (ZeroDivisionError)")
        assert (await proxies.stage.ask("/echo", cookie)).status == 200
        await proxies.reloaded("generation 2 serves")
        assert (await proxies.stage.ask("/echo", cookie)).status == 200
        assert "ZeroDivisionError" in proxies.log
        proxies.log.clear()  # a traceback is right here
