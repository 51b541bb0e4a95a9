"""Forwards a tool's response to the client: framed anew, otherwise the bytes received.

The law: after the first byte there is no error page. A response that cannot be finished is cut with a reset, so
that no client takes the part for the whole.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from email.utils import formatdate
from time import monotonic

from aiohttp import HttpVersion11, web

from oauth_proxy.endings import GONE, SESSION_OVER, ending_of
from oauth_proxy.requests import Request
from oauth_proxy.stall import keep_alive, reset
from oauth_proxy.telemetry import Traffic
from oauth_proxy.upstream.claims import Claims, for_one_visitor
from oauth_proxy.upstream.connection import UpstreamConnection
from oauth_proxy.upstream.head import Head
from oauth_proxy.upstream.pieces import write_pieces

Lines = Sequence[tuple[bytes, bytes]]

STALL = 60.0
"""Seconds a client may take to send, or to accept, the next bytes."""
_JOINED = 16384
"""Bytes of a body up to which one copy is cheaper than writing several pieces."""

_TAIL = 4
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n")
"""An empty line after the end of another line (HTML 9.2.5), in any mixture."""

_log = logging.getLogger(__name__)


class Forwarded(web.StreamResponse):
    """A response that has been sent: when a handler returns it, everything has been written."""

    prepared = True
    status = 0
    body_length = 0
    """Bytes of the body that were sent; the access log reads them."""
    stays_open = False
    """Whether it is an event stream, which lasts for as long as both sides like."""
    may_end = False
    """Whether it is an event stream that can be ended by us where an event has ended."""
    tail = b"\n\n"
    """The last bytes of such a stream: at its beginning there is no event either."""
    keep_alive: bool | None = None
    cause: str | None = None
    """Why it was cut short; None if it was not."""

    def __init__(self, status: int, *, keep_alive: bool) -> None:
        # No super().__init__(): its header fields and state are not needed for a response that is sent already.
        self.status = status
        self.keep_alive = keep_alive

    def force_close(self) -> None:
        """Close the connection after this response."""
        self.keep_alive = False


class CutShort(Exception):
    """The response cannot be finished."""


async def pass_on(
    request: Request,
    connection: UpstreamConnection,
    head: Head,
    *,
    claims: Claims,
    added: Lines,
    keep_alive: bool,
    traffic: Traffic,
) -> Forwarded:
    """Send the response that begins with `head`, with the lines `added` after its own.

    A complete response goes out in one write. A response that was cut closes the client's connection, and one line
    in the log says why. `traffic` counts that, and how long an event stream was open.
    """
    claims.strike(head)
    chunked = head.chunked or head.length is None
    if chunked and request.version < HttpVersion11:
        chunked = keep_alive = False  # the end of the connection ends the body
    opening = answer_head(head, request, added, chunked=chunked, keep_alive=keep_alive)
    response = Forwarded(head.status, keep_alive=keep_alive)
    transport = request.transport
    if connection.complete and transport is not None and not transport.is_closing():
        _send(transport, connection, response, opening, chunked=chunked)
        return response
    response.stays_open = head.event_stream
    response.may_end = response.stays_open and (chunked or head.length is None) and not head.is_encoded
    request.begun = response
    began = monotonic()
    try:
        await _stream(request, connection, response, opening, chunked=chunked)
    except CutShort as cut:
        _log.warning("an answer was cut short: %s", cut)
        is_alive = connection.error is None or connection.parsing
        traffic.failed("visitor_too_slow" if is_alive else "cut_short")
        response.cause = f"cut short: {cut}"
        response.force_close()
        _cut(request.transport)
    except BaseException as error:  # the caller must not add an error page
        if not _say_goodbye(request.transport, response, error, chunked=chunked):
            _cut(request.transport)
        raise
    else:
        if not connection.complete:
            traffic.failed("visitor_left")
    finally:
        if response.stays_open:
            traffic.streams["events"].add(monotonic() - began)
    return response


def answer_head(head: Head, request: web.BaseRequest, added: Lines, *, chunked: bool, keep_alive: bool) -> bytes:
    """Return the status line, the header lines and the empty line for the client."""
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
    elif request.version is not HttpVersion11 and request.version < HttpVersion11:
        lines += b"Connection: keep-alive\r\n"
    return head.first.line + head.block + lines + b"\r\n"


async def _stream(
    request: web.BaseRequest, connection: UpstreamConnection, response: Forwarded, opening: bytes, *, chunked: bool
) -> None:
    """Send the head, and the body as it arrives, no faster than the client reads it."""
    transport, protocol = request.transport, request.protocol
    if transport is not None and connection.response_head().event_stream:
        keep_alive(transport)
    while transport is not None and not transport.is_closing():
        if _send(transport, connection, response, opening, chunked=chunked):
            return
        if connection.error is not None and not connection.parsing:
            raise CutShort(connection.error.cause)
        if protocol.writing_paused:
            await caught_up(request, transport)
        await connection.more()
        opening = b""
    response.cause = GONE
    response.force_close()


def _send(
    transport: asyncio.WriteTransport,
    connection: UpstreamConnection,
    response: Forwarded,
    opening: bytes,
    *,
    chunked: bool,
) -> bool:
    """Write `opening` and what has arrived of the body; return whether the response is complete."""
    pieces, complete = connection.take(), connection.complete
    size = len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces))
    response.body_length += size
    if size and response.may_end:
        response.tail = (response.tail + b"".join(pieces)[-_TAIL:])[-_TAIL:]
    out = [opening] if opening else []  # writing an empty piece costs as much as a full one
    out += _chunk(pieces, size, last=complete) if chunked else pieces
    if size < _JOINED:
        transport.write(b"".join(out))
    else:
        write_pieces(transport, out)
    return complete


def _chunk(pieces: list[bytes], size: int, *, last: bool) -> list[bytes]:
    """Return the pieces as one chunk of `size` bytes, followed by the last chunk if `last` (RFC 9112 7.1)."""
    chunk = [b"%x\r\n" % size, *pieces, b"\r\n"] if size else []
    return [*chunk, b"0\r\n\r\n"] if last else chunk


async def caught_up(request: web.BaseRequest, transport: asyncio.WriteTransport) -> None:
    """Wait until the client has read enough. It must read something every STALL seconds."""
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
    with suppress(ConnectionError):  # the caller checks for a closed transport before it writes again
        await request.writer.drain()


def _say_goodbye(
    transport: asyncio.Transport | None, response: Forwarded, error: BaseException, *, chunked: bool
) -> bool:
    """End an event stream whose session is over, with a comment that says so; return whether that was possible.

    It ends where an event has ended, or not at all: half an event must never look like a whole one. A browser asks
    again after it, and is told 401. Whoever handles the connection closes it, which ends a body without chunks.
    """
    ending = ending_of(error) if isinstance(error, asyncio.CancelledError) else None
    if ending != SESSION_OVER or transport is None or transport.is_closing():
        return False
    if transport.get_write_buffer_size() or not (response.may_end and response.tail.endswith(_EVENT_ENDS)):
        return False
    comment = b": %b\n\n" % ending.reason.encode()
    transport.write(b"".join(_chunk([comment], len(comment), last=True)) if chunked else comment)
    return True


def _cut(transport: asyncio.Transport | None) -> None:
    if transport is not None:
        reset(transport)
