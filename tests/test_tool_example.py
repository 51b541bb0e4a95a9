"""The aiohttp tool of docs/tool-api.md: over a WebSocket it goes on when the handshake's token is dead."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
import websockets

from oauth_proxy.demo.people import EDITOR
from tests.support.browser import Visitor
from tests.support.examples import EXAMPLES, example
from tests.support.proxy import free_port
from tests.support.sessions import refreshes
from tests.support.tool_api import with_tool_api, works
from tests.support.units import HOUR, PATIENCE


@pytest.mark.parametrize("by", ["port", "socket"])
async def test_the_aiohttp_tool_calls_frameio_when_the_handshakes_token_is_long_dead(
    visitor: Visitor, tmp_path: Path, by: str
) -> None:
    port = free_port()
    listen = f"127.0.0.1:{free_port()}" if by == "port" else f"unix:{tmp_path}/tool.sock"
    async with with_tool_api(tool_api={"listen": listen}, upstreams={"/": f"http://127.0.0.1:{port}"}) as stage:
        environ = {
            "TOOL_API": f"http://{listen}" if by == "port" else listen,
            "FRAMEIO_ME": f"{stage.frameio_url}/v2/me",
        }
        async with example(sys.executable, EXAMPLES / "aiohttp_tool.py", str(port), port=port, environ=environ):
            assert "Ask Frame.io" in await (await visitor.login(f"{stage.url}/")).text()
            [first] = stage.frameio.issued("access")
            headers = {"Cookie": visitor.cookie_line(stage.url).removeprefix("Cookie: ")}
            url = f"ws://localhost:{stage.port}/socket"
            async with websockets.connect(url, additional_headers=headers) as socket:
                for hour in range(3):
                    assert EDITOR.email in await told(socket)
                    assert refreshes(stage) == hour
                    stage.clock.advance(HOUR)
                assert not await works(stage, first), "what it got with the handshake"
                await visitor.get(f"{stage.url}/oauth2/sign_out")
                with pytest.raises(websockets.ConnectionClosed):
                    await told(socket)


async def told(socket: websockets.ClientConnection) -> str:
    """What Frame.io answers the tool, for which it was 200."""
    await socket.send("who")
    async with asyncio.timeout(PATIENCE):
        answer = await socket.recv(decode=True)
    status, _, body = answer.partition(" ")
    assert status == "200", answer
    return str(json.loads(body)["email"])
