"""Sockets that systemd hands over: what is served at each, what is refused, and a restart that loses nothing."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest
import yaml
from aiohttp import ClientSession, UnixConnector, web

from tests.support.browser import Visitor
from tests.support.command import written
from tests.support.processes import MachineClock
from tests.support.proxy import SECRET, free_port, on_stage, serving, settings_tree
from tests.support.sessions import signed_in
from tests.support.systemd import Unit, changed, unit
from tests.support.units import PATIENCE

GIVEN = "the supervisor has handed over"
VISITORS = 20
UNHEARD = "nothing in the file listens there"
LOCALHOST = sorted({each[4][0] for each in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)})


@pytest.fixture
def made() -> Iterator[ExitStack]:
    """Closes the sockets of a test."""
    with ExitStack() as stack:
        yield stack


def a_socket(stack: ExitStack, host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A socket as a .socket unit has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return stack.enter_context(socket.create_server((host, port), family=family))


def a_unix_socket(stack: ExitStack, path: Path) -> socket.socket:
    """The same, with a mode of the supervisor's."""
    sock = stack.enter_context(socket.socket(socket.AF_UNIX))
    sock.bind(str(path))
    path.chmod(0o666)
    sock.listen()
    return sock


def port_of(sock: socket.socket) -> int:
    port: int = sock.getsockname()[1]
    return port


def descriptors(pid: int) -> list[str]:
    """The sockets that a process has."""
    found = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
    return [each for each in found if each.startswith("socket:")]


async def status(at: str, port: int, path: str = "/open", *, host: str | None = None) -> int:
    """What a visitor gets there."""
    headers = {"Host": host or f"{at}:{port}"}
    async with ClientSession(headers=headers) as browser, browser.get(f"http://{at}:{port}{path}") as answer:
        return answer.status


async def sentences(one: Unit) -> list[str]:
    """What a start that was refused has said, which nobody tries again."""
    assert await one.ended() == 2
    return [line for line in one.log if " WARNING " not in line]


@pytest.fixture
async def tool() -> AsyncIterator[str]:
    """A tool that says yes."""
    app = web.Application()
    app.router.add_get("/{any:.*}", _yes)
    async with serving(app) as url:
        yield url


async def _yes(_: web.Request) -> web.Response:
    return web.Response(text="yes")


@pytest.mark.parametrize("names", [None, [""], ["oauth-proxy.socket"]])
async def test_a_socket_serves_what_the_file_has_at_its_address(
    names: Sequence[str] | None, made: ExitStack, tool: str, tmp_path: Path
) -> None:
    public = a_socket(made)
    async with unit(written(tmp_path, port=port_of(public), tool=tool), sockets=[public], names=names) as one:
        await one.told.told("READY")
        assert await status("localhost", port_of(public)) == 200
        assert not [line for line in one.log if "handed over" in line]


async def test_a_socket_of_the_admin_listener_is_found_among_others(
    made: ExitStack, tool: str, tmp_path: Path
) -> None:
    public, admin = a_socket(made), a_socket(made)
    file = written(tmp_path, port=port_of(public), tool=tool, admin=f"127.0.0.1:{port_of(admin)}")
    async with unit(file, sockets=[admin, public]) as one:
        await one.told.told("READY")
        assert await status("localhost", port_of(public)) == 200
        assert await status("localhost", port_of(admin), "/readyz") == 200


async def test_a_name_says_what_is_served_wherever_it_listens_and_the_log_that_the_file_has_another_place(
    made: ExitStack, tool: str, tmp_path: Path
) -> None:
    admin, first, second = a_socket(made), a_socket(made), a_socket(made)
    file = written(tmp_path, port=(unused := free_port()), tool=tool)
    async with unit(file, sockets=[admin, first, second], names=["admin", "public", "public"]) as one:
        await one.told.told("READY")
        assert await status("localhost", port_of(admin), "/readyz") == 200
        for each in (first, second):
            assert await status("127.0.0.1", port_of(each), host=f"localhost:{unused}") == 200
        where = f"127.0.0.1:{port_of(first)} and 127.0.0.1:{port_of(second)}"
        await one.says(f"listen is 127.0.0.1:{unused} in the file, but {GIVEN} {where} for it")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", unused))


