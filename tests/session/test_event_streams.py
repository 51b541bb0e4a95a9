"""A session's end ends an event stream where an event has ended: a browser asks again then, and is told 401."""

import asyncio
import gzip

import pytest

from tests.support.browser import Visitor
from tests.support.proxy import WANTED
from tests.support.raw_http import Wire, wired
from tests.support.units import PATIENCE

GOODBYE = b"11\r\n: session ended\n\n\r\n0\r\n\r\n"
STREAM = ("Content-Type: text/event-stream; charset=utf-8", "Transfer-Encoding: chunked")


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def streaming(*lines: str, body: bytes) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode() + body


async def after_sign_out(
    wire: Wire, visitor: Visitor, answer: bytes, body: bytes, version: str = "1.1"
) -> bytes | None:
    """What follows the tool's `body`, which the visitor has, once the session has ended; None for a reset."""
    login = await wire.login(visitor)
    wire.tool.says = lambda _: answer
    async with wire.connected() as (reader, writer), asyncio.timeout(PATIENCE):
        asking = wire.request("/feed", login.cookie, "Accept: text/event-stream")
        writer.write(asking.replace(b"HTTP/1.1", f"HTTP/{version}".encode(), 1))
        head = await reader.readuntil(b"\r\n\r\n")
        came = b""
        while came != body:
            if b"chunked" in head:
                came += await reader.readexactly(int(await reader.readuntil(b"\r\n"), 16))
                await reader.readexactly(2)
            else:
                came += await reader.read(len(body))
        assert (await wire.ask("/oauth2/sign_out", login.cookie, WANTED)).status == 200
        await wire.stage.proxy.look()
        try:
            return await reader.read()
        except ConnectionError:
            return None


BOUNDARIES = [
    (b"data: 1\n\n",),
    (b"data: 1\n\n: comment\n\n",),
    (b"data: 1\r\n\r\n",),
    (b"data: 1\r\r",),
    (b"data: 1\n", b"\n"),
    (b"data: 1\r\n", b"\r", b"\n"),
    (b"d", b"ata: 1", b"\n", b"\n"),
]


@pytest.mark.parametrize("pieces", BOUNDARIES)
async def test_between_two_events_the_last_word_is_a_comment_and_the_end_is_clean(
    visitor: Visitor, pieces: tuple[bytes, ...]
) -> None:
    async with wired() as wire:
        answer = streaming(*STREAM, body=chunks(*pieces))
        rest = await after_sign_out(wire, visitor, answer, b"".join(pieces))
    assert rest == GOODBYE


async def test_before_the_first_event_too(visitor: Visitor) -> None:
    async with wired() as wire:
        assert await after_sign_out(wire, visitor, streaming(*STREAM, body=b""), b"") == GOODBYE


HALVES = [(b"data: 1\n",), (b"data: hal",), (b"data: 1\n\ndata: 2\r\n",), (b"data: 1\n\n", b"i"), (b"data: 1\r",)]


@pytest.mark.parametrize("pieces", HALVES)
async def test_half_an_event_is_cut(visitor: Visitor, pieces: tuple[bytes, ...]) -> None:
    async with wired() as wire:
        rest = await after_sign_out(wire, visitor, streaming(*STREAM, body=chunks(*pieces)), b"".join(pieces))
    assert rest is None


async def test_a_stream_that_a_comment_would_garble_is_cut(visitor: Visitor) -> None:
    packed = gzip.compress(b"data: 1\n\n") + b"\n\n"
    async with wired() as wire:
        coded = streaming(*STREAM, "content-encoding: gzip", body=chunks(packed))
        assert await after_sign_out(wire, visitor, coded, packed) is None
    async with wired() as wire, Visitor() as other:
        counted = streaming(STREAM[0], "Content-Length: 100", body=b"data: 1\n\n")
        assert await after_sign_out(wire, other, counted, b"data: 1\n\n") is None
    async with wired() as wire, Visitor() as third:
        download = streaming("Content-Type: text/plain", STREAM[1], body=chunks(b"data: 1\n\n"))
        assert await after_sign_out(wire, third, download, b"data: 1\n\n") is None


async def test_to_a_front_proxy_of_http_1_0_the_end_of_the_connection_is_the_end(visitor: Visitor) -> None:
    answer = streaming(*STREAM, body=chunks(b"data: 1\n\n"))
    async with wired() as wire:
        rest = await after_sign_out(wire, visitor, answer, b"data: 1\n\n", version="1.0")
        assert rest == b": session ended\n\n"
    half = streaming(*STREAM, body=chunks(b"data: 1"))
    async with wired() as wire, Visitor() as other:
        assert await after_sign_out(wire, other, half, b"data: 1", version="1.0") is None


async def test_a_stop_cuts_so_that_whoever_reads_a_stream_by_itself_asks_again(visitor: Visitor) -> None:
    async with wired() as wire:
        login = await wire.login(visitor)
        wire.tool.says = lambda _: streaming(*STREAM, body=chunks(b"data: 1\n\n"))
        async with wire.connected() as (reader, writer), asyncio.timeout(PATIENCE):
            writer.write(wire.request("/feed", login.cookie, "Accept: text/event-stream"))
            await reader.readuntil(b"data: 1\n\n\r\n")
            wire.stage.proxy.end_streams()
            with pytest.raises(ConnectionError):
                await reader.read()
