"""Counts connections before their TLS handshake, so that a stalled handshake has a place and a deadline.

Without this, the event loop reports a connection only after its handshake.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol, cast

GOODBYE = 10.0
"""Seconds within which the peer must answer our close_notify (RFC 8446 6.1)."""


class Visitor(Protocol):
    """The protocol of a connection after its handshake."""

    def admit(self, transport: asyncio.BaseTransport) -> bool:
        """Return whether there is room for this connection."""
        ...

    def on_giving_way(self, end: Callable[[], None]) -> None:
        """Set the function that ends the connection during the handshake."""
        ...

    def connection_lost(self, exc: BaseException | None) -> None:
        """The handshake has failed."""
        ...


class Handshakes:
    """The handshakes in progress. They use the certificate of `context`, and each may take `seconds`."""

    def __init__(self, context: ssl.SSLContext, seconds: float) -> None:
        self._context = context
        self._seconds = seconds
        self._under_way: set[asyncio.Task[None]] = set()

    def begin(self, transport: asyncio.Transport, visitor: Visitor) -> None:
        """Move the socket out of `transport`, which has read nothing yet, and start the handshake on it."""
        try:
            if visitor.admit(transport):
                sock = _taken_over(transport)
                # Now: of many who come in one turn of the loop, some give way before their task has begun.
                visitor.on_giving_way(partial(_shut, sock))
                task = asyncio.create_task(self._shake(sock, visitor))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
        except OSError as error:  # no file descriptor is left
            visitor.connection_lost(error)
        finally:
            transport.abort()

    @property
    def are_under_way(self) -> bool:
        """Whether a client's handshake is in progress."""
        return bool(self._under_way)

    def cut(self) -> None:
        """End all handshakes in progress."""
        for task in self._under_way:
            task.cancel()

    async def _shake(self, sock: socket.socket, visitor: Visitor) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: cast(asyncio.Protocol, visitor),
                sock,
                ssl=self._context,
                ssl_handshake_timeout=self._seconds,
                ssl_shutdown_timeout=GOODBYE,
            )
        except OSError as error:  # a socket error, a TLS error, or the deadline
            visitor.connection_lost(error)


class Arrival(asyncio.Protocol):
    """The protocol of a new TCP connection; `connection` takes over after the handshake."""

    def __init__(self, handshakes: Handshakes, connection: Visitor) -> None:
        self._handshakes = handshakes
        self._connection = connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the handshake."""
        self._handshakes.begin(cast(asyncio.Transport, transport), self._connection)


def _taken_over(transport: asyncio.Transport) -> socket.socket:
    sock = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
    sock.setblocking(False)
    return sock


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):  # already closed
        sock.shutdown(socket.SHUT_RDWR)