@pytest.mark.parametrize(
    ("hosts", "listen"), [(["::"], "[::]"), (["::1"], "[0:0:0:0:0:0:0:1]"), (LOCALHOST, "localhost")]
)
async def test_addresses_are_compared_and_not_how_they_are_written(
    hosts: list[str], listen: str, made: ExitStack, tool: str, tmp_path: Path
) -> None:
    port = free_port()
    sockets = [a_socket(made, host, port) for host in hosts]
    file = written(tmp_path, port=port, tool=tool)
    changed(file, listen=f"{listen}:{port}")
    async with unit(file, sockets=sockets) as one:
        await one.told.told("READY")
        for host in hosts:
            with socket.create_connection((host, port)) as visitor:
                visitor.sendall(f"GET /open HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
                assert (await asyncio.to_thread(visitor.recv, 15)).startswith(b"HTTP/1.1 200")


async def test_a_unix_socket_keeps_its_mode_and_its_file_through_reload_and_stop(
    made: ExitStack, tool: str, tmp_path: Path
) -> None:
    path = tmp_path / "proxy.sock"
    public = a_unix_socket(made, path)
    file = written(tmp_path, port=4180, tool=tool)
    changed(file, listen={"path": str(path), "mode": "0600"})
    async with unit(file, sockets=[public]) as one:
        await one.told.told("READY")
        await one.reloaded()
        there = ClientSession(connector=UnixConnector(str(path)))
        async with there as browser, browser.get("http://localhost:4180/open") as answer:
            assert answer.status == 200
        assert await one.stopped() == 0
    assert path.stat().st_mode & 0o777 == 0o666


async def test_a_socket_on_which_nobody_would_answer_is_a_sentence(made: ExitStack, tmp_path: Path) -> None:
    public, other, tools = a_socket(made), a_socket(made), a_socket(made)
    file = written(tmp_path, port=port_of(public))
    async with unit(
        file, sockets=[public, other, tools], names=["public", "oauth-proxy.socket", "tool_api"]
    ) as one:
        one_left, another = await sentences(one)
    assert one_left == (
        f"{GIVEN} 127.0.0.1:{port_of(other)} (oauth-proxy.socket), but {UNHEARD}: listen is "
        f"127.0.0.1:{port_of(public)}, admin.listen is 127.0.0.1:0. Change the file or the socket's unit, "
        "or give it FileDescriptorName= public, admin, tool_api"
    )
    assert another.startswith(f"{GIVEN} 127.0.0.1:{port_of(tools)} (tool_api), but ")


async def test_sockets_that_cannot_be_listened_on_are_a_sentence(made: ExitStack, tmp_path: Path) -> None:
    datagram = made.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    connection = made.enter_context(a_connection())
    for wrong in (datagram, connection):
        async with unit(written(tmp_path), sockets=[wrong], names=["public"]) as one:
            assert await sentences(one) == [
                f"{GIVEN} descriptor 3 (public), which cannot be used: it is no TCP or Unix "
                "socket that listens for connections: ListenStream= and Accept=no make one"
            ]
    handed = {"LISTEN_PID": "its own", "LISTEN_FDS": "1"}
    async with unit(written(tmp_path), environ=handed) as one:
        assert await sentences(one) == [f"{GIVEN} descriptor 3, which cannot be used: Bad file descriptor"]


def a_connection() -> socket.socket:
    """As Accept=yes hands it over."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
        return server.accept()[0]


async def test_the_tool_api_is_not_served_at_a_socket_that_other_machines_reach(
    made: ExitStack, tmp_path: Path
) -> None:
    tools = a_socket(made, "0.0.0.0")
    file = written(tmp_path, port=free_port())
    changed(file, tool_api={"listen": f"127.0.0.1:{port_of(tools)}"})
    async with unit(file, sockets=[tools], names=["tool_api"]) as one:
        assert await sentences(one) == [
            f"{GIVEN} 0.0.0.0:{port_of(tools)} (tool_api) for the tool API, which answers on "
            "this machine only: a Unix socket, or a port of 127.0.0.1"
        ]


async def test_sockets_of_another_process_are_left_alone(made: ExitStack, tool: str, tmp_path: Path) -> None:
    inherited = a_socket(made)
    file = written(tmp_path, port=(port := free_port()), tool=tool)
    async with unit(file, sockets=[inherited], environ={"LISTEN_PID": "1"}) as one:
        await one.told.told("READY")
        assert await status("localhost", port) == 200


async def test_a_reload_with_another_address_changes_nothing_because_the_socket_is_systemds(
    made: ExitStack, tool: str, tmp_path: Path
) -> None:
    public = a_socket(made)
    file = written(tmp_path, port=port_of(public), tool=tool)
    async with unit(file, sockets=[public]) as one:
        await one.told.told("READY")
        changed(file, listen=f"127.0.0.1:{free_port()}")
        ready = await one.reloaded()
        assert " failed" in ready["STATUS"]
        await one.says(f"reload: {GIVEN} 127.0.0.1:{port_of(public)}, but {UNHEARD}")
        assert await status("localhost", port_of(public)) == 200


async def test_what_is_served_at_a_socket_may_change_at_a_reload(
    made: ExitStack, tool: str, tmp_path: Path
) -> None:
    one_socket, other = a_socket(made), a_socket(made)
    file = written(tmp_path, port=port_of(one_socket), tool=tool, admin=f"127.0.0.1:{port_of(other)}")
    async with unit(file, sockets=[one_socket, other]) as one:
        await one.told.told("READY")
        changed(
            file,
            listen=f"127.0.0.1:{port_of(other)}",
            admin={"listen": f"127.0.0.1:{port_of(one_socket)}"},
            public_url=f"http://localhost:{port_of(other)}",
        )
        await one.reloaded()
        assert await status("localhost", port_of(one_socket), "/readyz") == 200
        assert await status("localhost", port_of(other)) == 200


async def test_a_worker_has_no_socket_that_it_does_not_serve(made: ExitStack, tmp_path: Path) -> None:
    """Who connected there would wait for a process that never accepts."""
    public = a_socket(made)
    file = written(tmp_path, port=port_of(public), admin=f"127.0.0.1:{free_port()}")
    async with unit(file, sockets=[public]) as one:
        await one.told.told("READY")
        changed(file, admin={"listen": f"127.0.0.1:{free_port()}"})
        [before] = one.workers
        number = len(descriptors(before))
        await one.reloaded()
        [after] = [pid for pid in one.workers if pid != before]
        assert len(descriptors(after)) <= number


class Load:
    """Visitors who ask without a pause, on connections that last as long as the proxy lets them."""

    def __init__(self, port: int, host: str, cookie: str) -> None:
        self.lost: list[str] = []
        self.may_end = threading.Event()
        self.have_ended = threading.Event()
        self._port = port
        self._headers = {"Host": host, "Cookie": cookie}
        self._answered = threading.Semaphore(0)
        self._asking = 0
        self._lock = threading.Lock()

    def another(self, number: int) -> None:
        """Wait until so many more requests have got an answer, or one was lost."""
        for _ in range(number):
            if not self._answered.acquire(timeout=PATIENCE):
                self.lost.append("no answer")

    def ask_on(self) -> None:
        """As one visitor, until `may_end`. A POST is not tried again by anybody."""
        with self._lock:
            self._asking += 1
        connection: HTTPConnection | None = None
        while not self.may_end.is_set():
            connection = connection or HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
            connection = self._ask(connection)
        if connection is not None:
            connection.close()
        with self._lock:
            self._asking -= 1
            if not self._asking:
                self.have_ended.set()

    def _ask(self, connection: HTTPConnection) -> HTTPConnection | None:
        """The connection, if it can be used again."""
        try:
            connection.request("POST", "/echo", b"typed", self._headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, HTTPException) as error:
            self.lost.append(repr(error))
        else:
            if answer.status != 200:
                self.lost.append(str(answer.status))
            if not answer.will_close:
                self._answered.release()
                return connection
        self._answered.release()
        connection.close()
        return None


@pytest.mark.parametrize("store", ["sqlite", "cookie"])
async def test_restarts_under_load_lose_no_request_and_no_session_because_visitors_wait_in_the_sockets_queue(
    store: str, made: ExitStack, tmp_path: Path
) -> None:
    public = a_socket(made)
    async with on_stage(clock=MachineClock()) as stage, Visitor() as visitor:
        cookie = await signed_in(stage, visitor)
        behind = f"http://{stage.settings.upstreams['/'].url.authority}"
        tree = settings_tree(stage.url, "v2", stage.frameio_url, behind, client_secret=SECRET, keys=stage.keys)
        file = tmp_path / "proxy.yaml"
        file.write_text(yaml.safe_dump({**tree, "listen": f"127.0.0.1:{port_of(public)}"}))
        if store == "sqlite":
            changed(file, session={"secret": stage.keys, "store": f"sqlite:{tmp_path}/sessions.db"})
        load = Load(port_of(public), f"localhost:{stage.port}", cookie.removeprefix("Cookie: "))
        with ThreadPoolExecutor(VISITORS) as visitors:
            for _ in range(VISITORS):
                visitors.submit(load.ask_on)
            try:
                for _ in range(3):
                    async with unit(file, sockets=[public], names=["public"]) as one:
                        await one.told.told("READY")
                        await asyncio.to_thread(load.another, 200)
                        assert await one.stopped() == 0
                async with unit(file, sockets=[public], names=["public"]):
                    await asyncio.to_thread(load.another, 200)
                    load.may_end.set()
                    await asyncio.to_thread(load.have_ended.wait, PATIENCE)
            finally:
                load.may_end.set()
    assert load.lost == []
