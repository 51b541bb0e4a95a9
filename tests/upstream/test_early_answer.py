"""Tools that answer, stall or leave while a request's body is still on its way."""

import asyncio
import socket

import pytest

from oauth_proxy.errors import UpstreamTimeout, UpstreamUnreachable
from oauth_proxy.upstream.pool import Pool
from tests.support.messages import OK, POST
from tests.support.tool import Peer, Tool, a_stage, a_tool, until
from tests.support.units import PATIENCE


async def test_a_tool_that_refuses_early_is_heard_and_the_rest_is_not_sent() -> None:
    go = asyncio.Event()
    received = b"?"

    async def play(tool: Tool, peer: Peer) -> None:
        nonlocal received
        await tool.asked(peer)
        await peer.exactly(1)
        await peer.send(b"HTTP/1.1 413 Too Much\r\nDate: now\r\nContent-Length: 2\r\n\r\nn")
        await go.wait()
        await peer.send(b"o")
        received = await peer.rest()

    async with a_stage(play) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(POST + b"Content-Length: 100000000\r\n\r\nx")
        assert await visitor.head() == (
            b"HTTP/1.1 413 Too Much\r\nDate: now\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
        )
        await visitor.send(bytes(100_000))
        go.set()
        assert await visitor.exactly(2) == b"no"
        await until(lambda: tool.open == 0 and door.upstream.open_connections == 0)
        assert received == b""
        visitor.hang_up()


@pytest.mark.parametrize("body", [b"x", b"xxxxx"], ids=["part of the body", "the whole body"])
async def test_a_tool_that_stalls_in_its_refusal_is_given_up(body: bytes) -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.exactly(len(body))
        await peer.send(b"HTTP/1.1 413 Too Much\r\nDate: now\r\nContent-Length: 100\r\n\r\nhalf")
        await asyncio.Event().wait()

    async with a_stage(play, timeout=0.2) as (_, door):
        visitor = await door.visitor()
        await visitor.send(POST + b"Content-Length: 5\r\n\r\n" + body)
        assert (await visitor.head()).startswith(b"HTTP/1.1 413 ")
        with pytest.raises(ConnectionResetError):
            await visitor.rest()
        await until(lambda: door.upstream.open_connections == 0 and not door.tasks)
        await visitor.close()


async def test_a_tool_may_refuse_without_a_length_and_read_everything_before_it_closes() -> None:
    """Else it would wait for the rest of the request, and we for the end of its answer."""
    size, received = 3_000_000, 0

    async def play(tool: Tool, peer: Peer) -> None:
        nonlocal received
        await tool.asked(peer)
        await peer.send(b"HTTP/1.1 401 No\r\nDate: now\r\nConnection: close\r\n\r\nplease sign in")
        received = len(await peer.exactly(size))

    async with a_stage(play) as (_, door):
        visitor = await door.visitor()
        await visitor.send(POST + b"Content-Length: %d\r\n\r\n" % size)
        assert b"\r\nConnection: close\r\n" in await visitor.head()
        await visitor.send(bytes(size))
        assert await visitor.rest() == b"e\r\nplease sign in\r\n0\r\n\r\n"
        assert received == size
        await visitor.close()


async def test_a_tool_that_refuses_without_a_length_and_takes_no_more_is_given_up() -> None:
    size = 64 * 1_048_576

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(b"HTTP/1.1 401 No\r\nDate: now\r\nConnection: close\r\n\r\nplease sign in")
        await asyncio.Event().wait()

    async with a_stage(play, timeout=0.2) as (_, door):
        visitor = await door.visitor()
        await visitor.send(POST + b"Content-Length: %d\r\n\r\n" % size)
        pump = asyncio.create_task(visitor.send(bytes(size)))
        assert (await visitor.head()).startswith(b"HTTP/1.1 401 ")
        with pytest.raises(ConnectionResetError):
            await visitor.rest()
        await until(lambda: door.upstream.open_connections == 0 and not door.tasks)
        await asyncio.wait({pump})
        visitor.hang_up()


