"""TLS begins on connections that are counted already: a handshake that stalls has a place, and a deadline.

Left to itself, the event loop tells nobody of a connection before its handshake is done.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, cast

GOODBYE = 10.0
"""Seconds in which the other side has to answer our close_notify (RFC 8446 6.1)."""


class Visitor(Protocol):
    """The protocol of a connection once its handshake is done."""

    def admit(self, transport: asyncio.BaseTransport) -> bool:
        """Whether there is room for this one."""
        ...

    def on_giving_way(self, end: Callable[[], None]) -> None:
        """What ends the connection meanwhile."""
        ...

    def connection_lost(self, exc: BaseException | None) -> None:
        """The handshake has failed."""
        ...


class Handshakes:
    """Those under way, with the certificate of `context`; each may take so many `seconds`."""

    def __init__(self, context: ssl.SSLContext, seconds: float) -> None:
        self._context = context
        self._seconds = seconds
        self._under_way: set[asyncio.Task[None]] = set()

    def begin(self, transport: asyncio.Transport, visitor: Visitor) -> None:
        """Take the socket over from `transport`, which has read nothing of it yet, and shake hands there."""
        try:
            if visitor.admit(transport):
                task = asyncio.create_task(self._shake(_taken_over(transport), visitor))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
        except OSError as error:  # no descriptor is left
            visitor.connection_lost(error)
        finally:
            transport.abort()

    def cut(self) -> None:
        """End all that are under way."""
        for task in self._under_way:
            task.cancel()

    async def _shake(self, sock: socket.socket, visitor: Visitor) -> None:
        def end() -> None:
            with suppress(OSError):  # it has ended already
                sock.shutdown(socket.SHUT_RDWR)

        visitor.on_giving_way(end)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: cast(asyncio.Protocol, visitor),
                sock,
                ssl=self._context,
                ssl_handshake_timeout=self._seconds,
                ssl_shutdown_timeout=GOODBYE,
            )
        except OSError as error:  # of the socket, of TLS, or that it took too long
            visitor.connection_lost(error)


class Arrival(asyncio.Protocol):
    """What the event loop calls when somebody has come; `connection` is for after the handshake."""

    def __init__(self, handshakes: Handshakes, connection: Visitor) -> None:
        self._handshakes = handshakes
        self._connection = connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self._handshakes.begin(cast(asyncio.Transport, transport), self._connection)


def _taken_over(transport: asyncio.Transport) -> socket.socket:
    sock = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
    sock.setblocking(False)
    return sock
