"""Attacks that cost CPU time: every other visitor is served between two pieces of them."""

import asyncio
import os
import socket
from contextlib import suppress
from functools import partial

import pytest

from oauth_proxy import turns
from oauth_proxy.turns import SLICE, Work, line
from tests.hostile.test_heads import sent, strangers
from tests.support.proxy import RawAnswer
from tests.support.raw_http import HANDSHAKE, Heard, Wire, chunked_body, saying
from tests.support.units import MIB, PATIENCE

TINY = b"1\r\nx\r\n"
STRANGERS = 20


def said(answer: bytes, heard: Heard) -> bytes:
    """An answer that is the same for everybody."""
    return answer


async def decoded(body: bytes) -> bytes:
    """A body in chunks, without their framing."""
    reader = asyncio.StreamReader()
    reader.feed_data(body)
    return await chunked_body(reader)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every piece counts as one that took long."""
    monkeypatch.setattr(turns, "SLOW", -1)


class Crowd:
    """So many who stand in a line again and again, and how many turns they had."""

    def __init__(self, number: int, of: Work = "bytes") -> None:
        self.turns = 0
        self._line = line(of)
        self._stays = True
        for _ in range(number):
            self._line.join(self._again)

    def _again(self) -> None:
        self.turns += 1
        if self._stays:
            self._line.join(self._again)

    def leave(self) -> None:
        self._stays = False


@pytest.mark.parametrize("of", ["bytes", "requests"])
async def test_a_visitor_whose_request_is_not_dear_never_stands_in_the_line(wire: Wire, of: Work) -> None:
    """200 connections of slow requests made others wait for 3 to 60 s."""
    crowd = Crowd(300, of)
    sock = socket.create_connection(("127.0.0.1", wire.stage.listens_on))
    sock.sendall(wire.request("/healthz"))  # there before the proxy has accepted the connection
    reader, writer = await asyncio.open_connection(sock=sock)
    async with asyncio.timeout(20):
        await reader.readuntil(b"TOOL-BYTES")
        for _ in range(3):
            writer.write(wire.request("/healthz"))
            await reader.readuntil(b"TOOL-BYTES")
    writer.close()
    assert crowd.turns < 300
    crowd.leave()


@pytest.mark.parametrize("attack", ["pages in a row", "chunks for the tool", "chunks from the tool"])
@pytest.mark.usefixtures("slow")
async def test_dear_requests_wait_until_the_line_has_come_to_them(wire: Wire, attack: str) -> None:
    data = {
        "pages in a row": wire.request("/oauth2/sign_in", "Accept: text/html") * 10,
        "chunks for the tool": wire.request("/hook", "Transfer-Encoding: chunked", method="POST")
        + TINY * 5000
        + b"0\r\n\r\n",
        "chunks from the tool": wire.request("/assets/tiny"),
    }[attack]
    tiny = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + TINY * 5000
    wire.tool.says = lambda heard: tiny if "/assets/tiny" in heard.line else saying()(heard)
    async with strangers(wire, 1) as (sock,):
        crowd = Crowd(300, "requests" if attack == "pages in a row" else "bytes")
        await sent(sock, data)
        loop = asyncio.get_running_loop()
        received = 0
        while crowd.turns < 300:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    received += len(await loop.sock_recv(sock, 1 << 16))
        assert received < 2 * SLICE
        crowd.leave()
        assert await loop.sock_recv(sock, 1 << 16)


@pytest.mark.usefixtures("slow")
async def test_nobodys_download_in_chunks_stands_behind_pipelined_requests(wire: Wire) -> None:
    """400 connections with three requests each made a download of 1 MB take 19 s, on an idle processor."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + TINY * 5000 + b"0\r\n\r\n"
    wire.tool.says = partial(said, answer)
    crowd = Crowd(300, "requests")
    found = await wire.ask("/assets/tiny")
    assert await decoded(found.body) == b"x" * 5000
    assert crowd.turns < 300
    crowd.leave()


