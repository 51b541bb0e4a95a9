"""What a Mac's sockets do otherwise than Linux's, as far as this can be had on Linux."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.support.messages import GET, GET_MORE
from tests.support.tool import Peer, Play, Tool, a_stage, saying, until

HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"


class NoOptions:
    """A socket whose other end has reset the connection: on macOS no option can be set any more."""

    def __init__(self, sock: Any, *, accepted: bool) -> None:
        self._sock = sock
        self._accepted = accepted

    def setsockopt(self, level: int, option: int, _: object) -> None:
        if not (self._accepted and option == socket.SO_KEEPALIVE):  # aiohttp sets that: reset a moment later
            raise OSError(errno.EINVAL, "Invalid argument")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class ResetAtOnce(asyncio.SelectorEventLoop):
    """A loop with nothing but such sockets."""

    def _make_socket_transport(self, *args: Any, **named: Any) -> Any:
        make: Callable[..., Any] = super()._make_socket_transport  # type: ignore[misc]
        transport = make(*args, **named)
        sockets = transport._extra  # noqa: SLF001 - asyncio has no public way to put another socket there
        sockets["socket"] = NoOptions(sockets["socket"], accepted=named.get("server") is not None)
        return transport


def halfway(leave: asyncio.Event) -> Play:
    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(HALF)
        await leave.wait()

    return play


def run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=ResetAtOnce) as runner:
        runner.run(main)


def test_a_tools_connection_of_which_no_option_can_be_set_is_used_all_the_same() -> None:
    async def main() -> None:
        async with a_stage(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")) as (tool, door):
            for _ in range(2):
                assert (await door.ask(GET)).endswith(b"hi")
            assert tool.connections == 1

    run(main())


def test_a_visitor_who_cannot_be_reset_is_cut_off_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        leave = asyncio.Event()
        async with a_stage(halfway(leave)) as (_, door):
            visitor = await door.visitor()
            await visitor.send(GET_MORE)
            await visitor.until(b"half")
            leave.set()
            await visitor.ends()
            await until(lambda: not door.tasks)
            await visitor.close()

    with caplog.at_level(logging.WARNING):
        run(main())
    assert [(each.name, each.exc_info) for each in caplog.records] == [("oauth_proxy.upstream.relay", None)]
