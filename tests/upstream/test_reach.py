"""How a tool is reached, over what, and how long anybody waits for it."""

import asyncio
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from oauth_proxy.errors import ProxyError, UpstreamTimeout, UpstreamUnreachable
from oauth_proxy.upstream.pool import Address, Pool
from tests.support.messages import GET, OK
from tests.support.tool import Peer, Play, Tool, a_door, a_stage, a_tool, saying, until
from tests.support.websocket import HANDSHAKE, switching


async def test_the_system_watches_over_connections_that_may_be_silent() -> None:
    async with a_tool(saying(OK)) as (_, address):
        pool = Pool(address, ssl_context=None, timeout=5, connect_timeout=5, limit=1, most_tunnels=1, idle=5)
        connection = await pool.connect()
        sock = connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        pool.close()
        await until(lambda: pool.open == 0)


async def test_nobody_listening_is_502(unused_tcp_port: int) -> None:
    async with a_door(Address("127.0.0.1", unused_tcp_port)) as door:
        for _ in range(3):
            assert (await door.ask(GET)).startswith(b"HTTP/1.1 502 ")
        assert {type(error) for error in door.errors} == {UpstreamUnreachable}
        assert f"127.0.0.1:{unused_tcp_port}" in door.errors[0].cause
        assert door.upstream.open_connections == 0


async def test_a_name_that_does_not_exist_is_502() -> None:
    async with a_door(Address("no-such-host.invalid", 80)) as door:
        assert (await door.ask(GET)).startswith(b"HTTP/1.1 502 ")


async def test_no_first_byte_in_time_is_504() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.rest()

    async with a_stage(play, timeout=0.1) as (tool, door):
        assert (await door.ask(GET)).startswith(b"HTTP/1.1 504 ")
        assert [type(error) for error in door.errors] == [UpstreamTimeout]
        await until(lambda: tool.open == 0 and door.upstream.open_connections == 0)


async def test_a_body_that_stops_coming_is_cut() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(OK[:-1])
        await peer.rest()

    async with a_stage(play, timeout=0.1) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(GET)
        await visitor.head()
        assert await visitor.exactly(1) == b"h"
        with pytest.raises(ConnectionResetError):
            await visitor.rest()
        await until(lambda: tool.open == 0)
        await visitor.close()


async def test_a_body_that_keeps_coming_may_take_longer_than_the_timeout() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(OK[:-2].replace(b": 2", b": 8"))
        for _ in range(8):
            await asyncio.sleep(0.05)
            await peer.send(b"x")

    async with a_stage(play, timeout=0.2) as (_, door):
        assert (await door.ask(GET)).endswith(b"xxxxxxxx")


async def test_an_event_stream_may_be_silent_for_longer_than_the_timeout() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\ndata: 1\n\n")
        await asyncio.sleep(0.4)
        await peer.send(b"data: 2\n\n")

    async with a_stage(play, timeout=0.1) as (_, door):
        assert (await door.ask(GET)).endswith(b"data: 2\n\n\r\n0\r\n\r\n")


async def test_a_tool_behind_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "tool.sock")
    async with a_tool(saying(OK), unix=path) as (tool, address), a_door(address) as door:
        for _ in range(2):
            assert (await door.ask(GET)).endswith(b"hi")
        assert tool.connections == 1
    async with a_door(Address(unix=str(tmp_path / "none.sock"))) as door:
        assert (await door.ask(GET)).startswith(b"HTTP/1.1 502 ")


def a_full_socket(path: Path) -> tuple[socket.socket, list[socket.socket]]:
    """One that listens at this path, and those who wait already: nobody else gets into its queue."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(1)
    waiting: list[socket.socket] = []
    with suppress(BlockingIOError):
        while True:
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            waiting[-1].connect(str(path))
    return listening, waiting


async def test_a_tool_behind_a_unix_socket_whose_queue_is_full_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    listening, waiting = a_full_socket(tmp_path / "tool.sock")
    tool = Tool(saying(OK))
    async with a_door(Address(unix=str(tmp_path / "tool.sock"))) as door:
        asking = [asyncio.create_task(door.ask(GET)) for _ in range(20)]
        await until(lambda: len(door.tasks) == 20)
        await asyncio.sleep(0.1)  # in which all have tried
        server = await asyncio.start_unix_server(tool.serve, sock=listening)
        assert {answer[9:12] for answer in await asyncio.gather(*asking)} == {b"200"}
    for each in waiting:
        each.close()
    server.close()
    await tool.stop()


async def test_a_tool_behind_a_unix_socket_whose_queue_stays_full_is_504(tmp_path: Path) -> None:
    listening, waiting = a_full_socket(tmp_path / "tool.sock")
    async with a_door(Address(unix=str(tmp_path / "tool.sock")), connect_timeout=0.1) as door:
        answers = await asyncio.gather(*(door.ask(GET) for _ in range(5)))
        assert {answer[9:12] for answer in answers} == {b"504"}
        assert {type(error) for error in door.errors} == {UpstreamTimeout}
        assert door.upstream.open_connections == 0
    for each in (listening, *waiting):
        each.close()


@pytest.mark.parametrize(("name", "trusted", "status"), [
    ("localhost", True, b"200"), ("other.example", True, b"502"), ("localhost", False, b"502"),
])  # fmt: skip
async def test_a_tool_behind_tls_shows_a_certificate_for_its_name(name: str, trusted: bool, status: bytes) -> None:
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(serving)
    trusting = ssl.create_default_context()
    if trusted:
        authority.configure_trust(trusting)
    async with a_tool(saying(OK), tls=serving) as (_, address), a_door(address, ssl_context=trusting) as door:
        for _ in range(2):
            assert (await door.ask(GET)).startswith(b"HTTP/1.1 " + status)


async def test_a_connection_that_is_never_made_is_504() -> None:
    """A TLS handshake that the other side does not answer."""

    async def play(tool: Tool, peer: Peer) -> None:
        await peer.rest()

    async with a_tool(play) as (_, address):
        deaf = Address(address.host, address.port, tls=True)
        async with a_door(deaf, connect_timeout=0.1) as door:
            assert (await door.ask(GET)).startswith(b"HTTP/1.1 504 ")
            assert [type(error) for error in door.errors] == [UpstreamTimeout]
            assert isinstance(door.errors[0], ProxyError)


def _timers(port: int) -> set[str]:
    """What the system's timers of connections to this port are for (proc(5), /proc/net/tcp): 02 is keepalive."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return {line[5].partition(":")[0] for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "01"}


def _streaming(kind: bytes) -> Play:
    """A tool that begins a response of this kind, and then says nothing."""

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/%b\r\n\r\ndata: 1" % kind)
        await peer.rest()

    return play


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the timers of a socket are seen on Linux only")
@pytest.mark.parametrize(
    ("play", "asked", "is_watched"),
    [
        (_streaming(b"event-stream"), GET, True),
        (switching(b"data: 1"), HANDSHAKE, True),
        (_streaming(b"plain"), GET, False),  # the tool has to go on in time
    ],
    ids=["event stream", "WebSocket", "other response"],
)
async def test_the_system_watches_a_visitor_who_may_listen_in_silence(
    play: Play, asked: bytes, *, is_watched: bool
) -> None:
    async with a_stage(play) as (_, door):
        visitor = await door.visitor()
        await visitor.send(asked)
        await visitor.until(b"data: 1")
        assert ("02" in _timers(door.port)) == is_watched
        visitor.hang_up()
