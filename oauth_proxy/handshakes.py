"""TLS begins on connections that are counted already: a handshake that stalls has a place, and a deadline."""

import asyncio
import ssl
from collections.abc import Callable

GOODBYE = 10.0
"""Seconds in which the other side has to answer our close_notify (RFC 8446 6.1)."""
UNSENT = 65_536
"""Bytes for a slow visitor that are encrypted ahead; the event loop's own default is half a megabyte."""


class Handshakes:
    """Those under way, with the certificate of `context`; each may take so many `seconds`."""

    def __init__(self, context: ssl.SSLContext, seconds: float) -> None:
        self._context = context
        self._seconds = seconds
        self._under_way: set[asyncio.Task[None]] = set()

    def begin(
        self,
        socket: asyncio.Transport,
        protocol: asyncio.Protocol,
        made: Callable[[asyncio.BaseTransport], None],
    ) -> None:
        """Shake hands, and call `made` with the transport for what is said after that.

        `protocol` may get bytes before that call. If the handshake fails, it is told that the connection is lost.
        """
        task = asyncio.create_task(self._shake(socket, protocol, made))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def cut(self) -> None:
        """End all that are under way."""
        for task in self._under_way:
            task.cancel()

    async def _shake(
        self,
        socket: asyncio.Transport,
        protocol: asyncio.Protocol,
        made: Callable[[asyncio.BaseTransport], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(
                socket,
                protocol,
                self._context,
                server_side=True,
                ssl_handshake_timeout=self._seconds,
                ssl_shutdown_timeout=GOODBYE,
            )
        except OSError as error:  # of the socket, of TLS, or that it took too long
            protocol.connection_lost(error)
        except asyncio.CancelledError:
            socket.abort()
            raise
        else:
            if transport is not None and not transport.is_closing():
                transport.set_write_buffer_limits(UNSENT)
                made(transport)
