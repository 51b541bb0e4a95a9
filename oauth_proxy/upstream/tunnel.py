"""Opens a WebSocket: both sides have to agree to it (RFC 6455 4); then it is two streams of bytes.

The law: what the two agreed on (extensions, subprotocols) holds end to end. Nothing but a WebSocket gets through:
a 101 to any other protocol, or with a wrong Sec-WebSocket-Accept, is an error.
"""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable
from time import monotonic
from typing import cast

from aiohttp import HttpVersion11, hdrs, web

from oauth_proxy.errors import BadRequest, UpstreamNonsense
from oauth_proxy.reading import Reading
from oauth_proxy.requests import Request
from oauth_proxy.stall import keep_alive
from oauth_proxy.telemetry import Traffic
from oauth_proxy.upstream.claims import Claims
from oauth_proxy.upstream.connection import UpstreamConnection
from oauth_proxy.upstream.ends import Tunnel, Tunnels, TunnelSide
from oauth_proxy.upstream.head import Head
from oauth_proxy.upstream.outgoing import Outgoing, request_head
from oauth_proxy.upstream.pool import Pool
from oauth_proxy.upstream.relay import Forwarded, Lines, pass_on

HeadOf = Callable[[UpstreamConnection, Request, float], Head]
"""Returns the head of a response that has begun, to a request that was there at the given time."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"


async def tunnel(
    pool: Pool,
    request: Request,
    outgoing: Outgoing,
    claims: Claims,
    tunnels: Tunnels,
    traffic: Traffic,
    head_of: HeadOf,
) -> Forwarded:
    """Open a WebSocket to the tool and forward it until it ends; see `Upstream.tunnel`."""
    started = monotonic()
    accept = expected_accept(request)
    connection = await pool.connect_tunnel()
    try:
        await connection.ask(request_head("GET", outgoing.target, outgoing.lines, _UPGRADE), upgrading=True)
        head, added = head_of(connection, request, started), outgoing.added
        if head.status != 101:
            refusal = await pass_on(
                request, connection, head, claims=claims, added=added, keep_alive=False, traffic=traffic
            )
            connection.abort()
            return refusal
        # Start with an empty buffer: a transport calls `pause_writing` only when its buffer becomes full.
        await request.writer.drain()
        claims.strike(head)
        opening = _switching(head, accept, added)
    except BaseException:
        connection.abort()
        raise
    visitor = request.transport
    if visitor is None:
        connection.abort()
        return Forwarded(101, keep_alive=False)
    joined = _join(request, visitor, connection, opening)
    tunnels.add(joined)
    answer = request.begun = Forwarded(101, keep_alive=False)
    del outgoing, head, added, accept, opening  # saves memory: thousands may be open and idle
    opened = monotonic()
    try:
        await joined.until_over()
    finally:
        traffic.streams["websocket"].add(monotonic() - opened)
        tunnels.discard(joined)
        joined.let_go()
    return answer


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
) -> Tunnel:
    """Connect the two sockets; `opening` is the 101 for the client."""
    tool, from_visitor = connection.transport, cast(Reading, request.protocol).take_over()
    tunnel = Tunnel(visitor, tool)
    visitors = TunnelSide(request.protocol, tunnel, tunnel.visitor, tunnel.tool)
    tools = TunnelSide(connection, tunnel, tunnel.tool, tunnel.visitor)
    keep_alive(visitor)
    visitor.pause_reading()  # so that reading starts again into a side's buffer
    visitor.set_protocol(visitors)
    tool.set_protocol(tools)
    visitor.write(opening)
    visitor.resume_reading()
    tool.resume_reading()
    if from_tool := connection.become_tunnel():
        tools.forward(from_tool)
    if from_visitor:
        visitors.forward(from_visitor)
    return tunnel
