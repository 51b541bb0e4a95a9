"""The emulated Frame.io in a process of its own, which says how often its token endpoint was asked.

Usage: python -m bench.frameio PORT PUBLIC_URL SECRET ACCESS_LIFETIME
"""

import asyncio
import sys
import time

import uvloop
from aiohttp import web

from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.people import App

CLIENT_ID = "bench"


async def serve(port: int, public_url: str, secret: str, access_lifetime: float) -> None:
    """Listen until the process is ended; GET /bench/calls tells the calls by endpoint."""
    app = App(CLIENT_ID, secret, (f"{public_url}/oauth2/callback",))
    frameio = FrameIO(time.time, [app], access_lifetime=access_lifetime, calls_per_minute=10_000_000)
    web_app = frameio.app()

    async def calls(request: web.Request) -> web.Response:
        del request
        return web.json_response(frameio.calls)

    web_app.router.add_get("/bench/calls", calls)
    runner = web.AppRunner(web_app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])))
