"""Calls at a webhook's path that look signed until their last byte: what is held of them has a bound."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from oauth_proxy.upstream import whole
from oauth_proxy.upstream.whole import Room
from tests.support.proxy import RawAnswer
from tests.support.raw_http import TOOL_BYTES, Wire, wired
from tests.support.tool import until
from tests.support.units import MIB
from tests.support.webhooks import HOOKS, signed_lines
from tests.tally import tried

STRANGERS = 40


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """A proxy with a webhook, behind another one, which says whose address a call comes from."""
    async with wired(webhooks=HOOKS, trusted_proxies=["127.0.0.1"]) as plain:
        yield plain


def lines(wire: Wire, body: bytes, address: str = "192.0.2.1") -> list[str]:
    """What Frame.io sends with this body."""
    return [*signed_lines(body, wire.stage.clock.now), f"X-Forwarded-For: {address}"]


def bodies(wire: Wire) -> Room:
    return wire.stage.proxy.gateway.bodies.room


async def strange_calls(
    wire: Wire, stack: AsyncExitStack, framing: str, *, one: bool
) -> list[asyncio.Task[bytes]]:
    """So many strangers who send all of a body but its last byte; each task ends with an answer."""
    tasks = []
    for number in range(STRANGERS):
        reader, writer = await stack.enter_async_context(wire.connected())
        address = "2001:db8::1" if one else f"2001:db8:0:{number:x}::1"
        head = wire.request("/hooks/frameio", *lines(wire, b"other", address), framing, method="POST")
        writer.write(head + (b"fffff\r\n" if "chunked" in framing else b"") + bytes(MIB - 1))
        tasks.append(asyncio.create_task(reader.readuntil(b"\r\n\r\n")))
    return tasks


@pytest.mark.parametrize("framing", [f"Content-Length: {MIB}", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize(
    ("one", "bound"), [(False, whole.MOST_HELD), (True, whole.MOST_OF_ONE)], ids=["everybody", "one address"]
)
async def test_unsigned_bodies_are_held_up_to_a_bound_and_beyond_it_are_503(
    wire: Wire, framing: str, one: bool, bound: int
) -> None:
    async with AsyncExitStack() as stack:
        calls = await strange_calls(wire, stack, framing, one=one)
        most = bound // (MIB - 1)
        await until(lambda: sum(call.done() for call in calls) == STRANGERS - most)
        await until(lambda: bodies(wire).held == most * (MIB - 1))
        assert bodies(wire).held <= bound
        refusals = [RawAnswer.read(call.result()) for call in calls if call.done()]
        assert {(answer.status, answer.get("Retry-After")) for answer in refusals} == {(503, "5")}
        if one:
            answer = await wire.ask("/hooks/frameio", *lines(wire, b"kind"), method="POST", body=b"kind")
            assert answer.body == TOOL_BYTES
        for call in calls:
            call.cancel()
    await until(lambda: not bodies(wire).held)
    assert not bodies(wire).by_client
    answer = await wire.ask("/hooks/frameio", *lines(wire, b"kind"), method="POST", body=b"kind")
    assert answer.body == TOOL_BYTES
    assert {heard.body for heard in wire.tool.heard} == {b"kind"}


async def test_a_call_that_cannot_be_good_is_refused_before_its_body_is_asked_for(wire: Wire) -> None:
    good = lines(wire, b"body")
    late = [good[0], f"X-Frameio-Request-Timestamp: {int(wire.stage.clock.now) - 301}"]
    refused = [
        (["X-Frameio-Signature: v0=short", good[1]], 401, MIB),
        (late, 401, MIB),
        (good[1:], 401, MIB),
        (good, 413, MIB + 1),
    ]
    for headers, status, size in tried(refused):
        framing = [f"Content-Length: {size}", "Expect: 100-continue", "Connection: close"]
        [answer] = await wire.send(wire.request("/hooks/frameio", *headers, *framing, method="POST"))
        assert answer.status == status
    bodies(wire).held = whole.MOST_HELD - 3
    framing = ["Content-Length: 4", "Expect: 100-continue", "Connection: close"]
    [answer] = await wire.send(wire.request("/hooks/frameio", *good, *framing, method="POST"))
    assert answer.status == 503
    bodies(wire).held = 0
    assert not wire.tool.heard


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS"])
async def test_another_method_at_a_webhooks_path_is_refused_before_its_body_is_held(
    wire: Wire, method: str
) -> None:
    head = wire.request("/hooks/frameio", *lines(wire, b"x"), f"Content-Length: {MIB}", method=method)
    async with wire.connected() as (reader, writer):
        writer.write(head + bytes(MIB // 2))
        assert (await reader.readline()).startswith(b"HTTP/1.1 405 ")
        assert not bodies(wire).held


@pytest.mark.parametrize("goes", ["slowly", "away", "wrong"])
async def test_a_body_that_was_given_up_is_held_no_longer(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, goes: str
) -> None:
    if goes == "slowly":
        monkeypatch.setattr(whole, "DEADLINE", 0.05)
    size = 4 if goes == "wrong" else 5
    head = wire.request("/hooks/frameio", *lines(wire, b"other"), f"Content-Length: {size}", method="POST")
    async with wire.connected() as (reader, writer):
        writer.write(head + b"evil")
        if goes == "away":
            await until(lambda: bodies(wire).held == 4)
            writer.transport.abort()
        else:
            status = b"401" if goes == "wrong" else b"408"
            assert (await reader.readline()).startswith(b"HTTP/1.1 " + status)
        await until(lambda: not bodies(wire).held)
    assert not wire.tool.heard
