"""Run the emulated Frame.io and the tool in one process, for as long as somebody holds its standard input."""

import asyncio
import json
import os
import signal
import socket
import sys
import threading
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from aiohttp import web

from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.people import Api, App
from oauth_proxy.demo.tool import tool

HOST = "127.0.0.1"
CALLBACK = "/oauth2/callback"
PATIENCE = 1  # seconds that open streams get to end


@dataclass(frozen=True)
class Options:
    """What the demo is to be. Port 0 is any free one; without a client_secret the app is a PKCE app."""

    public_url: str  # the proxy's, without a path
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    api: Api = "v2"
    status_url: str = ""  # the proxy's status page, if it has one
    access_lifetime: float = 3600  # seconds
    frameio_port: int = 0
    tool_port: int = 0


async def serve(options: Options) -> None:
    """Listen on two loopback ports, say which in one JSON line on stdout, and go on until told to stop.

    The line is {"frameio": port, "tool": port}. The end comes with SIGTERM, SIGINT, or the end of stdin, so that
    this process never outlives the one that started it. Raises OSError for a port that cannot be had.
    """
    app = App(
        client_id=options.client_id,
        client_secret=options.client_secret,
        redirect_uris=(options.public_url.rstrip("/") + CALLBACK,),
        api=options.api,
    )
    frameio = FrameIO(time.time, [app], access_lifetime=options.access_lifetime)
    async with AsyncExitStack() as stack:
        ports = {
            "frameio": await _listen(stack, frameio.app(), options.frameio_port),
            "tool": await stack.enter_async_context(_Tool(options)),
        }
        over = _end()
        sys.stdout.write(json.dumps(ports) + "\n")
        sys.stdout.flush()
        await over.wait()


class _Tool:
    """The tool, which can leave its port for a while; an async context manager that says its port."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._socket = _bound(options.tool_port)
        self._port: int = self._socket.getsockname()[1]
        self._runner: web.AppRunner | None = None
        self._pause: asyncio.Task[None] | None = None

    async def __aenter__(self) -> int:
        await self._come()
        return self._port

    async def __aexit__(self, *_: object) -> None:
        if self._pause is not None:
            self._pause.cancel()
            with suppress(asyncio.CancelledError):
                await self._pause
        await self._go()

    def leave(self, seconds: int) -> None:
        """Once the request at hand is answered, answer none for so many seconds."""
        if self._pause is None or self._pause.done():
            self._pause = asyncio.create_task(self._stay_away(seconds))

    async def _stay_away(self, seconds: int) -> None:
        await self._go()
        # Whoever is bound to a port and does not listen keeps it, and refuses connections.
        self._socket = _bound(self._port)
        await asyncio.sleep(seconds)
        await self._come()

    async def _come(self) -> None:
        app = tool(self._options.api, leave=self.leave, status_url=self._options.status_url)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=PATIENCE)
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket).start()

    async def _go(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None
        self._socket.close()


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        raise
    return bound


async def _listen(stack: AsyncExitStack, app: web.Application, port: int) -> int:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=PATIENCE)
    stack.push_async_callback(runner.cleanup)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    bound: int = runner.addresses[0][1]
    return bound


def _end() -> asyncio.Event:
    """An event that is set when this process should stop."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        with suppress(RuntimeError):  # the loop is closed: a signal was faster
            loop.call_soon_threadsafe(over.set)

    # A thread, for stdin may be a pipe, a file or a terminal; a daemon, for nothing can interrupt its read.
    threading.Thread(target=watch, daemon=True).start()
    return over
