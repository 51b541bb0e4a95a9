"""What nothing of ours can go below: one process with the libraries alone, which answers and asks nobody.

Usage: python -m bench.bare PORT protocol|aiohttp
`protocol` parses nothing and closes after each response: what a connection takes at least, on uvloop.
`aiohttp` is web.Server, a ClientSession and AES-GCM: what a process of ours holds at least.
"""

import asyncio
import sys
from typing import cast

import uvloop

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"


class Bare(asyncio.Protocol):
    """Answers whatever comes, and closes."""

    __slots__ = ("_transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """A request, or a part of one."""
        self._transport.write(RESPONSE)
        self._transport.close()


async def protocol(port: int) -> None:
    """Serve with nothing but the event loop."""
    await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", port, backlog=1024)
    await asyncio.Event().wait()


async def aiohttp(port: int) -> None:
    """Serve with the libraries that the proxy cannot do without."""
    from aiohttp import ClientSession, web
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    AESGCM.generate_key(256)

    async def hi(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="hi")

    async with ClientSession():
        runner = web.ServerRunner(web.Server(hi))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    serve = {"protocol": protocol, "aiohttp": aiohttp}[sys.argv[2]]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(serve(int(sys.argv[1])))
