"""A tool for loads, in bare bytes: quick, large, slow, deaf, in tiny pieces, as events, as a WebSocket.

Usage: python -m tests.load.tool PORT. It says on stderr when it serves.
"""

import asyncio
import sys
from contextlib import suppress

import uvloop

from tests.support.raw_http import Heard, switching

LARGE = 30 * 1024 * 1024
TINY = b"1\r\nx\r\n" * 10_000
_BLOCK = b"b" * 65_536


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer request after request, each by the last part of its path."""
    task = asyncio.current_task()
    with suppress(
        OSError, RuntimeError, asyncio.IncompleteReadError
    ):  # uvloop raises RuntimeError once it is closed
        while True:
            head = Heard(await reader.readuntil(b"\r\n\r\n"), b"")
            kind = head.line.split(" ")[1].partition("?")[0].rpartition("/")[2]
            await _ANSWERS.get(kind, _quick)(head, reader, writer)
            await writer.drain()
    if task is not None and not task.cancelling():
        writer.close()


async def _quick(head: Heard, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    length = int((head.all("content-length") or ["0"])[0])
    size = 0
    while size < length:
        size += len(await reader.read(65_536))
    body = b"%d" % size
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def _large(head: Heard, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
    for _ in range(LARGE // len(_BLOCK)):
        writer.write(_BLOCK)
        await writer.drain()


async def _tiny(head: Heard, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(20):
        writer.write(TINY)
        await writer.drain()
    writer.write(b"0\r\n\r\n")


async def _slow(head: Heard, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(20)
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    raise ConnectionError("whatever else came is not read")


async def _events(head: Heard, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    for number in range(1, 100):
        writer.write(b"data: %d\n\n" % number)
        await writer.drain()
        await asyncio.sleep(0.2)
    raise ConnectionError("the stream has ended")


async def _echo(head: Heard, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(switching(head))
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    raise ConnectionError("the tunnel has ended")


async def _flood(head: Heard, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(switching(head))
    while True:
        writer.write(_BLOCK)
        await writer.drain()


_ANSWERS = {"large": _large, "tiny": _tiny, "slow": _slow, "events": _events, "echo": _echo, "flood": _flood}


async def listen(port: int) -> None:
    """Until the process is ended."""
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=1024)
    print("serving", file=sys.stderr, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(listen(int(sys.argv[1])))
