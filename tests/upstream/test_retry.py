"""Connections that were hung up on: what is asked again, once, and what never is."""

import asyncio

import pytest

from oauth_proxy.upstream.pool import QUIET
from tests.support.messages import GET, OK
from tests.support.tool import Peer, Play, Tool, a_stage


def dying(after: int) -> Play:
    """A tool whose connections answer so often, and hang up on the next request without a word."""

    async def play(tool: Tool, peer: Peer) -> None:
        for _ in range(after):
            await tool.asked(peer)
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await tool.asked(peer)

    return play


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"])
async def test_a_stale_connection_is_replaced_once_without_a_word(method: bytes) -> None:
    async with a_stage(dying(1)) as (tool, door):
        for asked in (GET, GET.replace(b"GET", method)):
            answer = await door.ask(asked)
            assert answer.startswith(b"HTTP/1.1 200 ")
        assert (tool.connections, len(tool.heads)) == (2, 3)


async def test_a_body_in_hand_is_sent_again_with_its_request() -> None:
    async with a_stage(dying(1)) as (tool, door):
        await door.ask(GET)
        answer = await door.ask(b"PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert tool.connections == 2


@pytest.mark.parametrize("method", [b"POST", b"PATCH"])
async def test_what_might_be_done_twice_is_not_sent_twice(method: bytes) -> None:
    async with a_stage(dying(1)) as (tool, door):
        await door.ask(GET)
        await asyncio.sleep(2 * QUIET)  # until then a POST gets a connection of its own
        answer = await door.ask(GET.replace(b"GET", method))
        assert answer.startswith(b"HTTP/1.1 502 ")
        assert len(tool.heads) == 2


async def test_a_body_that_was_streamed_is_not_sent_twice() -> None:
    async with a_stage(dying(1)) as (tool, door):
        await door.ask(GET)
        await asyncio.sleep(2 * QUIET)
        visitor = await door.visitor()
        await visitor.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
        assert (await visitor.head()).startswith(b"HTTP/1.1 502 ")
        assert len(tool.heads) == 2
        visitor.hang_up()


async def test_a_fresh_connection_that_dies_is_not_tried_again() -> None:
    async with a_stage(dying(0)) as (tool, door):
        assert (await door.ask(GET)).startswith(b"HTTP/1.1 502 ")
        assert len(tool.heads) == 1


async def test_an_answer_that_has_begun_is_not_asked_for_again() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(OK)
        await tool.asked(peer)
        await peer.send(b"H")

    async with a_stage(play) as (tool, door):
        await door.ask(GET)
        assert (await door.ask(GET)).startswith(b"HTTP/1.1 502 ")
        assert len(tool.heads) == 2
