"""The plain proxy anybody would write with aiohttp: web.Server in front, one ClientSession behind, on uvloop.

Usage: python -m bench.baseline PORT UPSTREAM LIVE [CERTIFICATE KEY]
It asks nobody who they are; it is what the data path is compared with.
"""

import asyncio
import ssl
import sys

import aiohttp
import uvloop
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

HOP_BY_HOP = ("Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade")
PIECE = 256 * 1024


class Baseline:
    """Forwards /live/ to one port and everything else to another."""

    def __init__(self, session: aiohttp.ClientSession, upstream: int, live: int) -> None:
        self._session = session
        self._upstream = upstream
        self._live = live

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The upstream's answer."""
        port = self._live if request.path.startswith("/live/") else self._upstream
        url = URL(f"http://127.0.0.1:{port}{request.raw_path}", encoded=True)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._tunnel(request, url)
        headers = _crossing(request.headers)
        body = request.content.iter_chunked(PIECE) if request.can_read_body else None
        async with self._session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as upstream:
            answer = web.StreamResponse(status=upstream.status, headers=_crossing(upstream.headers))
            await answer.prepare(request)
            async for piece in upstream.content.iter_any():
                await answer.write(piece)
            await answer.write_eof()
            return answer

    async def _tunnel(self, request: web.BaseRequest, url: URL) -> web.WebSocketResponse:
        visitor = web.WebSocketResponse(autoping=False)
        await visitor.prepare(request)
        async with self._session.ws_connect(url, autoping=False) as upstream:
            there = asyncio.create_task(_carry(visitor, upstream))
            back = asyncio.create_task(_carry(upstream, visitor))
            _, pending = await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
        return visitor


async def _carry(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
) -> None:
    async for message in source:
        if message.type is aiohttp.WSMsgType.BINARY:
            await sink.send_bytes(message.data)
        elif message.type is aiohttp.WSMsgType.TEXT:
            await sink.send_str(message.data)


def _crossing(headers: "aiohttp.typedefs.LooseHeaders") -> CIMultiDict[str]:
    crossing = CIMultiDict(headers)
    for name in HOP_BY_HOP:
        crossing.popall(name, None)
    return crossing


async def serve(port: int, upstream: int, live: int, tls: ssl.SSLContext | None) -> None:
    """Listen until the process is ended."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
    ) as session:
        runner = web.ServerRunner(web.Server(Baseline(session, upstream, live).handle, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
        await asyncio.Event().wait()


def _context(*files: str) -> ssl.SSLContext | None:
    if not files:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    return context


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        port, upstream, live = map(int, sys.argv[1:4])
        loop.run(serve(port, upstream, live, _context(*sys.argv[4:])))
