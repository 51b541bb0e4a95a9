"""Sockets to listen on: who may connect, and who was there before."""

import asyncio
import grp
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE

import pytest
from aiohttp import web

from oauth_proxy import server, sockets
from oauth_proxy.errors import AddressUnavailable, ConfigurationError
from oauth_proxy.settings import Listen
from oauth_proxy.sockets import Listener, opened, require_free
from tests.support.proxy import free_port
from tests.support.tool import until
from tests.support.units import PATIENCE


def unix_socket(at: Listen) -> "closing[Listener]":
    """A listener for as long as the context lasts."""
    return closing(opened(at))


GROUP = grp.getgrgid(os.getgid()).gr_name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "proxy.sock"


@contextmanager
def listening(path: Path, kind: socket.SocketKind = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    """Somebody else at this path."""
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(str(path))
        if kind == socket.SOCK_STREAM:
            other.listen(0)
        yield other


def answered(path: Path) -> bool:
    """Whether somebody takes a connection there."""
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.settimeout(PATIENCE)
        try:
            visitor.connect(str(path))
        except OSError:
            return False
        return True


def test_nobody_but_the_owner_connects_by_default(path: Path) -> None:
    before = os.umask(0)
    try:
        with unix_socket(Listen(path=str(path))):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777])
def test_mode_and_group_are_what_was_said_whatever_the_umask(path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with unix_socket(Listen(path=str(path), mode=0o660, group=GROUP)):
            found = path.stat()
            assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, os.getgid())
    finally:
        os.umask(before)


def test_nobody_connects_before_the_mode_is_set(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    let_in = sockets.let_in

    def looking(at: Listen) -> None:
        seen.append(answered(path))
        let_in(at)
        seen.append(answered(path))

    monkeypatch.setattr(sockets, "let_in", looking)
    with unix_socket(Listen(path=str(path))):
        assert seen == [False, False]
        assert answered(path)


def test_a_socket_on_which_another_process_listens_is_not_taken(path: Path) -> None:
    with listening(path) as other:
        for _ in range(3):  # and when it has more waiting than it wants
            with (
                pytest.raises(ConfigurationError, match="another process listens there"),
                unix_socket(Listen(path=str(path))),
            ):
                pass
        other.accept()[0].close()
    assert path.exists()


def test_a_datagram_socket_or_a_file_is_not_taken_either(path: Path) -> None:
    at = Listen(path=str(path))
    with (
        listening(path, socket.SOCK_DGRAM),
        pytest.raises(ConfigurationError, match="wrong type"),
        unix_socket(at),
    ):
        pass
    path.unlink()
    path.write_text("precious")
    with pytest.raises(ConfigurationError, match="a file is there that is no socket"), unix_socket(at):
        pass
    assert path.read_text() == "precious"


def test_what_a_dead_process_left_is_replaced(path: Path) -> None:
    with listening(path):
        pass
    assert path.exists()
    with unix_socket(Listen(path=str(path))):
        assert answered(path)
    assert not path.exists(), "and nothing is left of ours"


def test_the_socket_of_who_took_over_is_left_alone(path: Path) -> None:
    with unix_socket(Listen(path=str(path))):
        path.unlink()
        other = socket.socket(socket.AF_UNIX)
        other.bind(str(path))
    assert path.exists()
    other.close()


def test_a_group_that_is_not_there_is_one_sentence_and_leaves_nothing(path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="this machine has no group no-such-group"),
        unix_socket(Listen(path=str(path), group="no-such-group")),
    ):
        pass
    assert not path.exists()


def test_of_two_that_start_at_once_one_listens(path: Path) -> None:
    script = (
        "import sys; from oauth_proxy.settings import Listen; from oauth_proxy.sockets import opened\n"
        "listener = opened(Listen(path=sys.argv[1])); print('listens', flush=True)\n"
        "sys.stdin.read(); listener.close()"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script, path], stdin=PIPE, stdout=PIPE, stderr=DEVNULL)  # noqa: S603
        for _ in range(2)
    ]
    said = [process.stdout.readline() for process in processes if process.stdout is not None]
    for process in processes:
        process.communicate(timeout=PATIENCE)
    assert sorted(said) == [b"", b"listens\n"]


ELSEWHERE = "192.0.2.1"
"""An address that no machine has (RFC 5737)."""


@pytest.fixture
def localhost(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Listen]:
    """A listener at a free port of localhost, which has these addresses on this machine."""

    def at(*addresses: str) -> Listen:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        return Listen("localhost", port)

    port = free_port()
    return at


@pytest.mark.parametrize("addresses", [(ELSEWHERE, "127.0.0.1"), ("127.0.0.1", ELSEWHERE)])
def test_an_address_of_localhost_that_this_machine_has_not_is_left_out(
    localhost: Callable[..., Listen], addresses: tuple[str, ...]
) -> None:
    """As ::1 is where IPv6 is off, and /etc/hosts has it nevertheless."""
    at = localhost(*addresses)
    require_free(at)
    with closing(opened(at)) as listener:
        assert [each.getsockname() for each in listener.sockets] == [("127.0.0.1", at.port)]
        with pytest.raises(AddressUnavailable, match="Address already in use"):
            require_free(at)


def test_a_host_of_which_this_machine_has_no_address_is_a_sentence(localhost: Callable[..., Listen]) -> None:
    at = localhost(ELSEWHERE)
    for each in (require_free, opened):
        with pytest.raises(AddressUnavailable, match=f"cannot listen on {at}: Cannot assign requested address"):
            each(at)


async def test_a_server_answers_there_and_takes_nobody_while_it_drains(path: Path) -> None:
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(_: web.BaseRequest) -> web.StreamResponse:
        asked.set()
        await may_answer.wait()
        return web.Response(text="all of it")

    stack = AsyncExitStack()
    listener = stack.enter_context(unix_socket(Listen(path=str(path))))
    await (await server.service(stack, web.Server(slow), listener, drain=PATIENCE)).accept()
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        await asked.wait()
        ending = asyncio.create_task(stack.aclose())
        await until(lambda: not answered(path))
        may_answer.set()
        assert (await reader.read()).endswith(b"all of it")
        await ending
    writer.close()
    assert not answered(path)
