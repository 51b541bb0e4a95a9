"""The commands that go on until they are stopped, as processes: how they begin, drain and end."""

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from oauth_proxy.settings import Listen, admin_listener
from tests.support.command import COMMAND, ended, said, said_here, started, written
from tests.support.processes import waiting_tool
from tests.support.proxy import free_port, serving
from tests.support.units import PATIENCE


@pytest.mark.parametrize("admin", ["0.0.0.0:PORT", "unix:FOLDER/admin.sock"])
async def test_health_is_ok_while_the_proxy_runs_and_1_after_it(admin: str, tmp_path: Path) -> None:
    admin = admin.replace("PORT", str(free_port())).replace("FOLDER", str(tmp_path))
    file = written(tmp_path, port=free_port(), admin=admin)
    async with started("run", file, sign=b"serving") as proxy:
        healthy = await asyncio.to_thread(said, "health", file)
        assert (healthy.returncode, healthy.stdout, healthy.stderr) == (0, "ok\n", "")
        proxy.terminate()
        assert (await ended(proxy))[0] == 0
    done = await asyncio.to_thread(said, "health", file)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: no answer on {admin}: ")


async def test_mistakes_in_the_file_make_no_proxy_unhealthy_that_began_before_them(tmp_path: Path) -> None:
    file = written(tmp_path, port=free_port(), admin=f"127.0.0.1:{free_port()}")
    async with started("run", file, sign=b"serving"):
        text = file.read_text().replace("everyone", "nobody").replace("the-client-secret", "$UNSET")
        file.write_text(text.replace("secret:", "secert:") + "more: 1\n")
        checked = await asyncio.to_thread(said, "check", file)
        assert (checked.returncode, len(checked.stderr.splitlines())) == (2, 4)
        healthy = await asyncio.to_thread(said, "health", file)
        assert (healthy.returncode, healthy.stdout, healthy.stderr) == (0, "ok\n", "")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("admin: {listen: 4181}", "1:17: a listener is host:port or unix:/path"),
        ('admin: {listen: "127.0.0.1:${NO_PORT}"}', "1:17: the environment variable NO_PORT is not set"),
        ("admin: {listen: [a]}", "1:17: one value is wanted here, not a list"),
        ("admin: {listen: 127.0.0.1:4181", "1:31: a ',' or a '}' is missing before this"),
        ("- admin", "1:1: keys with values are wanted"),
        ("listen: [\nadmin: {listen: [}", "2:18: "),
        ("listen: 127.0.0.1:4180\nadmin\n  listen: 127.0.0.1:4182", "2:1: "),
        ('{\n  "admin": {"listen": "127.0.0.1:4182"},\n', "3:1: "),
        ("", "1:1: the file is empty"),
    ],
)
def test_health_says_what_hides_where_the_proxy_listens(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "proxy.yaml").write_text(text)
    done = said_here("health", "proxy.yaml", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"proxy.yaml:{sentence}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("text", ["listen: 127.0.0.1:4180", "admin: {}", "admin: 4181"])
def test_health_asks_the_usual_address_where_the_file_names_none(text: str, tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(text)
    assert admin_listener(file, {}) == Listen("127.0.0.1", 4181)


ADMIN = "admin:\n# loopback\n\n  listen: 127.0.0.1:4182\n"


@pytest.mark.parametrize(
    ("text", "port"),
    [
        (f"listen 127.0.0.1:4180\n{ADMIN}public_url: https://a", 4182),
        (f"public_url: 'https://a\n{ADMIN}\naccess: {{allow: everyone}}", 4182),
        (f"access: {{allow: [}}\n{ADMIN}".replace("\n", "\r\n"), 4182),
        (f"{ADMIN}access:\n\tallow: everyone", 4182),
        (f"{ADMIN}pages: {{name: \x01}}", 4182),
        ("listen: 127.0.0.1:4180\naccess: {allow: [}\n# admin: {listen: 127.0.0.1:4182}", 4181),
    ],
)
def test_where_health_asks_stands_in_a_file_that_is_no_yaml_as_a_whole(
    text: str, port: int, tmp_path: Path
) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(text, newline="")
    assert admin_listener(file, {}) == Listen("127.0.0.1", port)


def test_health_reads_no_other_file(tmp_path: Path) -> None:
    """It waited for secrets that came by a pipe, longer than a container's health check may take."""
    secrets = [
        f"{name}: {{{key}_file: pipe}}" for name, key in (("frameio", "client_secret"), ("session", "secret"))
    ]
    file = tmp_path / "proxy.yaml"
    file.write_text("\n".join([*secrets, "admin: {listen: 127.0.0.1:4182}"]))
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "pipe").open("r+b", buffering=0) as pipe:
        pipe.write(b"a secret")
        assert admin_listener(file, {}) == Listen("127.0.0.1", 4182)
        assert pipe.read(100) == b"a secret"


async def test_health_is_1_where_something_else_answers(tmp_path: Path) -> None:
    async with serving(web.Application()) as url:
        done = await asyncio.to_thread(said, "health", written(tmp_path, admin=url.removeprefix("http://")))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(" answered 404\n")


@pytest.mark.parametrize("taken", ["listen", "admin"])
def test_run_on_a_taken_port_is_one_sentence(taken: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        file = (
            written(tmp_path, port=port)
            if taken == "listen"
            else written(tmp_path, port=free_port(), admin=f"127.0.0.1:{port}")
        )
        done = said("run", file)
    assert (done.returncode, done.stdout) == (75, "")
    *notes, sentence = done.stderr.splitlines()
    assert all(" WARNING " in note for note in notes)
    assert sentence == f"cannot listen on 127.0.0.1:{port}: Address already in use"


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def cores() -> Iterator[None]:
    """A process that crashes leaves a core dump, where the machine lets it."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.mark.usefixtures("cores")
async def test_a_crash_leaves_no_core_dump_with_the_secrets_in_it(tmp_path: Path) -> None:
    async with started("run", written(tmp_path, port=free_port()), sign=b"serving", folder=tmp_path) as proxy:
        assert resource.prlimit(proxy.pid, resource.RLIMIT_CORE) == (0, 0)
        proxy.send_signal(signal.SIGABRT)
        assert (await ended(proxy))[0] == -signal.SIGABRT
    assert names_in(tmp_path) == ["proxy.yaml"]


def test_a_program_that_is_piped_the_cores_gets_none_either() -> None:
    asked = "import ctypes; from oauth_proxy import libc; libc.dump_no_core(); print(ctypes.CDLL(None).prctl(3))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "0\n", "PR_GET_DUMPABLE"


async def test_a_stop_lets_no_one_in_and_requests_under_way_finish(tmp_path: Path) -> None:
    tool, asked, may_answer = waiting_tool()
    port, admin = free_port(), f"127.0.0.1:{free_port()}"
    async with serving(tool) as url, ClientSession() as browser:
        file = written(tmp_path, port=port, tool=url, admin=admin)
        async with started("run", file, sign=b"serving") as proxy, asyncio.timeout(60):
            request = asyncio.create_task(browser.get(f"http://localhost:{port}/open"))
            await asked.wait()
            proxy.terminate()
            await refused(port)
            async with browser.get(f"http://{admin}/readyz") as ready:
                assert ready.status == 503
            may_answer.set()
            async with await request as answer:
                assert await answer.text() == "all of it"
            code, told = await ended(proxy)
    assert code == 0
    assert "stopping; requests under way may finish" in told


async def test_a_second_stop_waits_for_nobody(tmp_path: Path) -> None:
    tool, asked, _ = waiting_tool()
    port = free_port()
    async with (
        serving(tool) as url,
        started("run", written(tmp_path, port=port, tool=url), sign=b"serving") as proxy,
    ):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /open HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % port)
        await asyncio.wait_for(asked.wait(), PATIENCE)
        proxy.terminate()
        await refused(port)
        proxy.terminate()
        assert (await ended(proxy))[0] == -signal.SIGTERM
        writer.close()


async def refused(port: int) -> None:
    """Wait until nothing listens there any more."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                return
            writer.close()
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("api", "stop"), [("v2", signal.SIGINT), ("v4", signal.SIGTERM)])
async def test_demo_prints_one_url_that_answers_until_it_is_told_to_stop(api: str, stop: signal.Signals) -> None:
    port = free_port()
    async with started("demo", "--api", api, "--port", str(port), sign=b"(Ctrl+C ends it)") as demo:
        connection = HTTPConnection("localhost", port, timeout=PATIENCE)
        connection.request("GET", "/", headers={"Accept": "text/html"})
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("X-OAuth-Proxy")) == (302, "answer")
        connection.close()
        demo.send_signal(stop)
        assert (await ended(demo))[0] == 0


