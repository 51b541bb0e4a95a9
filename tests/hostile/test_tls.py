"""TLS of our own, under the same bounds: handshakes that stall, records without content, goodbyes unanswered."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from tlslite.api import HandshakeSettings, TLSConnection
from tlslite.errors import TLSError
from tlslite.messages import ApplicationData

from oauth_proxy import handshakes, server, stall
from tests.hostile.test_heads import all_of, counted, sent, strangers
from tests.hostile.test_unread import is_open
from tests.support.proxy import free_port
from tests.support.raw_http import TOOL_BYTES, Wire, saying, wired
from tests.support.tool import until
from tests.support.units import KIB, PATIENCE

FEW = 16


@pytest.fixture
def trusting() -> ssl.SSLContext:
    return ssl.create_default_context()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_DEADLINE", 0.3)


@pytest.fixture
async def secure(tmp_path: Path, trusting: ssl.SSLContext) -> AsyncIterator[Wire]:
    """A proxy that speaks TLS itself, with few places."""
    authority = trustme.CA()
    authority.configure_trust(trusting)
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    port = free_port()
    changes: dict[str, Any] = {
        "public_url": f"https://localhost:{port}",
        "listen": f"127.0.0.1:{port}",
        "limits": {"connections": str(FEW)},
        "tls": {"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")},
    }
    async with wired(**changes) as wire:
        yield wire


class Visitor:
    """TLS over a bare socket: what is sent, and whether anything is answered, is the test's to say."""

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> None:
        self.sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname="localhost", session=session)

    async def shake(self, *, and_say: bytes = b"") -> None:
        """Shake hands; what is said goes out with the last of it."""
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._send()
                await self._receive()
        await self.say(and_say)

    async def say(self, data: bytes) -> bool:
        if data:
            self.tls.write(data)
        return await self._send()

    async def hears(self) -> bytes:
        """What comes until the proxy says goodbye, which gets no answer."""
        heard = b""
        with suppress(ssl.SSLZeroReturnError):
            while True:
                try:
                    if not (piece := self.tls.read(1 << 16)):
                        break
                    heard += piece
                except ssl.SSLWantReadError:
                    await self._receive()
        return heard

    async def _send(self) -> bool:
        return await sent(self.sock, self._out.read(), 2)

    async def _receive(self) -> None:
        async with asyncio.timeout(PATIENCE):
            data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 16)
        self._in.write(data) if data else self._in.write_eof()


async def test_a_request_in_the_same_flight_as_the_end_of_the_handshake_is_answered(
    secure: Wire, trusting: ssl.SSLContext
) -> None:
    async with strangers(secure, 5) as sockets:
        for each in sockets:
            visitor = Visitor(each, trusting)
            await visitor.shake(and_say=secure.request("/healthz", "Connection: close"))
            assert (await visitor.hears()).endswith(TOOL_BYTES)


BEGUN = {
    "nothing": b"",
    "half a record": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "half a hello": b"\x16\x03\x01\x00\x20\x01\x00\x01\xfc\x03\x03" + b"r" * 27,
}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN.keys())
async def test_a_handshake_that_stalls_has_the_deadline_of_a_head(secure: Wire, begun: bytes) -> None:
    async with strangers(secure, 5) as sockets:
        for each in sockets:
            await sent(each, begun)
        assert [await all_of(each) for each in sockets] == [b""] * 5
    await until(lambda: secure.stage.proxy.capacity.open == 0)


async def test_handshakes_that_stall_take_places_and_give_way(secure: Wire, trusting: ssl.SSLContext) -> None:
    """They are counted from the first packet on, not from the end of the handshake."""
    async with strangers(secure, 3 * FEW) as sockets, strangers(secure, 1) as (sock,):
        visitor = Visitor(sock, trusting)
        await visitor.shake(and_say=secure.request("/healthz", "Connection: close"))
        assert (await visitor.hears()).endswith(TOOL_BYTES)
        assert secure.stage.proxy.capacity.open <= FEW
        for each in sockets[:FEW]:
            assert await all_of(each) == b""


RECORDS = {
    "empty records": b"\x16\x03\x01\x00\x00",
    "warnings": b"\x15\x03\x01\x00\x02\x01\x5a",
    "no TLS at all": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS.keys())
