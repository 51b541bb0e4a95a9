"""A tool's answer on its way to the visitor: framed anew, otherwise the bytes that came.

The law: after the first byte there is no error page. An answer that cannot be finished is cut with a reset, so
that no visitor takes the part for the whole.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from email.utils import formatdate

from aiohttp import HttpVersion11, web

from oauth_proxy.stall import reset
from oauth_proxy.upstream.claims import Claims, for_one_visitor
from oauth_proxy.upstream.connection import UpstreamConnection
from oauth_proxy.upstream.head import Head

Lines = Sequence[tuple[bytes, bytes]]

STALL = 60.0
"""Seconds a visitor may take to send, or to accept, the next bytes."""
_JOINED = 16384
"""Bytes of body up to which copying is cheaper than writing in pieces."""

_log = logging.getLogger(__name__)


class Forwarded(web.StreamResponse):
    """What has been sent of an answer: by the time a handler returns it, everything is on the wire."""

    prepared = True
    status = 0
    body_length = 0
    keep_alive: bool | None = None

    def __init__(self, status: int, *, keep_alive: bool) -> None:
        # Not super().__init__(): nobody asks for the header lines and the state of what has been sent already.
        self.status = status
        self.keep_alive = keep_alive

    def force_close(self) -> None:
        """The connection closes after it."""
        self.keep_alive = False

    def count(self, size: int) -> None:
        """`size` more bytes of body were sent; the access log reads the sum as `body_length`."""
        self.body_length += size


class CutShort(Exception):
    """The answer cannot be finished."""


async def pass_on(
    request: web.BaseRequest,
    connection: UpstreamConnection,
    head: Head,
    *,
    claims: Claims,
    added: Lines,
    keep_alive: bool,
) -> Forwarded:
    """Send the answer that has begun with `head`, and the lines `added` after its own.

    What is complete already goes out in one write. An answer that was cut closes the visitor's connection, and one
    line in the log says why.
    """
    claims.strike(head)
    chunked = head.chunked or head.until_close
    if chunked and request.version < HttpVersion11:
        chunked = keep_alive = False  # the end of the connection is the end of the body
    opening = answer_head(head, request, added, chunked=chunked, keep_alive=keep_alive)
    response = Forwarded(head.status, keep_alive=keep_alive)
    transport = request.transport
    if connection.complete and transport is not None and not transport.is_closing():
        _send(transport, connection, response, opening, chunked=chunked)
        return response
    try:
        await _stream(request, connection, response, opening, chunked=chunked)
    except CutShort as cut:
        _log.warning("an answer was cut short: %s", cut)
        response.force_close()
        _cut(request.transport)
    except BaseException:
        _cut(request.transport)  # whoever catches this must not add an error page
        raise
    return response


def answer_head(head: Head, request: web.BaseRequest, added: Lines, *, chunked: bool, keep_alive: bool) -> bytes:
    """Status line, header lines and the empty line, as the visitor gets them."""
    if added:  # our cookies
        for_one_visitor(head)
    lines = b""
    for line in added:
        lines += b"%b: %b\r\n" % line
    if not head.dated:
        lines += b"Date: %b\r\n" % formatdate(usegmt=True).encode()  # RFC 9110 6.6.1
    if chunked:
        lines += b"Transfer-Encoding: chunked\r\n"
    if not keep_alive:
        lines += b"Connection: close\r\n"
    elif request.version < HttpVersion11:
        lines += b"Connection: keep-alive\r\n"
    return b"".join((head.first.line, head.block, lines, b"\r\n"))


async def _stream(
    request: web.BaseRequest, connection: UpstreamConnection, response: Forwarded, opening: bytes, *, chunked: bool
) -> None:
    """The head and the body's bytes as they come, no faster than the visitor takes them."""
    transport, protocol = request.transport, request.protocol
    while transport is not None and not transport.is_closing():
        if _send(transport, connection, response, opening, chunked=chunked):
            return
        if connection.error is not None:
            raise CutShort(connection.error.cause)
        if protocol.writing_paused:
            await caught_up(request, transport)
        await connection.more()
        opening = b""
    response.force_close()  # the visitor has hung up


def _send(
    transport: asyncio.WriteTransport,
    connection: UpstreamConnection,
    response: Forwarded,
    opening: bytes,
    *,
    chunked: bool,
) -> bool:
    """Write `opening` and what has come of the body; whether that was all."""
    pieces, complete = connection.take(), connection.complete
    size = sum(map(len, pieces))
    response.count(size)
    out = [opening] if opening else []  # an empty piece would cost as much as a full one
    out += _chunk(pieces, size, last=complete) if chunked else pieces
    if size < _JOINED:
        transport.write(b"".join(out))
    else:
        transport.writelines(out)
    return complete


def _chunk(pieces: list[bytes], size: int, *, last: bool) -> list[bytes]:
    """The pieces as one chunk of `size` bytes, and what says that it was the last (RFC 9112 7.1)."""
    chunk = [b"%x\r\n" % size, *pieces, b"\r\n"] if size else []
    return [*chunk, b"0\r\n\r\n"] if last else chunk


async def caught_up(request: web.BaseRequest, transport: asyncio.WriteTransport) -> None:
    """Wait until the visitor has taken what was written; however slow, it takes something every STALL seconds."""
    draining = asyncio.create_task(_drain(request))
    left = transport.get_write_buffer_size() + 1
    try:
        while not draining.done():
            before, left = left, transport.get_write_buffer_size()
            if left >= before:
                raise CutShort(f"the visitor took nothing for {STALL:g} s")
            await asyncio.wait({draining}, timeout=STALL)
    finally:
        draining.cancel()


async def _drain(request: web.BaseRequest) -> None:
    with suppress(ConnectionError):  # a visitor who has gone is seen before the next write
        await request.writer.drain()


def _cut(transport: asyncio.Transport | None) -> None:
    if transport is not None:
        reset(transport)
