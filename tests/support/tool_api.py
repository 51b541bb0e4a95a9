"""A tool that asks for tokens, as the tests of the tool API see it: on the wire, at a listener of its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession

from tests.support.proxy import RawAnswer, Stage, free_port, on_stage
from tests.support.units import PATIENCE

HANDLE = "X-OAuth-Proxy-Handle"


@asynccontextmanager
async def with_tool_api(**changes: Any) -> AsyncIterator[Stage]:
    """A stage whose tools may ask at a loopback port; `changes` are those of `on_stage`."""
    async with on_stage(**{"tool_api": {"listen": f"127.0.0.1:{free_port()}"}, **changes}) as stage:
        yield stage


@asynccontextmanager
async def connected(stage: Stage) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the tool API."""
    assert stage.settings.tool_api
    at = stage.settings.tool_api.listen
    opening = asyncio.open_unix_connection(at.path) if at.path else asyncio.open_connection(at.host, at.port)
    reader, writer = await opening
    try:
        yield reader, writer
    finally:
        writer.close()


async def said(stage: Stage, data: bytes) -> bytes:
    """All that is answered to these bytes, until it hangs up."""
    async with connected(stage) as (reader, writer), asyncio.timeout(PATIENCE):
        writer.write(data)
        return await reader.read()


async def asked(stage: Stage, *handles: str, path: str = "/token", method: str = "GET") -> RawAnswer:
    """The answer to a tool that has these handles, which is one unless it is mad."""
    lines = [f"{method} {path} HTTP/1.1", "Host: tool-api", "Connection: close"]
    lines += [f"{HANDLE}: {handle}" for handle in handles]
    return RawAnswer.read(await said(stage, "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n"))


async def token(stage: Stage, handle: str) -> str:
    """The access token that the handle gives; it must."""
    answer = await asked(stage, handle)
    assert answer.status == 200, answer
    return str(json.loads(answer.body)["access_token"])


def received(answer: RawAnswer, name: str = HANDLE) -> list[str]:
    """The values of a header as the tool echoes it, in whatever case and punctuation it came."""
    assert answer.status == 200, answer
    lines = json.loads(answer.body)["headers"]
    return [value for each, value in lines if each.replace("_", "-").lower() == name.lower()]


async def handle_of(stage: Stage, cookie: str) -> str:
    """The handle that the tool receives with the visitor's request."""
    [handle] = received(await stage.ask("/echo", cookie))
    return handle


async def works(stage: Stage, access_token: str) -> bool:
    """Whether Frame.io takes the token."""
    headers = {"Authorization": f"Bearer {access_token}"}
    async with ClientSession() as http, http.get(f"{stage.frameio_url}/v2/me", headers=headers) as answer:
        return answer.status == 200
