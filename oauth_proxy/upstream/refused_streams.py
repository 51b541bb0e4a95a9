"""Tells a WebSocket or an EventSource that it is refused, in words that a page's script or the browser acts on.

A script cannot read the status of a refused handshake: it sees 1006. An EventSource never asks again after any
status but 200. So the first is accepted and closed with a code and a reason, and the second gets an event stream
that ends at once and says when to ask again.

The law: the tool hears nothing of it, and the log, the metrics and the audit stream know it as the refusal that it
is. Only a page of this site is told, and nothing is agreed on but what a browser insists on.
"""

import asyncio
import re
from email.utils import formatdate
from secrets import randbelow
from typing import cast

from aiohttp import HttpVersion11, web

from oauth_proxy.client_connection import ClientConnection
from oauth_proxy.endings import Ending
from oauth_proxy.errors import BadRequest
from oauth_proxy.headers import Fields, is_event_source
from oauth_proxy.outcomes import Refused
from oauth_proxy.paths import Site
from oauth_proxy.requests import Request, RequestHeaders
from oauth_proxy.responses import Responses
from oauth_proxy.upstream.frames import Frames, close_frame
from oauth_proxy.upstream.relay import Forwarded
from oauth_proxy.upstream.tunnel import expected_accept

PRIVATE_USE = 4000
"""Added to a status, this is the code of a Close frame (RFC 6455 7.4.2): 4401 says what 401 says."""
_PASSING = (429, 502, 503, 504)
"""What is over soon, so that an EventSource is to ask again."""
_SOONEST, _LATEST = 2, 10
"""Seconds: bounds of the shortest wait before an EventSource asks again. Each waits up to 2.5 times as long, so
that the tabs of a whole studio do not come at once."""
_PROTOCOL = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")


def refuse_stream(request: Request, refused: Refused, responses: Responses, site: Site) -> Forwarded | None:
    """Tell the client of the refusal, if it is one that can be told in these ways; None if it is not.

    What is returned has been sent, or will be. Its status is that of the refusal, whatever the client has seen. A
    program with a token of its own is never told: it reads statuses.
    """
    error, transport = refused.error, request.transport
    if refused.visit.by_program or isinstance(error, BadRequest) or transport is None or transport.is_closing():
        return None
    if request.fields.for_websocket:
        return _close(request, transport, refused, responses, site)
    if error.status in _PASSING and is_event_source(request.method, request.fields):
        return _come_again(request, transport, refused, responses)
    return None


def _close(
    request: Request, transport: asyncio.Transport, refused: Refused, responses: Responses, site: Site
) -> Forwarded | None:
    """Accept the WebSocket, and close it, in a while. Meanwhile its connection gives way to any other."""
    protocol = _first_protocol(request.fields)
    if protocol is None or not _is_of_our_page(request.fields, site):
        return None
    try:
        accept = expected_accept(request)
    except BadRequest:
        return None
    lines = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept.decode("ascii")}
    if protocol:
        lines["Sec-WebSocket-Protocol"] = protocol
    status, ending = refused.error.status, Ending(PRIVATE_USE + refused.error.status, refused.error.name)
    shown = responses.empty(request, 101, lines, refused.visit.set_cookies)
    connection = cast(ClientConnection, request.protocol)
    last_word = _head(b"101 Switching Protocols", shown) + close_frame(ending, masked=False)
    connection.end_with(last_word, _LastWord(connection, transport))
    return Forwarded(status, keep_alive=False)


def _come_again(
    request: Request, transport: asyncio.Transport, refused: Refused, responses: Responses
) -> Forwarded:
    """Answer with an event stream that is over: a browser then asks again by itself, after the time it is told."""
    seconds = min(max(refused.error.retry_after or 0, _SOONEST), _LATEST)
    wait = 1000 * seconds + randbelow(1500 * seconds)
    body = b"retry: %d\n\n" % wait
    lines = {"Content-Type": "text/event-stream", "Content-Length": str(len(body))}
    shown = responses.empty(request, 200, lines, refused.visit.set_cookies)
    may_go_on = request.keep_alive and shown.keep_alive is not False
    if not may_go_on or request.version < HttpVersion11:
        shown.headers["Connection"] = "keep-alive" if may_go_on else "close"
    answer = Forwarded(refused.error.status, keep_alive=may_go_on)
    answer.body_length = len(body)
    transport.write(_head(b"200 OK", shown) + body)
    return answer


def _is_of_our_page(fields: RequestHeaders, site: Site) -> bool:
    """Whether a page of the host that is asked has opened this; pages of its neighbours are other sites'."""
    return fields[b"origin"] == [site.origin_at(fields.host).encode("latin-1")]


def _first_protocol(fields: Fields) -> str | None:
    """The subprotocol that is asked for first; empty if none is, and None for what is no list of names.

    A browser that asked for some and gets none fails the connection, and its script would see 1006 after all.
    """
    asked = [name.strip(b" \t") for line in fields[b"sec-websocket-protocol"] for name in line.split(b",")]
    if not all(map(_PROTOCOL.fullmatch, asked)):
        return None
    return asked[0].decode("ascii") if asked else ""


def _head(status: bytes, shown: web.Response) -> bytes:
    """The head of the response, with its empty line."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in shown.headers.items()]).encode("latin-1")
    return b"HTTP/1.1 %b\r\nDate: %b\r\n%b\r\n" % (status, formatdate(usegmt=True).encode("ascii"), lines)


class _LastWord(asyncio.Protocol):
    """Waits for the client's Close frame, and looks at nothing else. `before` is told when the socket is lost."""

    def __init__(self, before: asyncio.Protocol, transport: asyncio.Transport) -> None:
        self._before = before
        self._frames = Frames()
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Close the connection at the end of their Close frame, or when they send what no browser sends."""
        if self._transport.is_closing():
            return
        if not self._frames.follow(data) or (self._frames.closed and self._frames.between):
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, by either side."""
        self._before.connection_lost(exc)
