"""What an https tool says last arrives, although TLS reports the end of a socket that is not read."""

import asyncio
import socket
import ssl
from contextlib import suppress

import pytest

from oauth_proxy import turns
from oauth_proxy.turns import SLICE
from oauth_proxy.upstream.connection import UpstreamConnection
from oauth_proxy.upstream.pool import Address
from tests.support.messages import CHUNKED, GET, OK_LINE
from tests.support.raw_http import chunked_body
from tests.support.tool import Peer, Tool, a_door, a_tool, until
from tests.support.units import MIB, PATIENCE
from tests.support.websocket import HANDSHAKE, SWITCH
from tests.test_turns import Paused

Tls = tuple[ssl.SSLContext, ssl.SSLContext]
BODY = bytes(range(256)) * (3 * MIB // 256)


def chunks(body: bytes, size: int) -> bytes:
    """A body in chunks, with the last one."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def says_and_closes(listener: socket.socket, serving: ssl.SSLContext, answer: bytes, *, notify: bool) -> None:
    """What a simple server does: it waits for nobody before it closes the socket, with or without close_notify."""
    plain, _ = listener.accept()
    plain.settimeout(PATIENCE)
    with serving.wrap_socket(plain, server_side=True) as sock:
        sock.recv(4096)
        sock.sendall(answer)
        if notify:
            sock.settimeout(0)
            with suppress(OSError):
                sock.unwrap()


async def received_slowly(port: int, request: bytes) -> bytes:
    """What a visitor gets behind the head who does not read while the tool is far ahead."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    visitor = Peer(*await asyncio.open_connection(sock=sock))
    try:
        await visitor.send(request)
        await asyncio.sleep(0.3)
        return (await visitor.rest()).partition(b"\r\n\r\n")[2]
    finally:
        visitor.hang_up()


@pytest.mark.parametrize("notify", [False, True], ids=["end", "close_notify"])
async def test_a_slow_visitor_gets_all_that_a_websocket_said_before_its_tool_closed(
    tls: Tls, notify: bool
) -> None:
    serving, trusting = tls
    frames = (b"\x82\x7e\x20\x00" + bytes(8192)) * 350 + b"\x88\x00"
    answer = SWITCH + frames
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tool = asyncio.create_task(asyncio.to_thread(says_and_closes, listener, serving, answer, notify=notify))
        address = Address("localhost", listener.getsockname()[1], tls=True)
        async with a_door(address, ssl_context=trusting) as door:
            assert await received_slowly(door.port, HANDSHAKE) == frames
            await until(lambda: door.upstream.tunnels == 0)
        await tool


@pytest.mark.parametrize("notify", [False, True], ids=["end", "close_notify"])
@pytest.mark.parametrize("framing", ["length", "chunks", "until close"])
async def test_a_slow_visitor_gets_all_of_an_answer_whose_tool_has_closed_already(
    tls: Tls, framing: str, notify: bool
) -> None:
    serving, trusting = tls
    answer = {
        "length": OK_LINE + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY,
        "chunks": CHUNKED + chunks(BODY, 8192),
        "until close": OK_LINE + b"\r\n" + BODY,
    }[framing]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tool = asyncio.create_task(asyncio.to_thread(says_and_closes, listener, serving, answer, notify=notify))
        address = Address("localhost", listener.getsockname()[1], tls=True)
        async with a_door(address, ssl_context=trusting) as door:
            body = await received_slowly(door.port, GET)
            if framing != "length":
                stream = asyncio.StreamReader()
                stream.feed_data(body)
                body = await chunked_body(stream)
            assert body == BODY
            await until(lambda: door.upstream.open_connections == 0)
        await tool


@pytest.mark.parametrize("is_whole", [True, False])
async def test_an_answer_whose_pieces_wait_for_their_turn_outlives_its_connection(
    tls: Tls, is_whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SLOW", -1)
    monkeypatch.setattr(turns, "PAUSE", 0)
    serving, trusting = tls
    answer = CHUNKED + chunks(BODY[:150_000], 64)

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(answer if is_whole else answer[:-5])

    async with a_tool(play, tls=serving) as (_, address), a_door(address, ssl_context=trusting) as door:
        visitor = await door.visitor()
        await visitor.send(GET)
        head = await visitor.head()
        assert b"chunked" in head
        if is_whole:
            assert await chunked_body(visitor.reader) == BODY[:150_000]
        else:
            with pytest.raises(ConnectionResetError):
                await visitor.rest()
        await until(lambda: not door.tasks and door.upstream.open_connections == 0)
        visitor.hang_up()


async def test_what_is_left_of_a_lost_connection_is_parsed_a_slice_per_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "SLOW", -1)
    monkeypatch.setattr(turns, "PAUSE", 0)
    connection = UpstreamConnection(lambda _: None, 60)
    connection.transport = Paused()
    connection.ask(GET)
    connection.data_received(CHUNKED)
    connection.data_received(chunks(BODY[: 8 * SLICE], 64))
    connection.connection_lost(None)
    size, most = 0, 0
    while not connection.complete:
        assert connection.parsing
        grown = sum(map(len, connection.take()))
        size, most = size + grown, max(most, grown)
        await connection.more()
    assert size + sum(map(len, connection.take())) == 8 * SLICE
    assert most <= SLICE