async def test_records_that_say_nothing_end_the_connection(secure: Wire, record: bytes) -> None:
    async with strangers(secure, 5) as sockets:
        for each in sockets:
            await sent(each, record * 1000, 2)
            await all_of(each)
    await until(lambda: secure.stage.proxy.capacity.open == 0)
    assert not secure.tool.heard


def say_nothing(port: int, version: tuple[int, int], records: int) -> bool:
    """Send so many records without content after a handshake; whether a request behind them is answered."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(PATIENCE)
        settings = HandshakeSettings()
        settings.minVersion = settings.maxVersion = version
        tls = TLSConnection(sock)
        tls.handshakeClientCert(settings=settings, serverName="localhost")
        try:
            for _ in range(records):
                # A generator that sends: `write` sends no record for nothing.
                sends = tls._sendMsg(ApplicationData().create(bytearray()))  # noqa: SLF001 - tlslite has no other way
                deque(sends, maxlen=0)
            tls.write(f"GET /healthz HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
            return bytes(tls.read(min=12, max=12)).startswith(b"HTTP/1.1 200")
        except (OSError, TLSError):
            return False


@pytest.mark.parametrize("version", [(3, 3), (3, 4)], ids=["TLS 1.2", "TLS 1.3"])
async def test_records_without_content_are_counted_once_the_handshake_is_done(
    secure: Wire, trusting: ssl.SSLContext, version: tuple[int, int]
) -> None:
    """A few may come (RFC 8446 5.1); a flood of them ends the connection, and takes nothing from others."""
    port = secure.stage.listens_on
    assert await asyncio.to_thread(say_nothing, port, version, 5)
    floods = [asyncio.to_thread(say_nothing, port, version, 20_000) for _ in range(3)]
    with counted() as held:
        answered = asyncio.gather(*floods)
        async with strangers(secure, 1) as (sock,):
            visitor = Visitor(sock, trusting)
            await visitor.shake(and_say=secure.request("/healthz", "Connection: close"))
            assert TOOL_BYTES in await visitor.hears()
        assert await answered == [False] * 3
        assert held.size < 3 * 64 * KIB


async def test_a_goodbye_that_is_never_answered_is_waited_for_no_longer_than_its_deadline(
    secure: Wire, trusting: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshakes, "GOODBYE", 0.3)
    async with strangers(secure, 1) as (sock,):
        visitor = Visitor(sock, trusting)
        await visitor.shake(and_say=secure.request("/healthz", "Connection: close"))
        assert (await visitor.hears()).endswith(TOOL_BYTES)
        await until(lambda: not is_open(sock))
    await until(lambda: secure.stage.proxy.capacity.open == 0)


async def test_answers_over_tls_that_nobody_reads_are_bounded_and_cut(
    secure: Wire, trusting: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall, "STALL", 0.3)
    secure.tool.says = saying(body=b"b" * 100 * KIB)
    async with strangers(secure, 5) as sockets:
        visitors = [Visitor(each, trusting) for each in sockets]
        for visitor in visitors:
            await visitor.shake()
        with counted() as held:
            for visitor in visitors:
                await visitor.say(secure.request("/assets/large") * 300)
            assert held.size < 5 * 800 * KIB
        await until(lambda: secure.stage.proxy.capacity.open == 0)


async def test_a_session_can_be_resumed_by_the_one_ticket_that_comes_with_it(
    secure: Wire, trusting: ssl.SSLContext
) -> None:
    async with strangers(secure, 2) as sockets:
        session: ssl.SSLSession | None = None
        for each in sockets:
            visitor = Visitor(each, trusting, session)
            await visitor.shake(and_say=secure.request("/healthz", "Connection: close"))
            assert (await visitor.hears()).endswith(TOOL_BYTES)
            assert visitor.tls.session_reused == (session is not None)
            session = visitor.tls.session


async def test_nobody_gets_to_negotiate_again(secure: Wire) -> None:
    """TLS 1.2: each time costs us a signature, and the visitor nothing."""
    process = await asyncio.create_subprocess_exec(
        "openssl", "s_client", "-connect", f"127.0.0.1:{secure.stage.listens_on}", "-tls1_2",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    told = b""
    async with asyncio.timeout(PATIENCE):
        while b"Verify return code" not in told:
            told += await process.stdout.read(4096)
        process.stdin.write(b"R\n")  # its word for it
        told = await process.stdout.read()
    await process.wait()
    assert b"RENEGOTIATING" in told
    assert b"no renegotiation" in told
    assert process.returncode != 0
