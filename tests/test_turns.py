"""Turns of the event loop: the line, and bytes that are parsed in slices."""

import asyncio
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_proxy import turns
from oauth_proxy.turns import Line, Slices, line, wait_for_turn
from oauth_proxy.upstream.connection import UpstreamConnection
from tests.support.tool import until
from tests.support.units import MIB


async def test_one_goes_on_per_turn_in_the_order_in_which_they_came() -> None:
    gone: list[int] = []
    waiting = Line(asyncio.get_running_loop())
    for number in range(3):
        waiting.join(partial(gone.append, number))
    most = 0
    while len(gone) < 3:
        before = len(gone)
        await asyncio.sleep(0)
        most = max(most, len(gone) - before)
    assert (gone, most) == ([0, 1, 2], 1)


async def test_a_failure_or_a_caller_who_has_left_does_not_stop_the_line() -> None:
    left = asyncio.create_task(wait_for_turn())
    await asyncio.sleep(0)
    left.cancel()
    line("requests").join(lambda: 1 // 0)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with asyncio.timeout(20):
        await wait_for_turn()
    with suppress(asyncio.CancelledError):
        await left


class Socket:
    """What is fed, and whether the socket is read."""

    def __init__(self, most: int = 1 << 30) -> None:
        self.parsed: list[bytes] = []
        self.is_read = True
        self.most = most
        self.slices = Slices(self.parse, hold=self.hold, release=self.release)

    def parse(self, data: bytes) -> bool:
        self.parsed.append(data)
        return sum(map(len, self.parsed)) < self.most

    async def idle(self) -> None:
        while self.slices.wait:
            await wait_for_turn()

    def hold(self) -> None:
        self.is_read = False

    def release(self) -> None:
        self.is_read = True


async def test_what_is_cheap_is_parsed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SLOW", 3600)
    socket, data = Socket(), b"a" * 100_000
    socket.slices.feed(data)
    assert b"".join(socket.parsed) == data
    assert socket.is_read
    assert max(map(len, socket.parsed)) == turns.SLICE


async def test_of_dear_ones_a_single_slice_is_parsed_per_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SLOW", -1)
    sockets = [Socket() for _ in range(5)]
    for each in sockets:
        each.slices.feed(b"a" * turns.SLICE * 3)
    assert [len(each.parsed) for each in sockets] == [1] * 5
    most = 0
    while any(not each.is_read for each in sockets):
        before = sum(len(each.parsed) for each in sockets)
        await asyncio.sleep(0)
        most = max(most, sum(len(each.parsed) for each in sockets) - before)
    assert most == 1
    assert all(each.parsed == [b"a" * turns.SLICE] * 3 for each in sockets)


async def test_a_parser_that_is_full_gets_nothing_until_it_is_asked_to_go_on() -> None:
    socket = Socket(most=turns.SLICE)
    socket.slices.feed(b"a" * turns.SLICE * 2)
    assert (len(socket.parsed), socket.is_read, socket.slices.wait) == (1, False, True)
    socket.most = 1 << 30
    socket.slices.go_on()
    await socket.idle()
    assert (len(socket.parsed), socket.is_read) == (2, True)


@given(pieces=st.lists(st.binary(max_size=3 * turns.SLICE), max_size=8), slow=st.booleans())
def test_every_byte_is_parsed_once_and_in_order(pieces: list[bytes], slow: bool) -> None:
    async def feed() -> None:
        socket = Socket()
        for piece in pieces:
            socket.slices.feed(piece)
            await asyncio.sleep(0)
        await socket.idle()
        assert b"".join(socket.parsed) == b"".join(pieces)
        assert socket.is_read

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns, "SLOW", -1 if slow else 3600)
        patch.setattr(turns, "PAUSE", 0)
        asyncio.run(feed())


class Paused(asyncio.Transport):
    """A transport without a socket that knows whether it is read."""

    is_read = True

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def is_closing(self) -> bool:
        return False

    def write(self, data: object) -> None:
        pass


async def test_the_turn_of_the_last_response_does_not_resume_the_socket_of_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the next response would be read without a bound until its own turn."""
    monkeypatch.setattr(turns, "SLOW", -1)
    connection, transport = UpstreamConnection(lambda _: None, 60), Paused()
    connection.transport = transport
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for body in (b"0\r\n\r\n", b"%x\r\n" % MIB + bytes(2 * turns.SLICE)):
        answered = connection.ask(b"GET / HTTP/1.1\r\n\r\n")
        connection.data_received(head)
        connection.data_received(body)
        assert answered.done()
        assert not transport.is_read, "until its turn"
        if connection.complete:
            connection.rest(4, 4)
    await asyncio.sleep(0)  # the turn of the last response
    assert not transport.is_read
    await until(lambda: transport.is_read)
    assert sum(map(len, connection.take())) > turns.SLICE, "now all of it is parsed"
