"""aiohttp's server with our limits: answers that fail, and answers that come before their request has ended."""

import asyncio
import gc
import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import repeat

import pytest
from aiohttp import StreamReader, web

from oauth_proxy import lingering
from oauth_proxy.capacity import Capacity
from oauth_proxy.client_connection import ClientConnection, Handler, Refusal
from oauth_proxy.errors import BadRequest
from oauth_proxy.outcomes import Outcome
from oauth_proxy.server import Server
from tests.support.proxy import serving
from tests.support.tool import refused, unheard, until
from tests.support.units import KIB, MIB, PATIENCE


async def unused(request: web.BaseRequest) -> Outcome:
    return Outcome(web.Response(text="unused"))


async def said(handler: Handler, refusal: Refusal, sent: bytes) -> bytes:
    async with serving(Server(handler, refusal=refusal, answered=unheard)) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(sent)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        writer.close()
        return answer


async def test_a_fault_after_an_answer_has_begun_cuts_the_connection() -> None:
    async def begins(request: web.BaseRequest) -> Outcome:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        raise ZeroDivisionError

    answer = await said(begins, refused, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(b"half\r\n"), "there is no last chunk, so nobody takes it for the whole"


async def test_a_refusal_that_fails_is_one_line_and_a_closed_connection(caplog: pytest.LogCaptureFixture) -> None:
    def fails(request: web.BaseRequest, error: BadRequest) -> Outcome:
        raise ZeroDivisionError

    assert await said(unused, fails, b"nonsense\r\n\r\n") == b""
    assert "a connection failed: ZeroDivisionError" in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_request_behind_chunks_that_took_long_to_parse_is_answered() -> None:
    """Their connection was in the line for its next turn, and the loop went round and round until that came."""

    async def unread(request: web.BaseRequest) -> Outcome:
        return Outcome(web.Response(text="unread"))

    body = b"1\r\nx\r\n" * 600 + b"0\r\n\r\n"
    async with serving(Server(unread, refusal=refused, answered=unheard)) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        async with asyncio.timeout(PATIENCE):
            for _ in range(3):
                writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
                await reader.readuntil(b"unread")
                writer.write(body)
                await asyncio.sleep(0.05)  # they are read before the next one comes
        writer.close()


async def test_a_body_is_read_to_its_end_although_the_server_is_about_to_end() -> None:
    async def echoes(request: web.BaseRequest) -> Outcome:
        return Outcome(web.Response(body=await request.read()))

    server = Server(echoes, refusal=refused, answered=unheard)
    async with serving(server) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        async with asyncio.timeout(PATIENCE):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nhalf")
            await asyncio.sleep(0.05)
            server.pre_shutdown()
            writer.write(b"half")
            assert (await reader.read()).endswith(b"\r\n\r\nhalfhalf")
        writer.close()


async def test_an_answer_that_is_still_being_sent_gives_way_to_nobody() -> None:
    async def answers(request: web.BaseRequest) -> Outcome:
        assert request.transport is not None
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * KIB)
        return Outcome(web.Response(body=bytes(60 * KIB)))

    capacity = Capacity(1)
    server = Server(answers, refusal=refused, answered=unheard, capacity=capacity)
    async with serving(server) as url, asyncio.timeout(PATIENCE):
        at = ("127.0.0.1", int(url.rpartition(":")[2]))
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
        sock.connect(at)
        slow, writer = await asyncio.open_connection(sock=sock, limit=KIB)
        writer.write(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        await slow.readuntil(b"\r\n\r\n")
        assert (capacity.open, capacity.idle) == (1, 0)
        newcomer, other = await asyncio.open_connection(*at)
        assert await newcomer.read() == b""
        assert len(await slow.read()) == 60 * KIB
        for each in (writer, other):
            each.close()


async def test_nothing_of_a_body_that_nobody_read_is_held_while_the_connection_is_idle() -> None:
    async def unread(request: web.BaseRequest) -> Outcome:
        bodies.append(request.content)
        return Outcome(web.Response(text="unread"))

    bodies: list[StreamReader] = []
    async with serving(Server(unread, refusal=refused, answered=unheard)) as url, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 61440\r\n\r\n" + bytes(61440))
        await reader.readuntil(b"unread")
        await until(bodies[0].at_eof)
        writer.close()


UPLOADS = {
    "that keeps the connection": {"Content-Length": str(20 * MIB)},
    "that closes the connection": {"Content-Length": str(20 * MIB), "Connection": "close"},
    "in chunks": {"Transfer-Encoding": "chunked", "Connection": "close"},
}


def answer_after_all(url: str, headers: dict[str, str], pieces: Iterator[bytes]) -> int:
    """The status for somebody who reads only once all is sent."""
    with closing(http.client.HTTPConnection(url.rpartition("/")[2], timeout=PATIENCE)) as connection:
        connection.request("POST", "/", pieces, headers, encode_chunked="Transfer-Encoding" in headers)
        return connection.getresponse().status


async def early(request: web.BaseRequest) -> Outcome:
    return Outcome(web.Response(status=403))


@pytest.mark.parametrize("headers", UPLOADS.values(), ids=UPLOADS.keys())
async def test_an_answer_that_comes_early_is_read_by_who_sends_the_whole_upload_first(
    headers: dict[str, str],
) -> None:
    """The socket was closed over unread bytes, and the reset took the answer away: 20 times of 20."""
    async with serving(Server(early, refusal=refused, answered=unheard)) as url:
        for _ in range(3):
            pieces = repeat(bytes(64 * KIB), 20 * MIB // (64 * KIB))
            assert await asyncio.to_thread(answer_after_all, url, headers, iter(pieces)) == 403


@pytest.mark.parametrize("headers", UPLOADS.values(), ids=UPLOADS.keys())
async def test_an_upload_may_take_as_long_as_it_goes_on(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lingering, "SILENCE", 0.5)
    monkeypatch.setattr(lingering, "LOOK", 0.05)
    headers = {name: str(20 * KIB) if name == "Content-Length" else value for name, value in headers.items()}

    def slowly() -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(KIB)
            time.sleep(0.05)

    async with serving(Server(early, refusal=refused, answered=unheard)) as url:
        assert await asyncio.to_thread(answer_after_all, url, headers, slowly()) == 403


ENDS = {
    "who is silent": {"SILENCE": 0.1},
    "who never ends": {"LONGEST": 0.1},
    "who a stop waits for": {"AT_THE_END": 0.1},
}


@pytest.mark.parametrize("headers", UPLOADS.values(), ids=UPLOADS.keys())
@pytest.mark.parametrize("who", ENDS)
async def test_what_nobody_wants_is_read_for_a_bounded_time(
    headers: dict[str, str], who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in {"SILENCE": 3600.0, "LONGEST": 3600.0, "LOOK": 0.02, **ENDS[who]}.items():
        monkeypatch.setattr(lingering, name, seconds)
    server = Server(early, refusal=refused, answered=unheard)
    async with serving(server) as url, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"POST / HTTP/1.1\r\nHost: x\r\n{lines}\r\n1000\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 403")
        if who == "who a stop waits for":
            server.drain()
        while server.connections:
            if who == "who never ends":
                writer.write(b"x")
            await asyncio.sleep(0.01)
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf",
        b"POST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
        b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
        b"\x00nonsense\r\n\r\n",
    ],
)
async def test_nothing_of_a_lost_connection_waits_for_a_garbage_collection(sent: bytes) -> None:
    """What cancelled its task, and with that each request, was held by the task to which the request led."""

    async def answers(request: web.BaseRequest) -> Outcome:
        if request.path == "/slow":
            await asyncio.Event().wait()
        return Outcome(web.Response(text="quick"))

    def held() -> int:
        return sum(isinstance(each, ClientConnection) for each in gc.get_objects())

    async with serving(Server(answers, refusal=refused, answered=unheard)) as url:
        gc.collect()
        gc.disable()
        try:
            before = held()
            for _ in range(10):
                _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
                writer.write(sent)
                await asyncio.sleep(0.01)  # it is read
                writer.transport.abort()
            async with asyncio.timeout(PATIENCE):
                while held() > before:  # noqa: ASYNC110 - nothing tells when an object is gone
                    await asyncio.sleep(0.01)
        finally:
            gc.enable()
