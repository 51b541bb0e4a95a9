"""A head that never ends and bytes behind an error: what a stranger sends is not held, however much it is.

Everything here runs with both of aiohttp's parsers: llhttp in this process, the one in Python in another.
"""

import asyncio
import gc
import os
import socket
import sys
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest

from oauth_proxy import reading
from oauth_proxy.endpoints import Endpoints
from oauth_proxy.outcomes import Outcome
from oauth_proxy.paths import Target
from oauth_proxy.requests import Request
from tests.hostile.test_smuggling import PYTHON_PARSER
from tests.support.messages import LONG_LINE
from tests.support.places import ROOT
from tests.support.proxy import RawAnswer
from tests.support.raw_http import TOOL_BYTES, Login, Wire, answers
from tests.support.tool import until
from tests.support.units import KIB, MIB, PATIENCE

STRANGERS = 20
GARBAGE = b"\x00nonsense\r\n\r\n" * 20_000


@pytest.mark.skipif(PYTHON_PARSER in os.environ, reason="this is that process")
@pytest.mark.timeout(0)  # a whole run, in which each test has the time of one
async def test_the_parser_in_python_holds_no_more() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__,
        cwd=ROOT, env={**os.environ, PYTHON_PARSER: "1"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


class Held:
    """Bytes that Python holds more than at the beginning."""

    def __init__(self) -> None:
        self._before = tracemalloc.get_traced_memory()[0]

    @property
    def size(self) -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - self._before


@contextmanager
def counted() -> Iterator[Held]:
    tracemalloc.start(1)
    try:
        yield Held()
    finally:
        tracemalloc.stop()


@asynccontextmanager
async def strangers(wire: Wire, number: int = STRANGERS) -> AsyncIterator[list[socket.socket]]:
    """Bare sockets: what they cannot send stays with the test, in one object for all of them."""
    loop = asyncio.get_running_loop()
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.setblocking(False)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * KIB)  # the kernel shall not take it all
            await loop.sock_connect(each, ("127.0.0.1", wire.stage.listens_on))
        yield sockets
    finally:
        for each in sockets:
            each.close()


async def sent(sock: socket.socket, data: bytes, patience: float = PATIENCE) -> bool:
    """Whether all of it was taken, by the kernel at least."""
    try:
        async with asyncio.timeout(patience):
            await asyncio.get_running_loop().sock_sendall(sock, data)
    except (TimeoutError, ConnectionError):
        return False
    return True


async def all_of(sock: socket.socket) -> bytes:
    """What comes until the connection ends, in whichever way."""
    raw = b""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE):
        with suppress(ConnectionError):
            while piece := await loop.sock_recv(sock, 1 << 16):
                raw += piece
    return raw


