"""Whoever does not read is not buffered for, whatever the transport's `writelines` does about a full buffer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import pytest

from tests.support.messages import GET_MORE, OK_LINE
from tests.support.tool import Peer, Tool, a_stage

SIZE = 128 * 1_048_576
PIECE = bytes(65536)
FRAMINGS = {
    b"Content-Length: %d\r\n\r\n" % SIZE: PIECE,
    b"Transfer-Encoding: chunked\r\n\r\n": b"%x\r\n%b\r\n" % (len(PIECE), PIECE),
}


class NeverFull(asyncio.SelectorEventLoop):
    """asyncio's own loop as Python 3.12.0 to 3.12.8, 3.13.0 and 3.13.1 have it: `writelines` pauses nobody."""

    def _make_socket_transport(self, *args: Any, **named: Any) -> Any:
        make: Callable[..., Any] = super()._make_socket_transport  # type: ignore[misc]
        transport = make(*args, **named)
        transport.writelines = partial(_without_a_word, transport)
        return transport


def _without_a_word(transport: Any, pieces: Sequence[bytes]) -> None:
    transport._maybe_pause_protocol = lambda: None  # noqa: SLF001 - asyncio's own, which those versions do not call
    try:
        transport.write(b"".join(pieces))
    finally:
        del transport._maybe_pause_protocol  # noqa: SLF001 - the same


class Sender:
    """Sends SIZE bytes for as long as somebody takes them."""

    def __init__(self) -> None:
        self.sent = 0

    async def send(self, peer: Peer, framed: bytes) -> None:
        while self.sent < SIZE:
            peer.writer.write(framed)
            await peer.writer.drain()
            self.sent += len(PIECE)

    async def stuck_at(self) -> int:
        """Wait until nothing moves any more."""
        before = -1
        while before != self.sent or not before:
            before = self.sent
            await asyncio.sleep(0.1)
        return before


async def _download(framing: bytes) -> int:
    sender = Sender()

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await peer.send(OK_LINE + framing)
        await sender.send(peer, FRAMINGS[framing])

    async with a_stage(play) as (_, door):
        visitor = await door.visitor()
        await visitor.send(GET_MORE)
        await visitor.head()
        stuck = await sender.stuck_at()
        visitor.hang_up()
        return stuck


async def _upload(framing: bytes) -> int:
    sender = Sender()

    async def play(tool: Tool, peer: Peer) -> None:
        await tool.asked(peer)
        await asyncio.Event().wait()

    async with a_stage(play) as (_, door):
        visitor = await door.visitor()
        await visitor.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing)
        sending = asyncio.create_task(sender.send(visitor, FRAMINGS[framing]))
        stuck = await sender.stuck_at()
        sending.cancel()
        visitor.hang_up()
        return stuck


@pytest.mark.parametrize("way", [_download, _upload])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_side_that_does_not_read_stops_the_other_where_writelines_pauses_nobody(
    way: Callable[[bytes], Awaitable[int]], framing: bytes
) -> None:
    """128 MiB want through; what the proxy holds and the sockets buffer is far less."""

    async def stuck() -> int:
        return await way(framing)

    with asyncio.Runner(loop_factory=NeverFull) as runner:
        assert runner.run(stuck()) < SIZE // 2