@pytest.mark.usefixtures("slow")
async def test_a_body_in_chunks_of_any_size_arrives_whole_both_ways(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PAUSE", 0)
    for most in (1, 100, 3 * SLICE, 100_000):
        pieces = [os.urandom(1 + number * 7919 % most) for number in range(40 if most > 100 else 6000)]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
        wire.tool.says = partial(said, answer)
        found = await wire.send(wire.request("/hook", "Transfer-Encoding: chunked", method="POST") + chunks)
        assert [each.status for each in found] == [200]
        assert await decoded(found[0].body) == b"".join(pieces)
        assert wire.tool.heard[-1].body == b"".join(pieces)


@pytest.mark.usefixtures("slow")
async def test_what_follows_a_whole_answer_in_chunks_reaches_nobody(wire: Wire) -> None:
    """Held bytes belong to the answer that they followed, and its connection ends with them."""
    chunks = TINY * (3 * SLICE // len(TINY))
    stray = b"0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray" + b"x" * 2 * SLICE
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire.tool.says = lambda heard: head + chunks + stray if "/assets/first" in heard.line else saying()(heard)
    first = await wire.ask("/assets/first")
    assert await decoded(first.body) == b"x" * (len(chunks) // len(TINY))
    for _ in range(3):
        assert b"stray" not in (await wire.ask("/assets/second")).body


@pytest.mark.usefixtures("slow")
async def test_a_visitor_who_leaves_while_waiting_in_the_line_leaves_nothing_behind(wire: Wire) -> None:
    async with strangers(wire, STRANGERS) as sockets:
        data = wire.request("/hook", "Transfer-Encoding: chunked", method="POST") + TINY * 30_000
        await asyncio.gather(*(sent(each, data, 1) for each in sockets))
    assert (await wire.ask("/healthz")).status == 200


async def test_what_a_tool_says_right_behind_its_101_arrives_however_much_it_is(wire: Wire) -> None:
    wire.tool.early = os.urandom(40 * 1024)
    async with wire.connected() as (reader, writer), asyncio.timeout(20):
        writer.write(wire.request("/assets/x", *HANDSHAKE))
        assert RawAnswer.read(await reader.readuntil(b"\r\n\r\n")).status == 101
        assert await reader.readexactly(len(wire.tool.early)) == wire.tool.early


async def test_a_flood_through_a_websocket_waits_until_the_line_has_come_to_it(wire: Wire) -> None:
    """libuv reads on for as long as there is something: up to 8 MiB of one tunnel in one turn of the loop."""
    wire.tool.early = os.urandom(4 * MIB)
    async with wire.connected() as (reader, writer), asyncio.timeout(PATIENCE):
        crowd = Crowd(300)
        writer.write(wire.request("/assets/x", *HANDSHAKE))
        assert RawAnswer.read(await reader.readuntil(b"\r\n\r\n")).status == 101
        received = b""
        while crowd.turns < 300:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    received += await reader.read(1 << 16)
        assert len(received) < MIB
        crowd.leave()
        received += await reader.readexactly(4 * MIB - len(received))
        assert received == wire.tool.early


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
async def test_a_flood_that_nobody_wants_waits_until_the_line_has_come_to_it(wire: Wire, connection: str) -> None:
    """Fifty refused uploads, which are read on so that the refusal arrives, made others wait for a second."""
    upload = wire.request("/page", f"Content-Length: {1 << 40}", f"Connection: {connection}", method="POST")
    async with strangers(wire, 1) as (sock,):
        crowd = Crowd(300, "dropped")
        await sent(sock, upload)
        taken = 0
        while crowd.turns < 300:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await asyncio.get_running_loop().sock_sendall(sock, bytes(MIB))
                    taken += 1
        assert taken < 32, "most of it in the kernel"
        crowd.leave()
        assert await sent(sock, bytes(32 * MIB))
