"""aiohttp's HTTP server with our limits, our error responses and little logging.

The law: a malformed request is refused with one log line, never echoed, and never held longer than a deadline.
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
"""Seconds for which a connection may be idle, or in the middle of a request's head."""


class Server(web.Server):
    """Makes a ClientConnection for each client. `handler` returns a response and never raises."""

    def __init__(
        self, handler: Handler, *, refusal: Refusal, answered: Answered, capacity: Capacity | None = None
    ) -> None:
        # A disconnect cancels the handler, so that the tool's connection is released at once.
        super().__init__(
            cast(Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], handler),  # it gets our Request
            handler_cancellation=True,
        )
        self.capacity = capacity or Capacity()
        self.handshakes: Handshakes | None = None
        """Set when we speak TLS."""
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
            "keepalive_timeout": 0,  # aiohttp's timer is off: ClientConnection has its own
            "max_line_size": LONGEST_LINE,
            "max_field_size": LONGEST_FIELD,
            "max_headers": MOST_FIELDS,
            "read_bufsize": BODY_HELD,
        }

    def __call__(self) -> web.RequestHandler:
        """Return the protocol for a new connection."""
        connection = ClientConnection(self, **self._ours, **self._limits)
        if self.handshakes is None:
            return connection
        return cast(web.RequestHandler, Arrival(self.handshakes, connection))  # only the event loop uses it


async def listen(
    stack: AsyncExitStack,
    handler: web.Server,
    at: Listen,
    tls: Tls | None,
    drain: float,
    sock: socket.socket | None = None,
) -> Listen:
    """Serve at `at` until `stack` closes; then requests in progress get `drain` seconds. Returns the address used.

    A caller that needed the port earlier passes the listening socket. Raises ConfigurationError for an address or
    a certificate that cannot be used.
    """
    runner = web.ServerRunner(handler, shutdown_timeout=drain, handle_signals=False)
    await runner.setup()
    if tls is not None and isinstance(handler, Server):
        handler.handshakes = Handshakes(_context(tls), HEAD_DEADLINE)
        stack.callback(handler.handshakes.cut)
    try:
        if at.path:
            sock = stack.enter_context(unix_socket(at))  # removes its file after its last connection has closed
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
    context.options |= ssl.OP_NO_RENEGOTIATION  # a handshake costs the server more than the client
    context.num_tickets = 1  # one ticket serves the next connection; a second costs a twentieth of a handshake
    try:
        context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError([f"tls: {tls.cert} and {tls.key}: {error}"]) from None
    return context
