"""A WebSocket as two streams of bytes, once both sides have agreed to it (RFC 6455 4).

The law: no frame is read here, so what the two agreed on (extensions, subprotocols) holds end to end. Neither side
is read faster than the other takes it, and the end of either is the end of both.
"""

import asyncio
import base64
import binascii
import hashlib
from typing import cast

from aiohttp import HttpVersion11, hdrs, web

from oauth_proxy.errors import BadRequest, UpstreamNonsense
from oauth_proxy.reading import Reading
from oauth_proxy.stall import StallWatch
from oauth_proxy.turns import BULK, line
from oauth_proxy.upstream.claims import Claims
from oauth_proxy.upstream.connection import UpstreamConnection
from oauth_proxy.upstream.head import Head
from oauth_proxy.upstream.outgoing import Outgoing, request_head
from oauth_proxy.upstream.pool import Pool
from oauth_proxy.upstream.relay import Forwarded, Lines, pass_on

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
_LAST_WORDS = 10.0
"""Seconds in which one side may still send after the other has finished."""


async def tunnel(pool: Pool, request: web.BaseRequest, outgoing: Outgoing, claims: Claims) -> Forwarded:
    """Open a WebSocket to the tool and forward it until it ends; see `Upstream.tunnel`."""
    accept = expected_accept(request)
    connection = await pool.connect_tunnel()
    try:
        await connection.ask(request_head("GET", outgoing.target, outgoing.lines, _UPGRADE), upgrading=True)
        head, added = connection.response_head(), outgoing.added
        if head.status != 101:
            refusal = await pass_on(request, connection, head, claims=claims, added=added, keep_alive=False)
            connection.abort()
            return refusal
        # Start with an empty buffer: a transport calls `pause_writing` only when its buffer becomes full.
        await request.writer.drain()
        claims.strike(head)
        opening = _switching(head, accept, added)
    except BaseException:
        connection.abort()
        raise
    visitor, tool = request.transport, connection.transport
    if visitor is None:
        connection.abort()
        return Forwarded(101, keep_alive=False)
    try:
        over = _join(request, visitor, connection, opening)
        del outgoing, head, added, accept, opening  # saves memory: thousands may be open and idle
        await over
    finally:
        _let_go(tool)
        _let_go(visitor)
    return Forwarded(101, keep_alive=False)


def expected_accept(request: web.BaseRequest) -> bytes:
    """Return the Sec-WebSocket-Accept for the request; BadRequest if it is no handshake (RFC 6455 4.2.1)."""
    headers = request.headers
    options = {
        option.strip().lower() for line in headers.getall(hdrs.CONNECTION, []) for option in line.split(",")
    }
    keys = headers.getall(hdrs.SEC_WEBSOCKET_KEY, [])
    try:
        key_size = len(base64.b64decode(keys[0], validate=True)) if len(keys) == 1 else 0
    except (binascii.Error, ValueError):
        key_size = 0
    if request.method != "GET" or request.version != HttpVersion11 or request.body_exists:
        raise BadRequest("a WebSocket handshake is a GET of HTTP/1.1 without a body")
    if headers.get(hdrs.UPGRADE, "").strip().lower() != "websocket" or "upgrade" not in options:
        raise BadRequest("a WebSocket handshake without Upgrade: websocket and Connection: Upgrade")
    if headers.get(hdrs.SEC_WEBSOCKET_VERSION) != "13":
        raise BadRequest("a WebSocket version other than 13")
    if key_size != 16:
        raise BadRequest("a Sec-WebSocket-Key that is not 16 bytes")
    return base64.b64encode(hashlib.sha1(keys[0].encode("ascii") + _GUID, usedforsecurity=False).digest())


