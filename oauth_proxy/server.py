"""aiohttp's HTTP server with our limits, our error answers and quiet logs.

The law: what a stranger sends is refused in one line, never echoed, and never held for longer than a deadline.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, cast

from aiohttp import web

from oauth_proxy.capacity import Capacity
from oauth_proxy.client_connection import Answered, ClientConnection, Handler, Refusal
from oauth_proxy.errors import ConfigurationError
from oauth_proxy.handshakes import Arrival, Handshakes
from oauth_proxy.reading import BODY_HELD, LONGEST_FIELD, LONGEST_LINE, MOST_FIELDS
from oauth_proxy.settings import Listen, Tls
from oauth_proxy.sockets import unix_socket

HEAD_DEADLINE = 60.0
"""Seconds a connection may sit idle or be in the middle of a request's head."""


class Server(web.Server):
    """Makes a Connection for each visitor. `handler` answers a request and raises nothing."""

    def __init__(
        self, handler: Handler, *, refusal: Refusal, answered: Answered, capacity: Capacity | None = None
    ) -> None:
        # A visitor who hangs up cancels the handler: the tool's connection is let go at once.
        super().__init__(
            cast(Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], handler),  # it gets what we make
            handler_cancellation=True,
        )
        self.capacity = capacity or Capacity()
        self.handshakes: Handshakes | None = None
        """Set where we speak TLS."""
        self._ours: dict[str, Any] = {
            "handler": handler,
            "refusal": refusal,
            "answered": answered,
            "capacity": self.capacity,
            "idle": HEAD_DEADLINE,
        }
        self._limits: dict[str, Any] = {
            "access_log": None,
            "loop": asyncio.get_running_loop(),
            "auto_decompress": False,
            "keepalive_timeout": 0,  # aiohttp's own; Connection's knows what it waits for
            "max_line_size": LONGEST_LINE,
            "max_field_size": LONGEST_FIELD,
            "max_headers": MOST_FIELDS,
            "read_bufsize": BODY_HELD,
        }

    def __call__(self) -> web.RequestHandler:
        """The protocol of a new connection."""
        connection = ClientConnection(self, **self._ours, **self._limits)
        if self.handshakes is None:
            return connection
        return cast(web.RequestHandler, Arrival(self.handshakes, connection))  # only the event loop sees it


async def listen(
    stack: AsyncExitStack,
    handler: web.Server,
    at: Listen,
    tls: Tls | None,
    drain: float,
    sock: socket.socket | None = None,
) -> Listen:
    """Serve there until `stack` closes; then requests under way get `drain` seconds. Returns the port it got, too.

    A caller that had to know the port earlier gives the socket that listens there. Raises ConfigurationError for a
    place or a certificate that cannot be used.
    """
    runner = web.ServerRunner(handler, shutdown_timeout=drain, handle_signals=False)
    await runner.setup()
    if tls is not None and isinstance(handler, Server):
        handler.handshakes = Handshakes(_context(tls), HEAD_DEADLINE)
        stack.callback(handler.handshakes.cut)
    try:
        if at.path:
            sock = stack.enter_context(unix_socket(at))  # its file goes after its last connection
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, at.host, at.port) if sock is None else web.SockSite(runner, sock)
        await site.start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigurationError([f"cannot listen on {at}: {reason}"]) from None
    return at if at.path else replace(at, port=runner.addresses[0][1])


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # a handshake costs us more than the visitor
    context.num_tickets = 1  # each connection leaves one for a successor; a second is a twentieth of a handshake
    try:
        context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError([f"tls: {tls.cert} and {tls.key}: {error}"]) from None
    return context
