"""Plain sockets for what wrk cannot do: a gibibyte either way, WebSockets, and many requests at one moment."""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import uvloop

from bench.stage import Column

PIECE = bytes(256 * 1024)
KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
HANDSHAKE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", KEY)
MESSAGE = bytes(64)
FRAME = bytes((0x82, 0x80 | len(MESSAGE), 0, 0, 0, 0)) + MESSAGE
"""A masked binary frame whose mask is 0 (RFC 6455 5.2), so its message is on the wire as it is."""
ECHO_SIZE = 2 + len(MESSAGE)
PATIENCE = 60.0  # seconds
THREADS = 4
"""Of a client that makes connections over TLS; OpenSSL works without Python's lock."""


class WrongAnswerError(Exception):
    """The answer was not the one that is measured."""


def _connect(column: Column, path: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", column.port(path)), timeout=PATIENCE)


def _answer(connection: socket.socket, status: int) -> tuple[bytes, bytes]:
    """The head of an answer and what came behind it. Raises WrongAnswerError for any other status."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            raise WrongAnswerError("the connection was closed instead of an answer")
        received += piece
    head, _, rest = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 %d" % status):
        raise WrongAnswerError(head[:200].decode("latin-1"))
    return head, rest


def download(column: Column, path: str, size: int) -> float:
    """Seconds that `size` bytes take to come."""
    buffer = bytearray(len(PIECE))
    with _connect(column, path) as connection:
        began = time.perf_counter()
        connection.sendall(column.head("GET", path))
        got = len(_answer(connection, 200)[1])
        while got < size:
            count = connection.recv_into(buffer)
            if not count:
                raise WrongAnswerError(f"{got} of {size} bytes")
            got += count
        return time.perf_counter() - began


def upload(column: Column, path: str, size: int) -> float:
    """Seconds until the upstream says that it has `size` bytes."""
    with _connect(column, path) as connection:
        began = time.perf_counter()
        connection.sendall(column.head("POST", path, f"Content-Length: {size}"))
        for _ in range(size // len(PIECE)):
            connection.sendall(PIECE)
        head, body = _answer(connection, 200)
        while not body.rstrip().endswith((b"}", b"}\r\n0")):
            body += connection.recv(4096)
        took = time.perf_counter() - began
    arrived = json.loads(body[body.index(b"{") : body.index(b"}") + 1])["size"]
    if arrived != size:
        raise WrongAnswerError(f"{arrived} of {size} bytes arrived: {head[:100]!r}")
    return took


class TlsClient:
    """Makes a connection over TLS for each request for `path`; with a full handshake until it has a `session`."""

    def __init__(self, column: Column, path: str) -> None:
        self.session: ssl.SSLSession | None = None
        self._context = ssl.create_default_context(cafile=str(column.world.certificate.authority))
        self._column = column
        self._path = path

    def connect(self) -> ssl.SSLSession | None:
        """Make one, and close it once the request is answered; its session."""
        raw = _connect(self._column, self._path)
        with self._context.wrap_socket(raw, server_hostname="localhost", session=self.session) as connection:
            connection.sendall(self._column.head("GET", self._path, "Connection: close"))
            _answer(connection, 200)
            while connection.recv(65536):
                pass  # what is left of the body, until the other side closes
            if connection.session_reused != (self.session is not None):
                raise WrongAnswerError("a session was not resumed, or without being asked to")
            return connection.session

    def count(self, seconds: float) -> int:
        """How many THREADS of us can make in that time."""
        until = time.perf_counter() + seconds

        def keep_connecting() -> int:
            count = 0
            while time.perf_counter() < until:
                self.connect()
                count += 1
            return count

        with ThreadPoolExecutor(THREADS) as pool:
            return sum(made.result() for made in [pool.submit(keep_connecting) for _ in range(THREADS)])


def websockets(column: Column, path: str, count: int) -> list[socket.socket]:
    """That many open WebSockets, each having said one message and heard it."""
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            opened.append(_connect(column, path))
            _greet(opened[-1], column.head("GET", path, *HANDSHAKE))
    except BaseException:
        close(opened)
        raise
    return opened


def _greet(connection: socket.socket, handshake: bytes) -> None:
    connection.sendall(handshake)
    heard = _answer(connection, 101)[1]
    connection.sendall(FRAME)
    while len(heard) < ECHO_SIZE:
        piece = connection.recv(4096)
        if not piece:
            raise WrongAnswerError("the WebSocket was closed")
        heard += piece


def close(connections: Sequence[socket.socket]) -> None:
    """Close them all."""
    for connection in connections:
        connection.close()


class _Echo(asyncio.Protocol):
    """Says the message again whenever it has come back."""

    def __init__(self) -> None:
        self.heard = 0
        self._due = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # what TCP is, though uvloop's does not say so
        self._say()

    def data_received(self, data: bytes) -> None:
        self._due -= len(data)
        if self._due <= 0:
            self.heard += 1
            self._say()

    def hush(self) -> None:
        """Say no more."""
        self._transport.abort()

    def _say(self) -> None:
        self._due = ECHO_SIZE
        self._transport.write(FRAME)


def echoes(column: Column, path: str, count: int, seconds: float) -> int:
    """How many messages come back in that time over `count` WebSockets, one under way on each."""
    opened = websockets(column, path, count)

    async def talk() -> int:
        loop = asyncio.get_running_loop()
        voices = []
        for connection in opened:
            connection.setblocking(False)
            voices.append((await loop.create_connection(_Echo, sock=connection))[1])
        await asyncio.sleep(seconds)
        for voice in voices:
            voice.hush()
        return sum(voice.heard for voice in voices)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        heard = runner.run(talk())
    if heard < count:
        raise WrongAnswerError("the WebSockets fell silent")
    return heard


def burst(column: Column, path: str, count: int) -> float:
    """Seconds until `count` requests, each on a connection of its own and sent at one moment, are answered."""

    async def ask(reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise WrongAnswerError(head[:200].decode("latin-1"))

    async def all_at_once() -> float:
        streams = [await asyncio.open_connection("127.0.0.1", column.port(path)) for _ in range(count)]
        began = time.perf_counter()
        for _, writer in streams:
            writer.write(column.head("GET", path))
        await asyncio.gather(*(ask(reader) for reader, _ in streams))
        took = time.perf_counter() - began
        for _, writer in streams:
            writer.close()
        return took

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(all_at_once())