@pytest.mark.parametrize(
    ("line", "number"),
    [(LONG_LINE, STRANGERS), (b"X: v\r\n", STRANGERS), (b"\r\n", 4)],  # 32,768 of the last are read one by one
    ids=["long lines", "short lines", "no lines"],
)
async def test_a_head_without_end_is_refused_while_it_grows(wire: Wire, line: bytes, number: int) -> None:
    """200 x 8 MiB became 3.3 GB. Each stranger goes on for as long as they are listened to."""
    begin = b"" if line == b"\r\n" else wire.request("/assets/x")[:-2]
    lines = line * (64 * KIB // len(line))

    async def go_on(sock: socket.socket) -> bytes:
        await sent(sock, begin)
        for _ in range(128):
            if not await sent(sock, lines):
                break
        return await all_of(sock)

    async with strangers(wire, number) as sockets:
        with counted() as held:
            raw = await asyncio.gather(*map(go_on, sockets))
            assert held.size < number * 32 * KIB
    assert {RawAnswer.read(each).status for each in raw} <= {431, 400}
    assert not wire.tool.heard


async def test_a_head_as_large_as_they_may_be_is_held_once_and_no_more_of_it_comes(wire: Wire) -> None:
    """Short of its end, a head may wait for its deadline; what is held of it is bounded for all lines together."""
    head = wire.request("/assets/x")[:-2] + LONG_LINE * 6
    async with strangers(wire) as sockets:
        with counted() as held:
            for each in sockets:
                await sent(each, head)
            await asyncio.sleep(0.2)
            assert held.size < STRANGERS * 3 * reading.LONGEST_FIELDS
            for each in sockets:
                await sent(each, LONG_LINE * 2)
            raw = await asyncio.gather(*map(all_of, sockets))
            del raw[:]
            assert held.size < STRANGERS * 32 * KIB


async def test_a_head_behind_a_body_or_another_request_is_bounded_as_well(wire: Wire) -> None:
    for before in (wire.request("/assets/x"), wire.request("/hook", method="POST", body=b"b" * 100 * KIB)):
        async with strangers(wire, 1) as (sock,):
            await sent(sock, before + wire.request("/assets/y")[:-2])
            for _ in range(128):
                if not await sent(sock, LONG_LINE):
                    break
            found = answers(await all_of(sock))
            assert [answer.status for answer in found] in ([200, 431], [200]), "a reset may take the last one"
    assert {heard.line.split(" ")[1] for heard in wire.tool.heard} == {"/assets/x", "/hook"}


async def test_the_refusal_of_a_head_arrives_although_more_of_it_is_on_its_way(wire: Wire) -> None:
    """A connection that is closed over unread bytes is reset, and the answer with it (RFC 9112 9.6)."""
    async with strangers(wire, 5) as sockets:
        for each in sockets:
            assert await sent(each, wire.request("/assets/x")[:-2] + LONG_LINE * 20)
        for each in sockets:
            assert RawAnswer.read(await all_of(each)).status == 431


async def test_nothing_is_read_behind_an_error_while_a_request_is_pending(wire: Wire) -> None:
    """50 connections, 68 MB became 2.1 GB: the parser went on behind its first error."""
    wire.tool.may_answer.clear()
    async with strangers(wire) as sockets:
        with counted() as held:
            for each in sockets:
                await sent(each, wire.request("/assets/x"))
            await asyncio.sleep(0.1)
            taken = await asyncio.gather(*(sent(each, GARBAGE * 40, 2) for each in sockets))
            assert not any(taken), "11 MB are in nobody's memory, so nobody has read them"
            assert held.size < STRANGERS * 400 * KIB
            wire.tool.may_answer.set()
            raw = await asyncio.gather(*map(all_of, sockets))
    assert all(each.startswith(b"HTTP/1.1 200 ") and TOOL_BYTES in each for each in raw)
    assert len(wire.tool.heard) == STRANGERS


async def test_an_error_in_a_body_ends_the_wait_for_the_rest_of_it(wire: Wire, editor: Login) -> None:
    """What follows broken chunks is not read, so nobody waits until it would have been too slow."""
    head = wire.request("/page", editor.cookie, "Transfer-Encoding: chunked", method="POST")
    async with strangers(wire, 1) as (sock,):
        await sent(sock, head + b"5\r\nhello\r\n")
        await asyncio.sleep(0.1)
        await sent(sock, b"zz\r\n" + GARBAGE)
        assert {answer.status for answer in answers(await all_of(sock))} == {400}
    assert not wire.tool.heard


async def test_pipelined_requests_wait_in_the_visitors_own_kernel(wire: Wire) -> None:
    """One is answered at a time; of those behind it no more is held than one read brings."""
    wire.tool.may_answer.clear()
    one = wire.request("/assets/x", "X: " + "v" * 30 * KIB)
    async with strangers(wire) as sockets:
        with counted() as held:
            taken = await asyncio.gather(*(sent(each, one * 500, 2) for each in sockets))
            assert not any(taken), "15 MB are in nobody's memory, so nobody has read them"
            assert held.size < STRANGERS * 500 * KIB
        wire.tool.may_answer.set()
    assert len(wire.tool.heard) <= 2 * STRANGERS


async def test_a_large_body_behind_a_request_that_is_still_answered_arrives_whole(
    wire: Wire, editor: Login
) -> None:
    """Once: the socket was held for what waited, and nobody read it on when the waiting was over."""
    wire.tool.may_answer.clear()
    first = wire.request("/page", editor.cookie)
    head = f"POST /upload HTTP/1.1\r\nHost: {wire.host}\r\n{editor.cookie}\r\nContent-Length: {MIB}\r\n\r\n"
    async with wire.connected() as (reader, writer):
        writer.write(first)
        await asyncio.sleep(0.05)  # the first has begun
        writer.write(head.encode() + bytes(MIB))
        await asyncio.sleep(0.05)  # as much of it as waits behind the first is here
        wire.tool.may_answer.set()
        async with asyncio.timeout(PATIENCE):
            for _ in range(2):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                await reader.readuntil(TOOL_BYTES)
    assert len(wire.tool.heard[-1].body) == MIB


async def test_requests_in_a_row_let_others_in_between(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of ours wait for nothing: pipelined, thousands of them took the loop for as long as they lasted."""
    order: list[str] = []
    handle = Endpoints.handle

    def noting(self: Endpoints, request: Request, target: Target) -> Awaitable[Outcome]:
        order.append(request.raw_path)
        return handle(self, request, target)

    monkeypatch.setattr(Endpoints, "handle", noting)
    async with strangers(wire, 2) as (greedy, other):
        await sent(greedy, wire.request("/oauth2/greedy") * 100)
        await sent(other, wire.request("/oauth2/other") * 3)
        await until(lambda: len(order) == 103)
    assert order.index("/oauth2/other") < 50


async def test_a_long_body_that_came_behind_a_request_is_read_to_its_end(wire: Wire) -> None:
    """What waited is a part of it, and the socket is read again for the rest."""
    wire.tool.may_answer.clear()
    body = bytes(4 * MIB)
    posted = wire.request("/hook", method="POST", body=body)
    async with strangers(wire, 3) as sockets:
        for each in sockets:
            await sent(each, wire.request("/assets/x") + posted[: 200 * KIB])
        await until(lambda: len(wire.tool.heard) == 3)
        sending = [asyncio.create_task(sent(each, posted[200 * KIB :])) for each in sockets]
        await asyncio.sleep(0.1)
        wire.tool.may_answer.set()
        assert await asyncio.gather(*sending) == [True] * 3
        await until(lambda: len(wire.tool.heard) == 6)
    assert [len(heard.body) for heard in wire.tool.heard[3:]] == [len(body)] * 3
