"""The end of a tool's connection: what of its answer is still to be had, and what the end means.

The law: an answer is whole if all of it has arrived, however its connection ended. Where only the end of the
connection says so, the end must be an orderly one.

Over TLS, that is the end of the TCP stream. RFC 9112 9.8 wants a close_notify before it, but many servers send
none: whatever closes an `ssl.SSLSocket` in Python, such as http.server and gunicorn. Their answers would all be
cut, while browsers and other proxies take them. A tool that needs to be sure sends a length, or chunks.
"""

import asyncio
import ssl
from contextlib import suppress

from oauth_proxy.errors import HungUp, ProxyError, UpstreamUnreachable
from oauth_proxy.upstream.reader import ResponseReader

_AT_ONCE = 262144


def unread(transport: asyncio.BaseTransport) -> bytes:
    """Return what TLS has received and not handed over.

    uvloop's TLS drops it when the socket ends while we do not read: `pause_reading` does not hold back that end.
    """
    try:
        tls = transport.get_extra_info("ssl_object")
    except AttributeError:  # asyncio's transport, which we have closed twice: nothing of it is wanted
        return b""
    pieces: list[bytes] = []
    if tls is not None:
        with suppress(ssl.SSLError):  # there is no more, or it is not whole
            while piece := tls.read(_AT_ONCE):
                pieces.append(piece)
    return b"".join(pieces)


def why_lost(reader: ResponseReader, exc: Exception | None, *, asked: bool) -> ProxyError:
    """Return the error that the end of the connection means, unless the response is complete already."""
    why = f" ({exc})" if exc else ""
    if not (asked and reader.begun):
        return HungUp(f"the tool hung up before its answer{why}")
    if exc is None and reader.end():
        return UpstreamUnreachable("the tool closed the connection")
    return UpstreamUnreachable(f"the tool hung up in the middle of its answer{why}")
