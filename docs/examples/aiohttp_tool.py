"""A tool that calls Frame.io for as long as a page is open, over the page's WebSocket. It needs aiohttp only.

TOOL_API=unix:/run/oauth-proxy/tool.sock python aiohttp_tool.py 3000
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

from aiohttp import ClientResponse, ClientSession, UnixConnector, web

TOOL_API = os.environ.get("TOOL_API", "unix:/run/oauth-proxy/tool.sock")  # or http://127.0.0.1:4182
FRAMEIO_ME = os.environ.get("FRAMEIO_ME", "https://api.frame.io/v4/me")
HANDLE = "X-OAuth-Proxy-Handle"

OUTSIDE = web.AppKey("outside", ClientSession)
PROXY = web.AppKey("proxy", ClientSession)

PAGE = """<!doctype html><title>Who am I?</title>
<button>Ask Frame.io</button> <output></output>
<script>
  const socket = new WebSocket(location.href.replace("http", "ws") + "socket");
  const output = document.querySelector("output");
  document.querySelector("button").onclick = () => socket.send("who");
  socket.onmessage = message => output.value = message.data;
  socket.onclose = () => output.value = "Please reload this page.";
</script>
"""


class SignedOut(Exception):
    """The visitor's session is over: work for them ends here, until they come again."""


async def fresh_token(proxy: ClientSession, handle: str) -> str:
    """The visitor's access token, good now. Ask again before each call, or keep it until `expires_at`."""
    for _ in range(6):
        async with proxy.get("/token", headers={HANDLE: handle}) as answer:
            if answer.status == 401:
                raise SignedOut
            if answer.status == 200:
                return str((await answer.json())["access_token"])
            await asyncio.sleep(float(answer.headers.get("Retry-After", 5)))
    raise TimeoutError("Frame.io has been away for too long")


async def who_is(app: web.Application, handle: str) -> str:
    """What Frame.io says of the visitor now, by a token that is good now."""
    headers = {"Authorization": f"Bearer {await fresh_token(app[PROXY], handle)}"}
    async with app[OUTSIDE].get(FRAMEIO_ME, headers=headers) as answer:
        return await _shown(answer)


async def _shown(answer: ClientResponse) -> str:
    return f"{answer.status} {await answer.text()}"


async def page(request: web.Request) -> web.Response:
    """The page with the button."""
    return web.Response(text=PAGE, content_type="text/html")


async def socket(request: web.Request) -> web.WebSocketResponse:
    """Each message gets an answer of Frame.io's, hours after the handshake too; the handle came with that."""
    open_socket = web.WebSocketResponse()
    await open_socket.prepare(request)
    async for _ in open_socket:
        try:
            await open_socket.send_str(await who_is(request.app, request.headers[HANDLE]))
        except SignedOut:
            break
        except TimeoutError as error:
            await open_socket.send_str(str(error))
    return open_socket


async def clients(app: web.Application) -> AsyncIterator[None]:
    """One client for Frame.io, one for the proxy."""
    is_socket = TOOL_API.startswith("unix:")
    connector = UnixConnector(TOOL_API.removeprefix("unix:")) if is_socket else None
    base = "http://tool-api" if is_socket else TOOL_API
    async with ClientSession() as app[OUTSIDE], ClientSession(base, connector=connector) as app[PROXY]:
        yield


def main() -> None:
    """Serve on this port of this machine, which only the proxy reaches."""
    app = web.Application()
    app.cleanup_ctx.append(clients)
    app.add_routes([web.get("/", page), web.get("/socket", socket)])
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]))


if __name__ == "__main__":
    main()