async def test_a_refusal_of_the_tool_is_read_by_who_sends_the_whole_upload_first() -> None:
    """Behind nginx, 4 of 5 uploads that the tool refused ended in a 502."""

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(b"HTTP/1.1 413 Too Much\r\nDate: now\r\nContent-Length: 2\r\n\r\nno")
        await peer.rest()

    def upload(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            sock.sendall(POST + b"Content-Length: 20000000\r\n\r\n")
            sock.sendall(bytes(20_000_000))
            return sock.recv(12)

    async with a_stage(play) as (_, door):
        for _ in range(3):
            assert await asyncio.to_thread(upload, door.port) == b"HTTP/1.1 413"


async def test_an_answer_may_run_beside_its_request() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 6\r\n\r\n")
        for _ in range(3):
            await peer.send(await peer.exactly(2))

    async with a_stage(play) as (_, door):
        visitor = await door.visitor()
        await visitor.send(POST + b"Content-Length: 6\r\n\r\n")
        await visitor.head()
        for pair in (b"ab", b"cd", b"ef"):
            await visitor.send(pair)
            assert await visitor.exactly(2) == pair
        await visitor.close()


async def test_a_visitor_who_reads_slowly_and_sends_meanwhile_is_not_the_tools_fault() -> None:
    """The answer began early and fills what is held for the visitor: it is we who do not read."""
    size = 16 * 1_048_576

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: %d\r\n\r\n" % size)
        peer.writer.write(bytes(size))
        await peer.rest()

    async with a_stage(play, timeout=0.2) as (_, door):
        visitor = await door.visitor()
        await visitor.send(POST + b"Content-Length: 4\r\n\r\nbo")
        await visitor.head()
        await asyncio.sleep(0.2)  # until nothing moves any more
        await visitor.send(b"dy")
        await asyncio.sleep(0.6)  # three times what the tool has
        try:
            assert await visitor.exactly(size) == bytes(size)
        finally:
            visitor.hang_up()


async def test_a_tool_that_reads_nothing_of_the_body_is_504() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await asyncio.Event().wait()

    async with a_stage(play, timeout=0.2) as (_, door):
        visitor = await door.visitor()
        size = 64 * 1_048_576
        await visitor.send(POST + b"Content-Length: %d\r\n\r\n" % size)
        pump = asyncio.create_task(visitor.send(bytes(size)))
        assert (await visitor.head()).startswith(b"HTTP/1.1 504 ")
        assert [type(error) for error in door.errors] == [UpstreamTimeout]
        pump.cancel()
        await asyncio.wait({pump})
        visitor.hang_up()


async def test_a_tool_that_hangs_up_in_the_middle_of_the_body_is_502() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.exactly(1)
        peer.hang_up()

    async with a_stage(play) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(POST + b"Content-Length: 10\r\n\r\n")
        await until(lambda: tool.open == 1)
        await visitor.send(b"half")
        assert (await visitor.head()).startswith(b"HTTP/1.1 502 ")
        assert isinstance(door.errors[0], UpstreamUnreachable)
        visitor.hang_up()


async def test_pieces_for_a_tool_that_has_hung_up_are_dropped() -> None:
    """uvloop's closed transports refuse to be written to, and a visitor's next piece may be on its way."""

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)

    async with a_tool(play) as (_, address):
        pool = Pool(address, ssl_context=None, timeout=5, connect_timeout=5, limit=1, most_tunnels=1, idle=5)
        connection = await pool.connect()
        await connection.ask(POST + b"Content-Length: 10\r\n\r\n")
        await until(lambda: pool.open == 0)
        connection.write(b"piece")
        await connection.drain()
        with pytest.raises(UpstreamUnreachable):
            connection.response_head()


async def test_a_tool_that_does_not_read_stops_the_visitor_from_sending() -> None:
    """128 MiB want through; what the proxy holds and the sockets buffer is far less."""
    size, sent = 128 * 1_048_576, 0
    listen = asyncio.Event()

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await listen.wait()
        for _ in range(size // 65536):
            await peer.exactly(65536)
        await peer.send(OK)

    async def upload(visitor: Peer) -> None:
        nonlocal sent
        while sent < size:
            visitor.writer.write(bytes(65536))
            await visitor.writer.drain()
            sent += 65536

    async with a_stage(play) as (_, door):
        visitor = await door.visitor()
        await visitor.send(POST + b"Content-Length: %d\r\n\r\n" % size)
        uploading = asyncio.create_task(upload(visitor))
        held = -1
        while held != sent or not held:  # until nothing moves any more
            held = sent
            await asyncio.sleep(0.1)
        assert held < size // 2
        listen.set()
        await uploading
        assert await visitor.exactly(len(OK)) == OK
        await visitor.close()
