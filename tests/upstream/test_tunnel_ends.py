"""How a tunnel ends: whoever leaves, in whichever way, the other learns of it and nothing stays open."""

import asyncio
from contextlib import suppress

import pytest

from oauth_proxy.upstream.ends import Tunnel, TunnelSide
from tests.support.tool import Door, Peer, Tool, a_stage, a_tool, until
from tests.support.websocket import HANDSHAKE, SWITCH, switching


async def test_half_a_close_is_passed_on_and_the_other_half_still_speaks() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(SWITCH)
        heard = await peer.rest()
        await peer.send(b"last words after " + heard)

    async with a_stage(play) as (_, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE)
        await visitor.head()
        await visitor.send(b"mine")
        visitor.writer.write_eof()
        assert await visitor.rest() == b"last words after mine"
        await until(lambda: door.upstream.tunnels == 0 and len(door.answers) == 1)
        await visitor.close()


async def test_a_visitor_who_vanishes_takes_the_tools_side_along() -> None:
    async with a_stage(switching(b"")) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE)
        await visitor.head()
        assert (tool.open, door.upstream.tunnels) == (1, 1)
        visitor.hang_up()
        await until(lambda: tool.open == 0 and door.upstream.tunnels == 0 and not door.tasks)


async def test_a_tool_that_vanishes_takes_the_visitors_side_along() -> None:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(SWITCH)
        await peer.exactly(1)
        peer.hang_up()

    async with a_stage(play) as (_, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE)
        await visitor.head()
        await visitor.send(b"x")
        assert await visitor.ends()
        await until(lambda: door.upstream.tunnels == 0 and not door.tasks)
        await visitor.close()


async def test_what_comes_for_an_end_that_is_closed_is_dropped() -> None:
    """uvloop's closed transports refuse to be written to, and one side's last words may cross the other's end."""
    loop = asyncio.get_running_loop()
    async with a_tool(switching(b"")) as (tool, address):
        closed, _ = await loop.create_connection(asyncio.Protocol, address.host, address.port)
        closed.abort()
        await until(lambda: tool.connections == 1 and tool.open == 0)
        tunnel = Tunnel(closed, closed)
        end = TunnelSide(asyncio.Protocol(), tunnel, tunnel.visitor, tunnel.tool)
        end.connection_lost(None)
        assert tunnel.is_over
        end.get_buffer(-1)[:4] = b"late"
        end.buffer_updated(4)
        end.eof_received()


@pytest.mark.parametrize("leaver", ["visitor", "tool"])
async def test_a_reset_in_the_middle_of_loud_talk_is_quiet(leaver: str, caplog: pytest.LogCaptureFixture) -> None:
    async def shout(peer: Peer, leaves: bool) -> None:
        with suppress(ConnectionError):
            for turn in range(200):
                await peer.send(bytes(10000))
                if leaves and turn == 20:
                    peer.hang_up()
                    return

    async def listen(peer: Peer) -> None:
        with suppress(ConnectionError):
            await peer.rest()

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(SWITCH)
        await asyncio.gather(shout(peer, leaver == "tool"), listen(peer))

    async def visit(door: Door) -> None:
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE)
        await visitor.head()
        await asyncio.gather(shout(visitor, leaver == "visitor"), listen(visitor))
        visitor.hang_up()

    async with a_stage(play) as (tool, door):
        await asyncio.gather(*(visit(door) for _ in range(20)))
        await until(lambda: tool.open == 0 and door.upstream.tunnels == 0 and not door.tasks)
    assert not caplog.records


async def test_cancelling_the_handler_ends_both_sides() -> None:
    async with a_stage(switching(b"")) as (tool, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE)
        await visitor.head()
        for task in list(door.tasks):
            task.cancel()
        assert await visitor.ends()
        await until(lambda: tool.open == 0 and door.upstream.tunnels == 0)
        await visitor.close()


async def test_a_silent_tunnel_outlives_the_tools_timeout() -> None:
    async with a_stage(switching(b""), timeout=0.1) as (_, door):
        visitor = await door.visitor()
        await visitor.send(HANDSHAKE)
        await visitor.head()
        await asyncio.sleep(0.4)
        await visitor.send(b"still here")
        assert await visitor.exactly(10) == b"still here"
        await visitor.close()