def test_demo_takes_a_free_port_and_its_cast_dies_with_it_even_when_it_is_killed() -> None:
    with subprocess.Popen(  # noqa: S603 our own command
        [*COMMAND, "demo", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as demo:
        try:
            assert demo.stdout is not None
            assert demo.stdout.readline().startswith(b"The demo is at http://localhost:")
            status_page = demo.stdout.readline().partition(b"Its status page, for operators: http://")[2].decode()
            connection = HTTPConnection(status_page.rstrip("/\n"), timeout=PATIENCE)
            connection.request("GET", "/")
            assert b"All is well" in connection.getresponse().read()
            connection.close()
        finally:
            demo.kill()
        # The cast holds the same standard error: it ends here only when the last of them is gone.
        demo.communicate(timeout=PATIENCE)
    assert demo.returncode == -signal.SIGKILL


def test_a_demo_whose_output_nobody_reads_ends_with_all_of_its_processes() -> None:
    with subprocess.Popen(  # noqa: S603 our own command
        [*COMMAND, "demo", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as demo:
        assert demo.stdout is not None
        demo.stdout.close()
        try:
            assert demo.stderr is not None
            demo.stderr.read()  # the cast and the workers hold it, too: it ends with the last of them
            assert demo.wait(PATIENCE) != 0
        finally:
            demo.kill()


def test_demo_on_a_taken_port_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = said("demo", "--port", str(port))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"port {port} is taken; choose another one with --port, or any free one with --port 0\n"
    )
