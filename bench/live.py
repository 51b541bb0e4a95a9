"""The half of the upstream that nginx is not: takes uploads at /live/upload and echoes WebSockets at /live/ws.

Usage: python -m bench.live PORT
"""

import asyncio
import base64
import hashlib
import json
import re
import sys
from typing import cast

import uvloop

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MASKED, HEADER = 6, 2  # bytes around the message in a small frame that comes, and in one that goes


class Live(asyncio.Protocol):
    """One connection; for as many uploads, or one WebSocket with messages of up to 125 bytes (RFC 6455 5.2)."""

    def __init__(self) -> None:
        self._buffer = b""
        self._due = 0  # bytes of an upload that are still to come
        self._size = 0
        self._is_websocket = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to answer."""
        self._transport = cast(asyncio.Transport, transport)  # what TCP is, though uvloop's does not say so

    def data_received(self, data: bytes) -> None:
        """A request, a piece of an upload, or frames."""
        if self._due:
            self._uploaded(len(data))
        elif self._is_websocket:
            self._buffer = self._echo(self._buffer + data)
        else:
            self._buffer += data
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if end:
                self._buffer = b""
                self._begin(head, rest)

    def _begin(self, head: bytes, rest: bytes) -> None:
        key = re.search(rb"(?i)\r\nsec-websocket-key: *([^\r]+)", head)
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if key:
            self._is_websocket = True
            accept = base64.b64encode(hashlib.sha1(key[1].strip() + GUID, usedforsecurity=False).digest())
            self._transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self._buffer = self._echo(rest)
        elif length and int(length[1]):
            self._due = self._size = int(length[1])
            self._uploaded(len(rest))
        else:
            self._transport.write(b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\n\r\n")

    def _uploaded(self, size: int) -> None:
        self._due -= size
        if self._due <= 0:
            answer = json.dumps({"size": self._size - self._due}).encode()
            self._due = 0
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))

    def _echo(self, data: bytes) -> bytes:
        """Answer every complete frame, and return what is left. The client's mask is 0, so nothing is unmasked."""
        while len(data) >= MASKED and len(data) >= (size := MASKED + (data[1] & 0x7F)):
            if data[0] & 0x0F == 8:
                self._transport.close()
                return b""
            self._transport.write(bytes((data[0], data[1] & 0x7F)) + data[MASKED:size])
            data = data[size:]
        return data


async def serve(port: int) -> None:
    """Listen until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Live, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(serve(int(sys.argv[1])))
