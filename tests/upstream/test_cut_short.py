"""Answers that break off: what has begun never ends as if it were whole, what has not is a page of ours."""

import asyncio
import logging

import pytest

from oauth_proxy.errors import UpstreamNonsense, UpstreamUnreachable
from oauth_proxy.upstream import relay as response_module
from tests.support.messages import CHUNKED, GET, GET_MORE, OK_LINE
from tests.support.tool import Peer, Tool, a_stage, until


@pytest.mark.parametrize(
    "answer",
    [
        OK_LINE + b"Content-Length: 10\r\n\r\nhalf",
        CHUNKED + b"4\r\nhalf\r\n",
        CHUNKED + b"8\r\nhalf",
        CHUNKED + b"4\r\nhalf\r\n0\r\n",
    ],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("by_reset", [True, False])
async def test_half_an_answer_never_ends_cleanly(
    answer: bytes, version: bytes, by_reset: bool, caplog: pytest.LogCaptureFixture
) -> None:
    leave = asyncio.Event()

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(answer)
        await leave.wait()
        if by_reset:
            peer.hang_up()

    async with a_stage(play) as (_, door):
        visitor = await door.visitor()
        with caplog.at_level(logging.WARNING, logger="oauth_proxy"):
            await visitor.send(b"GET / HTTP/" + version + b"\r\nHost: a\r\n\r\n")
            await visitor.until(b"half")
            leave.set()
            with pytest.raises(ConnectionResetError):
                await visitor.rest()
        await until(lambda: door.upstream.open_connections == 0)
        assert [record.name for record in caplog.records] == ["oauth_proxy.upstream.relay"]
        await visitor.close()


async def test_nonsense_in_the_middle_of_a_body_cuts_the_visitor_off() -> None:
    go = asyncio.Event()

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(CHUNKED + b"4\r\nhalf\r\n")
        await go.wait()
        await peer.send(b"EVIL\r\n")
        await peer.rest()

    async with a_stage(play) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(GET_MORE)
        await visitor.until(b"half")
        go.set()
        with pytest.raises(ConnectionResetError):
            await visitor.rest()
        await until(lambda: tool.open == 0)
        await visitor.close()


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 20", OK_LINE + b"Content-Le", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
@pytest.mark.parametrize("by_reset", [True, False])
async def test_a_tool_that_hangs_up_before_its_answer_is_502(answer: bytes, by_reset: bool) -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(answer)
        if by_reset:
            await asyncio.sleep(0.01)
            peer.hang_up()

    async with a_stage(play) as (tool, door):
        answer = await door.ask(GET)
        assert answer.startswith(b"HTTP/1.1 502 ")
        assert len(door.errors) == tool.connections == 1
        assert isinstance(door.errors[0], UpstreamUnreachable)
        assert not isinstance(door.errors[0], UpstreamNonsense)


async def test_a_visitor_who_takes_nothing_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(response_module, "STALL", 0.1)

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(OK_LINE + b"Content-Length: 134217728\r\n\r\n")
        await peer.send(bytes(134_217_728))

    async with a_stage(play) as (tool, door):
        visitor = await door.visitor()
        with caplog.at_level(logging.WARNING, logger="oauth_proxy"):
            await visitor.send(GET_MORE)
            await until(lambda: tool.connections == 1 and tool.open == 0 and not door.tasks)
        assert "took nothing" in caplog.text
        with pytest.raises(ConnectionResetError):
            await visitor.rest()
        assert door.upstream.open_connections == 0
        await visitor.close()
