"""aiohttp's HTTP server with our limits, our error responses and little logging.

The law: a malformed request is refused with one log line, never echoed, and never held longer than a deadline.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, cast

from aiohttp import web

from oauth_proxy.aiohttp_private import Head, NotHttp, as_http1
from oauth_proxy.capacity import Capacity
from oauth_proxy.client_connection import Answered, ClientConnection, Handler, Refusal
from oauth_proxy.errors import BadRequest, VersionNotSupported
from oauth_proxy.handshakes import Arrival, Handshakes
from oauth_proxy.reading import BODY_HELD, LONGEST_FIELD, LONGEST_LINE, MOST_FIELDS, Reading, named
from oauth_proxy.sockets import Listener

HEAD_DEADLINE = 60.0
"""Seconds for which a connection may be idle, or in the middle of a request's head."""
_LOOK_AGAIN = 0.05
"""Seconds between two looks at whether a connection is left."""


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
        self._is_draining = False
        self._ours: dict[str, Any] = {
            "handler": handler,
            "refusal": refusal,
            "answered": answered,
            "capacity": self.capacity,
            "idle": HEAD_DEADLINE,
        }
        self._limits = _limits()

    def drain(self) -> None:
        """Let every connection end after its next response: those that are open, and those that still come."""
        self._is_draining = True
        for each in self.connections:
            if isinstance(each, ClientConnection):
                each.is_draining = True

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """A client has connected, and its TLS handshake, if any, is done."""
        super().connection_made(handler, transport)
        if self._is_draining:
            cast(ClientConnection, handler).is_draining = True

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """A connection is lost. It counts as open until its task has ended, so that a stop waits for that."""
        task = cast(ClientConnection, handler).task
        if task is None:
            super().connection_lost(handler, exc)
        else:
            task.add_done_callback(lambda _: super(Server, self).connection_lost(handler, exc))

    def __call__(self) -> web.RequestHandler:
        """Return the protocol for a new connection."""
        connection = ClientConnection(self, **self._ours, **self._limits)
        if self.handshakes is None:
            return connection
        return cast(web.RequestHandler, Arrival(self.handshakes, connection))  # only the event loop uses it


def _limits() -> dict[str, Any]:
    return {
        "access_log": None,
        "loop": asyncio.get_running_loop(),
        "auto_decompress": False,
        "keepalive_timeout": 0,  # aiohttp's timer is off: ClientConnection has its own
        "max_line_size": LONGEST_LINE,
        "max_field_size": LONGEST_FIELD,
        "max_headers": MOST_FIELDS,
        "read_bufsize": BODY_HELD,
    }


def head_of(sent: bytes) -> Head:
    """The head of a request as a connection would read it, for commands that only ask. Raises BadRequest."""

    async def unasked(_: web.BaseRequest) -> web.StreamResponse:
        raise NotImplementedError

    try:
        heads, *_ = Reading(web.Server(unasked), **_limits()).parse(sent)
    except NotHttp as error:
        raise named(error) from None
    if len(heads) != 1:
        raise BadRequest("bytes that are not one request")
    [(head, _)] = heads
    if as_http1(head) is not head:
        raise VersionNotSupported("neither HTTP/1.0 nor HTTP/1.1")
    return head


class Service:
    """A server that accepts the connections of a listener."""

    def __init__(self, handler: web.Server, runner: web.ServerRunner, listener: Listener) -> None:
        self._handler = handler
        self._runner = runner
        self._listener = listener
        self.at = listener.at

    async def accept(self) -> None:
        """Begin to accept connections."""
        for sock in self._listener.sockets:
            await web.SockSite(self._runner, sock).start()

    async def stop_accepting(self) -> None:
        """Accept no further connection. Other processes that have the listener's sockets go on."""
        for site in list(self._runner.sites):
            await site.stop()

    def drain(self) -> None:
        """Let every connection end after its next response."""
        if isinstance(self._handler, Server):
            self._handler.drain()

    async def emptied(self, patience: float) -> bool:
        """Wait until no connection is left, for at most `patience` seconds. Returns whether that is so."""
        until = time.monotonic() + patience
        while self._is_in_use and time.monotonic() < until:  # noqa: ASYNC110 aiohttp tells nobody of an end
            await asyncio.sleep(_LOOK_AGAIN)
        return not self._is_in_use

    @property
    def _is_in_use(self) -> bool:
        shaking = self._handler.handshakes if isinstance(self._handler, Server) else None
        return bool(self._handler.connections) or (shaking is not None and shaking.are_under_way)

    def close_idle(self) -> None:
        """Close the connections that wait for a request."""
        for each in self._handler.connections:
            if isinstance(each, ClientConnection) and each.is_idle:
                each.force_close()


async def service(
    stack: AsyncExitStack,
    handler: web.Server,
    listener: Listener,
    tls: ssl.SSLContext | None = None,
    *,
    drain: float = 0.1,
) -> Service:
    """Prepare to serve at `listener` until `stack` closes; then requests in progress get `drain` seconds.

    `tls` is the context of its handshakes.
    """
    runner = web.ServerRunner(handler, shutdown_timeout=drain, handle_signals=False)
    await runner.setup()
    if tls is not None and isinstance(handler, Server):
        handler.handshakes = Handshakes(tls, HEAD_DEADLINE)
        stack.callback(handler.handshakes.cut)
    stack.push_async_callback(runner.cleanup)
    return Service(handler, runner, listener)
