"""Connects to a tool at a name, by looking up where it leads to and trying each address in turn, or at a socket.

The law: of a tool's name one lookup is under way at a time, in a thread of its own, and all who need it wait for
that one. So a name that gets no answer holds up no other tool.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

from oauth_proxy.apart import apart
from oauth_proxy.quotes import of_system
from oauth_proxy.settings import is_ip
from oauth_proxy.upstream.connection import UpstreamConnection

NewConnection = Callable[[], UpstreamConnection]

FRESH = 0.1
"""Seconds for which an answer is kept, so that a tool that closes every connection is not looked up for each."""
SLOW = 1.0
"""Seconds after which a lookup is waited for only where it is the first, or the last answer leads nowhere."""
QUEUE_FULL = 0.01
"""Seconds between two attempts at a Unix socket whose tool accepts too slowly."""


class Socket:
    """The path of a Unix socket. Connecting waits while its listen queue is full, as TCP does by itself."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._turn = asyncio.Lock()
        """Where the queue is full, one of all who wait tries, in the order in which they came."""

    async def connected(self, new: NewConnection, _tls: ssl.SSLContext | None) -> UpstreamConnection:
        """Return a connection that `new` has made. Raises OSError, and has no deadline of its own."""
        async with self._turn:
            sock = await self._connected_socket()
        _, connection = await asyncio.get_running_loop().create_unix_connection(new, sock=sock)
        return connection

    async def _connected_socket(self) -> socket.socket:
        """Not by the loop: if the queue is full, uvloop gives up at once, and asyncio believes it is connected."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.setblocking(False)
            while True:
                try:
                    sock.connect(self._path)
                except BlockingIOError:
                    await asyncio.sleep(QUEUE_FULL)
                else:
                    return sock
        except BaseException:
            sock.close()
            raise


class Name:
    """A tool's host, which is a name or an IP address, and its port."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._is_address = is_ip(host)
        self._found = [host] if self._is_address else []
        """The addresses by the last answer. An error is none: it reaches whoever waits, and changes nothing."""
        self._fresh_until = 0.0
        self._lookup: asyncio.Task[list[Any]] | None = None
        self._slow_from = 0.0
        """The loop's time from which the lookup that is under way is slow."""

    async def connected(self, new: NewConnection, tls: ssl.SSLContext | None) -> UpstreamConnection:
        """Return a connection that `new` has made. Raises OSError, and has no deadline of its own."""
        if self._is_address:
            return await self._to_one_found(new, tls)
        loop = asyncio.get_running_loop()
        if loop.time() < self._fresh_until and (connection := await self._to_one_kept(new, tls)):
            return connection
        lookup = self._looked_up()
        if self._found:
            await asyncio.wait({lookup}, timeout=max(0, self._slow_from - loop.time()))
            if not lookup.done() and (connection := await self._to_one_kept(new, tls)):
                return connection
        await asyncio.wait({lookup})  # who is cancelled here does not cancel the lookup of the others
        lookup.result()
        return await self._to_one_found(new, tls)

    def _looked_up(self) -> asyncio.Task[list[Any]]:
        """The lookup that is under way, or a new one."""
        if self._lookup is None or self._lookup.done():
            look = partial(socket.getaddrinfo, self._host, self._port, type=socket.SOCK_STREAM)
            self._lookup = asyncio.create_task(apart(look))
            self._lookup.add_done_callback(self._keep)
            self._slow_from = asyncio.get_running_loop().time() + SLOW
        return self._lookup

    def _keep(self, lookup: asyncio.Task[list[Any]]) -> None:
        if not lookup.cancelled() and lookup.exception() is None:
            self._found = [_written(*at) for *_, at in lookup.result()]
            self._fresh_until = asyncio.get_running_loop().time() + FRESH

    async def _to_one_kept(self, new: NewConnection, tls: ssl.SSLContext | None) -> UpstreamConnection | None:
        """As `_to_one_found`, and None if no address takes one: they may be old. Raises SSLError."""
        try:
            return await self._to_one_found(new, tls)
        except ssl.SSLError:
            raise
        except OSError:
            return None

    async def _to_one_found(self, new: NewConnection, tls: ssl.SSLContext | None) -> UpstreamConnection:
        """Return a connection to the first address that takes one."""
        loop = asyncio.get_running_loop()
        errors: list[OSError] = []
        for address in self._found:
            try:
                _, connection = await loop.create_connection(
                    new, address, self._port, ssl=tls, server_hostname=self._host if tls else None
                )
            except ssl.SSLError:
                raise  # the tool was there
            except OSError as error:
                errors.append(error)
            else:
                return connection
        if len(errors) == 1:
            raise errors[0]
        raise OSError(", ".join(dict.fromkeys(map(of_system, errors))))


def _written(host: str, _port: int, _flow: int = 0, scope: int = 0) -> str:
    """An address as text; one of IPv6 that is valid on one link only with that link's name (RFC 4007 11)."""
    return f"{host}%{socket.if_indextoname(scope)}" if scope else host
