"""The request as it is sent to the tool: its head, and a body that is complete or still arriving."""

import asyncio
import re
from typing import NamedTuple

from aiohttp import HttpVersion11, StreamReader, hdrs, web

from oauth_proxy.aiohttp_private import BODY_ERRORS
from oauth_proxy.errors import BadRequest, RequestTooSlow, UpstreamTimeout
from oauth_proxy.upstream.connection import UpstreamConnection
from oauth_proxy.upstream.relay import STALL, Lines

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_BREAKS = re.compile(rb"[\r\n\0]")


class Outgoing(NamedTuple):
    """What is sent to the tool, besides the client's method and body.

    `owner` identifies whose share of the tool the request uses. `target` goes into the request line unchanged
    (RFC 9112 3.2). `lines`, from `header_lines`, are all header lines except those that frame the message. `added`
    are header lines for the client, put after the tool's own. `body` is the whole body, if it was read before.
    `upstream` is the prefix of the tool.
    """

    owner: str
    target: bytes
    lines: bytes
    added: Lines = ()
    body: bytes | None = None
    upstream: str = ""


def request_head(method: str, target: bytes, lines: bytes, framing: bytes) -> bytes:
    """Return a request's head with its empty line; `lines` and `framing` have line ends and are checked already.

    Raises BadRequest if the target would break the request line in two: this is the last check.
    """
    first = method.encode("ascii") + b" " + target + b" HTTP/1.1"
    if _BREAKS.search(first):
        raise BadRequest("the request line holds a line end or a NUL")
    return b"".join((first, b"\r\n", lines, framing, b"\r\n"))


def header_lines(fields: Lines) -> bytes:
    """Return header fields as they are sent, each with its line end.

    Raises BadRequest if a field would break in two, whoever wrote it: this is the last check.
    """
    lines = b"".join([b"%b: %b\r\n" % field for field in fields])
    ends = len(fields)
    if lines.count(b"\n") != ends or lines.count(b"\r") != ends or lines.count(b"\0"):
        raise BadRequest("a line of the request's head holds a line end or a NUL")
    return lines


def awaits_continue(request: web.BaseRequest) -> bool:
    """Whether a client sends no body before it gets 100 Continue or a final response (RFC 9110 10.1.1)."""
    return (
        request.version >= HttpVersion11
        and request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
        and not request.content.total_bytes
    )


def send_continue(request: web.BaseRequest) -> None:
    """Send 100 Continue to a client that waits for it before it sends the body."""
    if awaits_continue(request) and request.transport is not None:
        request.transport.write(_CONTINUE)


class Body:
    """A request's body: its `framing` lines, and how much of it has arrived when the request starts.

    `in_hand` is the whole body as it is sent, or None if it is still arriving. `chunked` bodies may have trailers,
    and aiohttp 3.14.5 makes the last of them a header line of the next request on the client's connection: so
    there must be no next request. A body that arrives with fewer than `rate` bytes a second is given up.
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
        """Forward the body as it arrives, no faster than the tool reads it.

        Any error becomes the error of the exchange.
        """
        try:
            await self._send(connection)
        except (BadRequest, RequestTooSlow, UpstreamTimeout) as error:
            connection.fail(error)
        except (*BODY_ERRORS, OSError) as error:
            connection.fail(BadRequest(f"the request's body broke off: {type(error).__name__}"))

    async def _send(self, connection: UpstreamConnection) -> None:
        coming = Coming(self._request.content, self._rate)
        if not connection.is_answered:
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


class Coming:
    """A body that is still arriving, at `rate` bytes a second or more over STALL seconds of waiting for it.

    Only waiting counts: while the tool is slower than the client, we do not read from the client.
    """

    __slots__ = ("_content", "_due", "_least", "_left")

    def __init__(self, content: StreamReader, rate: float) -> None:
        self._content = content
        self._least = rate * STALL
        self._due, self._left = self._least, STALL

    async def next(self) -> bytes:
        """Return what has arrived since the last call; empty at the end. Raises RequestTooSlow."""
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
