"""A visitor's request as the tool gets it: one head, and a body in hand or still to come."""

import asyncio
from typing import NamedTuple

from aiohttp import HttpVersion11, StreamReader, hdrs, web

from oauth_proxy.aiohttp_private import BODY_ERRORS
from oauth_proxy.errors import BadRequest, RequestTooSlow, UpstreamTimeout
from oauth_proxy.upstream.connection import UpstreamConnection
from oauth_proxy.upstream.relay import STALL, Lines

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


class Outgoing(NamedTuple):
    """What the tool is asked, beside the visitor's method and body.

    `owner` is whose share of the tool it counts for: any text that is one visitor's alone. `target` goes into the
    request line as it is (RFC 9112 3.2). `lines`, from `header_lines`, are all but those that frame the message.
    `added` are header lines for the visitor, put after the tool's own. `body` is the whole body, where that has
    been read before.
    """

    owner: str
    target: bytes
    lines: bytes
    added: Lines = ()
    body: bytes | None = None


def request_head(method: str, target: bytes, lines: bytes, framing: bytes) -> bytes:
    """A request's head with its empty line; `lines` and `framing` have their ends, and are checked already.

    Raises BadRequest when the request line would become two: this is the last place to see it.
    """
    first = b"%b %b HTTP/1.1\r\n" % (method.encode("ascii"), target)
    _check(first, 1)
    return b"%b%b%b\r\n" % (first, lines, framing)


def header_lines(fields: Lines) -> bytes:
    """Header fields as they are sent, each with its line end.

    Raises BadRequest when a line would become two, whoever wrote it: this is the last place to see it.
    """
    lines = b"".join([b"%b: %b\r\n" % field for field in fields])
    _check(lines, len(fields))
    return lines


def _check(lines: bytes, ends: int) -> None:
    if lines.count(b"\n") != ends or lines.count(b"\r") != ends or b"\0" in lines:
        raise BadRequest("a line of the request's head holds a line end or a NUL")


def send_continue(request: web.BaseRequest) -> None:
    """Ask for the body of a visitor who holds it back until it is asked for (RFC 9110 10.1.1)."""
    is_awaited = (
        request.version >= HttpVersion11
        and request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
        and not request.content.total_bytes
    )
    if is_awaited and request.transport is not None:
        request.transport.write(_CONTINUE)


class Body:
    """A request's body: its `framing` lines, and what there is of it when the request starts.

    `in_hand` is all of it as it goes over the wire, or None when it is still to come. `chunked` bodies may have
    trailers, of which aiohttp 3.14.5 makes the last a header line of the next request on the visitor's connection:
    there must be none. A body that comes with fewer than `rate` bytes a second is given up.
    """

    __slots__ = ("_rate", "_request", "chunked", "framing", "in_hand")

    def __init__(self, request: web.BaseRequest, rate: float, whole: bytes | None = None) -> None:
        self._request = request
        self._rate = rate
        self.chunked = False
        self.framing = b""
        self.in_hand: bytes | None = b""
        length = request.headers.get(hdrs.CONTENT_LENGTH)
        if length is not None:
            self.framing = b"Content-Length: %b\r\n" % length.encode("ascii")
        elif request.body_exists:
            self.chunked = True
            self.framing = b"Transfer-Encoding: chunked\r\n"
            if request.headers[hdrs.TRANSFER_ENCODING].lower() != "chunked":
                raise BadRequest("a transfer coding other than chunked")
        if request.body_exists:
            self.in_hand = self._in_hand(request.content, whole)

    def _in_hand(self, content: StreamReader, whole: bytes | None) -> bytes | None:
        if not content.is_eof():
            return None
        body = whole or content.read_nowait()
        if self.chunked:
            body = b"%x\r\n%b\r\n%b" % (len(body), body, _LAST_CHUNK) if body else _LAST_CHUNK
        return body

    async def send(self, connection: UpstreamConnection) -> None:
        """Send the body as the visitor sends it, no faster than the tool takes it.

        Whatever goes wrong becomes the failure of the exchange.
        """
        try:
            await self._send(connection)
        except (BadRequest, RequestTooSlow, UpstreamTimeout) as error:
            connection.fail(error)
        except (*BODY_ERRORS, OSError) as error:
            connection.fail(BadRequest(f"the request's body broke off: {type(error).__name__}"))

    async def _send(self, connection: UpstreamConnection) -> None:
        coming = _Coming(self._request.content, self._rate)
        if not connection.answered:
            send_continue(self._request)
        while piece := await coming.next():
            if self.chunked:
                connection.write(b"%x\r\n" % len(piece), piece, b"\r\n")
            else:
                connection.write(piece)
            if connection.writing_paused:
                await connection.drain()
        if self.chunked:
            connection.write(_LAST_CHUNK)
        connection.sent()


class _Coming:
    """A body on its way, of which `rate` bytes a second have to come, over STALL seconds that we wait for it.

    Only the waits count: while the tool is the slower side, nothing is taken from the visitor.
    """

    __slots__ = ("_content", "_due", "_least", "_left")

    def __init__(self, content: StreamReader, rate: float) -> None:
        self._content = content
        self._least = rate * STALL
        self._due, self._left = self._least, STALL

    async def next(self) -> bytes:
        """What has come since the last call; nothing at the end. Raises RequestTooSlow."""
        now = asyncio.get_running_loop().time
        began = now()
        try:
            async with asyncio.timeout(self._left):
                piece = await self._content.readany()
        except TimeoutError:
            raise RequestTooSlow(f"fewer than {self._least:g} bytes of a body came in {STALL:g} s") from None
        self._left -= now() - began
        self._due -= len(piece)
        if self._due <= 0:
            self._due, self._left = self._least, STALL
        return piece
