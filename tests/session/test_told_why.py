"""A WebSocket is told why it ends: the session is over, or the proxy stops."""

import asyncio
import sys
from contextlib import AsyncExitStack

import pytest
import websockets
from aiohttp import WSMsgType, web
from websockets.frames import Close

from oauth_proxy.endings import SESSION_OVER, STOPPING
from oauth_proxy.serving import running
from oauth_proxy.settings import Listen
from oauth_proxy.upstream import ends
from tests.support.browser import Visitor
from tests.support.proxy import WANTED, Stage, on_stage
from tests.support.sessions import signed_in
from tests.support.tool import until


class Echo:
    """A tool whose WebSockets send back what they hear; it keeps what it is told at their end."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int | None, str | None]] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.get("/echo", self._page), web.get("/{name}", self._echo)])
        return app

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="where a login leads to")

    async def _echo(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        while (message := await socket.receive()).type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        self.told.append((request.match_info["name"], message.data, message.extra))
        return socket


async def opened(stack: AsyncExitStack, stage: Stage, path: str, cookie: str = "") -> websockets.ClientConnection:
    """A WebSocket that has heard its echo."""
    headers = {"Cookie": cookie.removeprefix("Cookie: ")} if cookie else {}
    url = f"ws://localhost:{stage.port}{path}"
    socket = await stack.enter_async_context(websockets.connect(url, additional_headers=headers, proxy=None))
    await echoes(socket)
    return socket


async def echoes(socket: websockets.ClientConnection) -> None:
    await socket.send("hello")
    assert await socket.recv() == "hello"


async def told(socket: websockets.ClientConnection) -> Close | None:
    """What it is told when it ends; nothing else comes before."""
    await socket.wait_closed()
    return socket.protocol.close_rcvd


async def test_a_sign_out_tells_the_sockets_of_that_session_and_the_tool_and_a_stop_tells_the_others() -> None:
    tool = Echo()
    async with AsyncExitStack() as sockets, Visitor() as one, Visitor() as two:
        async with on_stage(tool=tool.app(), access={"public": ["GET /open"]}) as stage:
            theirs, others = await signed_in(stage, one), await signed_in(stage, two, "Reviewer")
            ended = [await opened(sockets, stage, "/theirs", theirs) for _ in range(2)]
            going_on = [
                await opened(sockets, stage, "/others", others),
                await opened(sockets, stage, "/open"),
            ]
            assert (await stage.ask("/oauth2/sign_out", theirs, WANTED)).status == 200
            await stage.proxy.look()
            for _ in range(3):  # as once a second
                await stage.proxy.look()
            assert [await told(socket) for socket in ended] == [Close(*SESSION_OVER)] * 2
            await until(lambda: len(tool.told) == 2)
            assert tool.told == [("theirs", *SESSION_OVER)] * 2
            for socket in going_on:
                await echoes(socket)
            tool.told.clear()
        assert [await told(socket) for socket in going_on] == [Close(*STOPPING)] * 2
    assert sorted(tool.told) == [("open", *STOPPING), ("others", *STOPPING)]


async def test_a_process_that_has_handed_over_ends_its_sockets_with_a_reason_after_the_frame_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ends, "FRAME_ENDS", 30.0)
    has_begun, goes_on = asyncio.Event(), asyncio.Event()

    async def speak(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        assert request.transport is not None
        request.transport.write(b"\x82\x05half")
        has_begun.set()
        await goes_on.wait()
        request.transport.write(b"!")
        await socket.receive()
        return socket

    tool = web.Application()
    tool.add_routes([web.get("/open", speak)])
    async with on_stage(tool=tool, access={"public": ["GET /open"]}) as stage:
        settings = stage.settings.model_copy(update={"listen": Listen("127.0.0.1", 0)})
        async with running(settings, sys.stderr, stage.clock) as up:
            url = f"ws://localhost:{stage.port}/open"
            socket = await websockets.connect(url, host="127.0.0.1", port=up.listen.port, proxy=None)
            await has_begun.wait()
            leaving = asyncio.create_task(up.hand_over(0.0, settings))
            await asyncio.sleep(0.2)
            assert not leaving.done()
            goes_on.set()
            assert await socket.recv() == b"half!"
            assert await told(socket) == Close(*STOPPING)
            await leaving
