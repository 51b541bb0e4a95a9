import asyncio
import hashlib
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import WSServerHandshakeError, web

from oauth_proxy.demo.faults import Fault
from tests.support.browser import Visitor
from tests.support.front_proxies import APACHE_IN_FRONT, Scene
from tests.support.proxy import PROGRAM
from tests.support.units import HOUR, PATIENCE

MEGABYTE = bytes(range(256)) * 4096


async def test_a_websocket_speaks_through_the_front(scene: Scene, visitor: Visitor) -> None:
    await visitor.login(f"{scene.url}/echo")
    async with visitor.session.ws_connect(f"{scene.url}/clock") as socket, asyncio.timeout(PATIENCE):
        assert (await socket.receive_str()).count(":") == 2
        await socket.send_str("heard")
        assert (await socket.receive_str()).count(":") == 2


async def test_a_websocket_s_handshake_brings_the_refreshed_cookie(scene: Scene, visitor: Visitor) -> None:
    await visitor.login(f"{scene.url}/echo")
    scene.clock.advance(HOUR)
    async with visitor.session.ws_connect(f"{scene.url}/clock") as socket:
        await socket.receive_str()
    await scene.restart()
    async with visitor.session.get(f"{scene.url}/echo", headers=PROGRAM) as answer:
        assert answer.status == 200
    assert scene.frameio.calls["token:refresh_token"] == 1


async def test_a_stranger_s_websocket_is_refused_before_the_tool_hears_of_it(
    scene: Scene, visitor: Visitor
) -> None:
    with pytest.raises(WSServerHandshakeError) as refused:
        await visitor.session.ws_connect(f"{scene.url}/clock")
    assert refused.value.status == 401
    assert not scene.tool_requests


async def test_events_arrive_as_they_happen(scene: Scene, visitor: Visitor) -> None:
    await visitor.login(f"{scene.url}/echo")
    async with visitor.session.get(f"{scene.url}/feed") as feed, asyncio.timeout(PATIENCE):
        assert await feed.content.readline() == b"id: 1\n"


async def test_a_large_upload_streams_to_the_tool_and_arrives_whole(scene: Scene, visitor: Visitor) -> None:
    arrived = asyncio.Event()

    async def receive(request: web.Request) -> web.StreamResponse:
        digest = hashlib.sha256()
        async for piece in request.content.iter_any():
            arrived.set()
            digest.update(piece)
        return web.json_response(digest.hexdigest())

    async def upload() -> AsyncIterator[bytes]:
        yield MEGABYTE
        async with asyncio.timeout(PATIENCE):
            await arrived.wait()  # a front that gathers the whole first would never come past this
        for _ in range(31):
            yield MEGABYTE

    scene.routes["/receive"] = receive
    await visitor.login(f"{scene.url}/echo")
    size = {"Content-Length": str(32 * len(MEGABYTE))}
    for framing in ({}, size):
        arrived.clear()
        async with visitor.session.put(f"{scene.url}/receive", data=upload(), headers=PROGRAM | framing) as answer:
            assert json.loads(await answer.text()) == hashlib.sha256(MEGABYTE * 32).hexdigest()


@pytest.mark.parametrize("status", [401, 503])
async def test_an_upload_that_is_refused_is_refused_at_once(scene: Scene, visitor: Visitor, status: int) -> None:
    refused = asyncio.Event()
    # Apache says nothing before it has read the whole; but it asks first, so that what it says then is ours.
    is_late = scene.recipe is APACHE_IN_FRONT
    if status == 503:
        await visitor.login(f"{scene.url}/echo")
        scene.clock.advance(HOUR)
        scene.frameio.faults.plan("token", Fault.SERVER_ERROR)

    async def upload() -> AsyncIterator[bytes]:
        for _ in range(64):  # Caddy says nothing while it waits for more of a body, so it gets more
            if not refused.is_set():
                yield MEGABYTE
        if not is_late:
            await refused.wait()
            raise ConnectionError("the rest is not sent")

    size = {"Content-Length": str(64 * len(MEGABYTE) if is_late else 10**12)}
    async with asyncio.timeout(PATIENCE):
        sending = visitor.session.post(f"{scene.url}/upload", data=upload(), headers=PROGRAM | size)
        async with sending as answer:
            assert answer.status == status
            assert (await answer.json())["request_id"]
            refused.set()
    assert "/upload" not in [request.path for request in scene.tool_requests]


async def test_a_large_download_arrives_whole(scene: Scene, visitor: Visitor) -> None:
    await visitor.login(f"{scene.url}/echo")
    async with visitor.session.get(f"{scene.url}/download?bytes=33554432") as answer:
        assert len(await answer.read()) == 33554432
