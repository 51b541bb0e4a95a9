"""Slow is not stalled: whoever takes something in time is waited for, whoever takes nothing is not."""

import asyncio
from typing import Any, cast

import pytest

from oauth_proxy.errors import UpstreamTimeout
from oauth_proxy.upstream import relay
from oauth_proxy.upstream.connection import UpstreamConnection
from tests.support.tool import until


class Slow:
    """A socket's transport whose buffer drains only as a test says; also the request it belongs to."""

    def __init__(self) -> None:
        self.unsent = 1000
        self.writer = self
        self.drained = asyncio.Event()

    def get_write_buffer_size(self) -> int:
        self.unsent -= self.takes
        return self.unsent

    async def drain(self) -> None:
        await self.drained.wait()

    takes = 0


async def waited_for(visitor: Slow, monkeypatch: pytest.MonkeyPatch) -> "asyncio.Task[None]":
    """The wait for a visitor who has taken a little, and takes a little more each time it is looked."""
    monkeypatch.setattr(relay, "STALL", 0.001)
    visitor.takes = 10
    waiting = asyncio.create_task(relay.caught_up(cast(Any, visitor), cast(Any, visitor)))
    await until(lambda: visitor.unsent <= 900)
    return waiting


async def test_a_visitor_who_takes_a_little_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = Slow()
    waiting = await waited_for(visitor, monkeypatch)
    assert not waiting.done()
    visitor.drained.set()
    await waiting


async def test_a_visitor_who_stops_taking_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = Slow()
    waiting = await waited_for(visitor, monkeypatch)
    visitor.takes = 0
    with pytest.raises(relay.CutShort):
        await waiting


async def test_a_tool_that_takes_a_little_is_waited_for_and_one_that_stops_is_not() -> None:
    connection = UpstreamConnection(lambda _: None, 0.001)
    tool = Slow()
    tool.takes = 10
    connection.transport = cast(Any, tool)
    connection.pause_writing()
    waiting = asyncio.create_task(connection.drain())
    await until(lambda: tool.unsent <= 900)
    assert not waiting.done()
    connection.resume_writing()
    await waiting
    connection.pause_writing()
    tool.takes = 0
    with pytest.raises(UpstreamTimeout):
        await connection.drain()
