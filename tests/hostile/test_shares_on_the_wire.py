"""One visitor's trouble is nobody else's: whoever takes all they can get of the tool leaves the others theirs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from oauth_proxy.demo.people import EDITOR
from tests.support.browser import Visitor
from tests.support.raw_http import HANDSHAKE, PUBLIC, TOOL_BYTES, Login, Wire, wired
from tests.support.tool import until

SHARE = 128
TRUSTING = {"trusted_proxies": ["127.0.0.1"], "access": {"public": PUBLIC, "bearer": True}}


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """A proxy behind another one, which says whose address a request comes from."""
    async with wired(**TRUSTING) as plain:
        yield plain


async def take(wire: Wire, stack: AsyncExitStack, request: bytes, times: int) -> list[asyncio.StreamReader]:
    """So many connections that have sent this and wait."""
    readers = []
    for _ in range(times):
        reader, writer = await stack.enter_async_context(wire.connected())
        writer.write(request)
        readers.append(reader)
    return readers


def an_upload(wire: Wire, target: str, *lines: str) -> bytes:
    """One that is never finished."""
    return wire.request(target, *lines, "Content-Length: 1000000", method="POST") + b"x"


async def refused(readers: list[asyncio.StreamReader]) -> list[bytes]:
    """What those were told that got an answer."""
    done, waiting = await asyncio.wait([asyncio.create_task(each.readline()) for each in readers], timeout=0.2)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    return [task.result() for task in done]


@pytest.mark.parametrize("who", ["a session", "a program"])
async def test_a_visitor_with_every_upload_they_can_send_leaves_the_tool_to_the_others(
    wire: Wire, editor: Login, visitor: Visitor, who: str
) -> None:
    token = wire.stage.frameio.developer_token(EDITOR)
    own = editor.cookie if who == "a session" else f"Authorization: Bearer {token}"
    async with Visitor() as second, AsyncExitStack() as stack:
        other = await wire.login(second, person="Editor")
        readers = await take(wire, stack, an_upload(wire, "/page", own), 3 * SHARE)
        await until(lambda: wire.tool.open == SHARE)
        for _ in range(20):
            assert (await wire.ask("/page", other.cookie)).body == TOOL_BYTES
            assert (await wire.ask("/assets/a.js")).body == TOOL_BYTES
        told = await refused(readers)
        assert set(told) == {b"HTTP/1.1 429 Too Many Requests\r\n"}
        assert len(told) == SHARE
        assert wire.tool.open <= SHARE + 2


async def test_a_stranger_who_takes_public_paths_leaves_them_to_other_addresses(wire: Wire) -> None:
    """Neighbours in one IPv6 /64 are one stranger: it is one customer's, who has 2 ** 64 addresses."""
    neighbours = [f"X-Forwarded-For: 2001:db8:1:2::{number:x}" for number in range(2 * SHARE)]
    async with AsyncExitStack() as stack:
        for line in neighbours:
            await take(wire, stack, an_upload(wire, "/hook", line), 1)
        await until(lambda: wire.tool.open == SHARE)
        for address in ("2001:db8:1:3::1", "192.0.2.1"):
            answer = await wire.ask("/hook", f"X-Forwarded-For: {address}", method="POST", body=b"x")
            assert answer.body == TOOL_BYTES
        assert wire.tool.open <= SHARE + 2


async def test_a_visitor_with_every_websocket_they_can_open_leaves_the_others_theirs(
    wire: Wire, editor: Login, visitor: Visitor
) -> None:
    for upstream in wire.stage.proxy.upstreams.by_prefix.values():
        upstream.tunnel_shares.each = 20  # of 2048, which is more sockets than a test needs
    async with Visitor() as second, AsyncExitStack() as stack:
        other = await wire.login(second)
        readers = await take(wire, stack, wire.request("/live", *HANDSHAKE, editor.cookie), 25)
        told = [await reader.readline() for reader in readers]
        assert sorted(told)[-5:] == [b"HTTP/1.1 429 Too Many Requests\r\n"] * 5
        assert (await wire.handshake("/live", other.cookie)).status == 101
        assert (await wire.ask("/page", editor.cookie)).body == TOOL_BYTES
        assert wire.tool.open <= 22
