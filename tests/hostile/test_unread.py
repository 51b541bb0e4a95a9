"""Answers that nobody reads: what is held of them is bounded, and so is the time for which it is held."""

import asyncio
import socket
from typing import cast

import pytest

from oauth_proxy import client_connection, server, stall
from oauth_proxy.upstream import relay
from tests.hostile.test_heads import STRANGERS, counted, sent, strangers
from tests.support.raw_http import Login, Wire, saying, wired
from tests.support.tool import until
from tests.support.units import KIB

ESTABLISHED, FIN_WAIT_2 = 1, 5  # Linux's tcp_states.h


def is_open(sock: socket.socket) -> bool:
    """Whether the other side still has the connection; what it has sent need not be read for that."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in (ESTABLISHED, FIN_WAIT_2)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stall, "STALL", 0.3)


PAGES = {
    "pages of ours": "/oauth2/sign_in",
    "answers of the tool": "/assets/large",
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("target", PAGES.values(), ids=PAGES.keys())
@pytest.mark.parametrize("half_closed", [False, True], ids=["open", "half closed"])
async def test_whoever_reads_nothing_of_many_answers_is_cut(wire: Wire, target: str, half_closed: bool) -> None:
    """100 strangers who pipelined sign-in pages were still there after 300 s."""
    wire.tool.says = saying(body=b"b" * 100 * KIB)
    many = wire.request(target, "Accept: text/html") * 4000
    async with strangers(wire, 5) as sockets:
        await asyncio.gather(*(sent(each, many, 1) for each in sockets))
        if half_closed:
            for each in sockets:
                each.shutdown(socket.SHUT_WR)
        await until(lambda: not any(map(is_open, sockets)))
    assert (await wire.ask("/healthz")).status == 200


async def test_the_answers_to_pipelined_requests_do_not_pile_up(wire: Wire) -> None:
    """An answer that is whole goes out in one write; the next request waits until that was taken."""
    wire.tool.says = saying(body=b"b" * 100 * KIB)
    many = wire.request("/assets/large") * 500
    async with strangers(wire) as sockets:
        with counted() as held:
            await asyncio.gather(*(sent(each, many, 1) for each in sockets))
            await asyncio.sleep(1)
            assert held.size < STRANGERS * 600 * KIB
    assert len(wire.tool.heard) < STRANGERS * 300


@pytest.mark.usefixtures("impatient")
async def test_a_connection_that_is_closed_for_being_idle_is_cut_when_its_last_answer_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Closing waits until all is sent, which may be for ever; and a little that waits pauses nobody."""
    transports: list[asyncio.WriteTransport] = []
    begin = client_connection.ClientConnection.connection_made

    def remembering(self: client_connection.ClientConnection, transport: asyncio.BaseTransport) -> None:
        begin(self, transport)
        transports.append(cast(asyncio.WriteTransport, transport))

    monkeypatch.setattr(client_connection.ClientConnection, "connection_made", remembering)
    monkeypatch.setattr(server, "HEAD_DEADLINE", 0.5)
    async with wired() as wire:
        wire.tool.says = saying(body=b"b" * 30 * KIB)
        async with strangers(wire, 1) as (sock,):
            while not (transports and transports[0].get_write_buffer_size()):
                assert await sent(sock, wire.request("/assets/small"))
                await asyncio.sleep(0.002)
            assert transports[0].get_write_buffer_size() < 64 * KIB
            await until(lambda: not is_open(sock))


@pytest.mark.usefixtures("impatient")
async def test_a_download_that_is_not_read_is_cut_and_the_tool_let_go(
    wire: Wire, editor: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "STALL", 60.0)  # the other room's own deadline is not what is shown here
    wire.tool.says = saying(body=b"b" * 30_000 * KIB)
    async with strangers(wire, 5) as sockets:
        for each in sockets:
            await sent(each, wire.request("/page", editor.cookie))
        await until(lambda: not any(map(is_open, sockets)))
    await until(lambda: wire.tool.open == 0)


def in_chunks(size: int, body: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (size, body[at : at + size]) for at in range(0, len(body), size))


@pytest.mark.parametrize("size", [1, 2, 40])
async def test_an_answer_in_tiny_chunks_is_held_as_the_bytes_it_is(wire: Wire, size: int) -> None:
    """72 MB became 1.6 GB: every piece was an object of its own, in our hands and in the transport's."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = head + in_chunks(size, b"TOOL-BYTES" * 40 * KIB)
    wire.tool.says = lambda _: answer
    async with strangers(wire, 4) as sockets:
        with counted() as held:
            for each in sockets:
                await sent(each, wire.request("/assets/x"))
            await until(lambda: len(wire.tool.heard) == 4)
            await asyncio.sleep(1)
            assert held.size < 4 * 700 * KIB
    assert (await wire.ask("/oauth2/sign_in")).status == 200


@pytest.mark.parametrize("size", [1, 2, 40])
async def test_a_body_in_tiny_chunks_for_a_tool_that_does_not_read_is_held_as_the_bytes_it_is(size: int) -> None:
    body = in_chunks(size, b"VISITOR-BYTES" * 40 * KIB)
    with socket.create_server(("127.0.0.1", 0)) as tool:  # accepts nobody: the kernel alone takes a little
        url = f"http://127.0.0.1:{tool.getsockname()[1]}"
        async with wired(upstreams={"/": url}) as wire, strangers(wire, 4) as sockets:
            with counted() as held:
                for each in sockets:
                    await sent(each, wire.request("/hook", "Transfer-Encoding: chunked", method="POST"))
                await asyncio.gather(*(sent(each, body, 2) for each in sockets))
                assert held.size < 4 * 700 * KIB