def _switching(head: Head, accept: bytes, added: Lines) -> bytes:
    """Return the client's 101. Raises UpstreamNonsense if the tool's does not fit the request (RFC 6455 4.1)."""
    accepted = [line[21:].strip(b" \t") for line in head.lines if line[:21].lower() == b"sec-websocket-accept:"]
    if accepted != [accept]:
        raise UpstreamNonsense("101 with another Sec-WebSocket-Accept than the key asks for")
    if head.upgrade.lower() != b"websocket":
        raise UpstreamNonsense("101 to another protocol than WebSocket")
    return b"\r\n".join([head.first.line, *head.lines, *map(b": ".join, added), _UPGRADE, b""])


def _join(
    request: web.BaseRequest, visitor: asyncio.Transport, connection: UpstreamConnection, opening: bytes
) -> asyncio.Future[None]:
    """Connect the two sockets; `opening` is the 101 for the client. The future ends when either side does."""
    tool, early = connection.transport, cast(Reading, request.protocol).take_over()
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    silent: set[TunnelSide] = set()
    full: set[asyncio.Transport] = set()
    visitor.pause_reading()  # so that reading starts again into a side's buffer
    visitor.set_protocol(TunnelSide(request.protocol, visitor, tool, over, silent, full))
    tool.set_protocol(TunnelSide(connection, tool, visitor, over, silent, full))
    visitor.write(opening + connection.become_tunnel())
    tool.write(early)
    visitor.resume_reading()
    tool.resume_reading()
    return over


def _let_go(transport: asyncio.Transport) -> None:
    """Close once everything is sent; cut the connection if that takes too long."""
    transport.close()
    asyncio.get_running_loop().call_later(_LAST_WORDS, transport.abort)


_buffer = memoryview(bytearray(BULK))
"""One buffer for all tunnels: what is read into it is written at once. The loop's own is four times as large."""


class TunnelSide(asyncio.BufferedProtocol):
    """One end of a tunnel: whatever arrives here is sent on the `other` one.

    `before` is the protocol the socket had until now. It is told when the socket is lost, so that its owner's
    counts stay correct.
    """

    __slots__ = ("_before", "_full", "_other", "_over", "_own", "_silent", "_unread")

    def __init__(
        self,
        before: asyncio.Protocol,
        own: asyncio.Transport,
        other: asyncio.Transport,
        over: asyncio.Future[None],
        silent: set["TunnelSide"],
        full: set[asyncio.Transport],
    ) -> None:
        self._before = before
        self._own = own
        self._other = other
        self._over = over
        self._silent = silent
        self._full = full
        """The sides that must read before they are sent more."""
        self._unread: StallWatch | None = None

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next bytes of this side."""
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Forward what this side sent. After a full buffer, wait for a turn: the loop would read on for MiBs."""
        if not self._over.done():
            self._other.write(bytes(_buffer[:nbytes]))
            if nbytes == BULK:
                self._own.pause_reading()
                line().join(self._read_on)

    def _read_on(self) -> None:
        if self._other not in self._full:
            self._own.resume_reading()

    def pause_writing(self) -> None:
        """This side reads too slowly, so the other is paused. If it reads nothing for long, both end."""
        self._unread = StallWatch()
        self._unread.start(self._own)
        self._full.add(self._own)
        self._other.pause_reading()

    def resume_writing(self) -> None:
        """This side has read enough."""
        self._stop_watching()
        self._full.discard(self._own)
        self._other.resume_reading()

    def eof_received(self) -> bool:
        """This side sends no more. The other may still finish for a while, unless it uses TLS."""
        self._silent.add(self)
        if len(self._silent) == 2 or not self._other.can_write_eof():
            self._end()
        elif not self._over.done():
            self._other.write_eof()
            asyncio.get_running_loop().call_later(_LAST_WORDS, self._end)
        return self._own.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """This side is lost. What it sent last is still forwarded."""
        self._stop_watching()
        self._end()
        self._before.connection_lost(exc)

    def _stop_watching(self) -> None:
        if self._unread is not None:
            self._unread.stop()
            self._unread = None

    def _end(self) -> None:
        if not self._over.done():
            self._over.set_result(None)
