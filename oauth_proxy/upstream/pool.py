"""The connections to one tool: how many there may be, which is used next, and when an idle one is closed.

Many tools close a connection without having said when: uWSGI's http-socket after each response, gunicorn's
threads after two idle seconds. A POST that is on its way at that moment is lost, and may not be sent again. So
until a tool has been seen to keep connections, such a request uses none that has just been used, as long as there
may be another; and where a tool was seen to close an idle one, the next are kept for half as long. Where it hung
up on a request, which may be the request's fault, only what may not be sent again uses none that was idle so long.

The law: every connection is counted from the moment it is made until the loop reports it lost, so the counts are
exact. What was promised to a request that went away goes to the next in the queue. Another user's request goes out
on a connection only when the tool has been silent there for a moment, unless there is no other way.
"""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from math import inf

from oauth_proxy.errors import HungUp, UpstreamBusy, UpstreamTimeout, UpstreamUnreachable
from oauth_proxy.quotes import of_system
from oauth_proxy.upstream.connection import UpstreamConnection
from oauth_proxy.upstream.outbox import Outbox
from oauth_proxy.upstream.reach import Name, Socket

QUIET = 0.1
"""Seconds of silence before another user may use a connection: by then any late bytes of the tool have arrived."""
REMEMBERED = 60.0
"""Seconds for which it counts that the tool closed an idle connection: perhaps it was only started anew."""
TRIED_AGAIN = 1.0
"""The same where it closed one at once. To keep none for long would leave a closed socket for each request."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a tool listens: `host` and `port`, with or without TLS, or the path of a `unix` socket."""

    host: str = ""
    port: int = 0
    tls: bool = False
    unix: str | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix:{self.unix}" if self.unix else f"{host}:{self.port}"


class KeepAlive:
    """How long the tool keeps an idle connection, by what it has lately done."""

    def __init__(self) -> None:
        self.seconds = inf
        """For so long a connection may be idle: half of what was seen."""
        self._counts_until = inf

    def ended_after(self, idle: float, now: float) -> None:
        """The tool has closed a connection that was idle for so long."""
        self.seconds = min(self.seconds, idle / 2)
        self._counts_until = now + (REMEMBERED if idle > QUIET else TRIED_AGAIN)

    def forget(self, now: float) -> None:
        """Forget what was seen too long ago."""
        if now > self._counts_until:
            self.seconds = self._counts_until = inf


class Pool:
    """At most `limit` connections for exchanges; as many more requests may wait for one. Tunnels count apart.

    All times are seconds. `timeout` is how long we wait for the tool, and a request for a connection. `idle` is
    how long an unused connection is kept, unless the tool says how long it keeps it.
    """

    def __init__(
        self,
        address: Address,
        *,
        ssl_context: ssl.SSLContext | None,
        timeout: float,
        connect_timeout: float,
        limit: int,
        most_tunnels: int,
        idle: float,
    ) -> None:
        self._address = address
        self._way = Socket(address.unix) if address.unix else Name(address.host, address.port)
        self._ssl = (ssl_context or ssl.create_default_context()) if address.tls else None
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self.limit = limit
        self._most_tunnels = most_tunnels
        self._idle_time = idle
        self._keeps = False
        """The tool was seen to keep an idle connection for QUIET seconds, and has closed none sooner since."""
        self._kept = KeepAlive()
        self._kept_perhaps = KeepAlive()
        """The same where the tool hung up on a request: of importance to what may not be sent again."""
        self._tick = min(1.0, timeout, idle) / 4
        self._outbox = Outbox()
        self._open: set[UpstreamConnection] = set()
        self._idle: list[tuple[UpstreamConnection, str | None]] = []
        """Idle connections, and the owner of the last exchange of each."""
        self._tunnels: set[UpstreamConnection] = set()
        self._connecting = 0
        self._dialling = 0
        self._waiters: deque[asyncio.Future[UpstreamConnection | None]] = deque()
        self._watch: asyncio.TimerHandle | None = None

    @property
    def open(self) -> int:
        """The number of connections in use or idle."""
        return len(self._open)

    @property
    def idle(self) -> int:
        """The number of idle connections."""
        return len(self._idle)

    @property
    def tunnels(self) -> int:
        """The number of connections that are tunnels, or will be."""
        return len(self._tunnels)

    @property
    def waiting(self) -> int:
        """The number of requests waiting for a connection."""
        return len(self._waiters)

    def at_rest(self, owner: str, *, is_repeatable: bool) -> UpstreamConnection | None:
        """Return the last idle connection that `owner` may use: of all, the tool has least likely closed it.

        `is_repeatable`: the request can be sent again if it has closed it all the same.
        """
        now = asyncio.get_running_loop().time()
        may_grow = len(self._open) + self._connecting < self.limit
        quiet_since = now - (QUIET if may_grow else 0)
        for at in range(len(self._idle) - 1, -1, -1):
            connection, last_owner = self._idle[at]
            since = connection.idle_since
            is_trusted = last_owner == owner and (self._keeps or is_repeatable)
            if is_trusted or since <= quiet_since:
                del self._idle[at]
                is_late = now > min(connection.deadline, since + self._kept.seconds)
                is_risky = may_grow and not is_repeatable and now > since + self._kept_perhaps.seconds
                if not is_late and not connection.silent:
                    self.ended_after(now - since)
                elif not is_late and not is_risky:
                    self._keeps = self._keeps or since <= now - QUIET
                    return connection
                connection.abort()
                if is_risky:
                    return None  # the new one takes its place: else they would become many
        return None

    async def connect(self) -> UpstreamConnection:
        """Return a new connection or, at the limit, the next one that becomes free.

        Raises UpstreamUnreachable, UpstreamTimeout or UpstreamBusy.
        """
        waits_until = asyncio.get_running_loop().time() + self._timeout
        while not self._take_place():
            freed = await self._wait_for_one(waits_until)
            if freed is None:
                break
            if freed.silent:
                return freed
            freed.abort()
        try:
            return await self._dial(self._open)
        finally:
            self._connecting -= 1
            self._offer_slot()

    async def connect_tunnel(self) -> UpstreamConnection:
        """Return a new connection for a tunnel; there may be `most_tunnels` of these besides the others."""
        if len(self._tunnels) + self._dialling >= self._most_tunnels:
            raise UpstreamBusy(f"{self._address}: there are {self._most_tunnels} tunnels already")
        self._dialling += 1
        try:
            return await self._dial(self._tunnels)
        finally:
            self._dialling -= 1

    async def _dial(self, kind: set[UpstreamConnection]) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        address = self._address
        try:
            async with asyncio.timeout(self._connect_timeout):
                connection = await self._way.connected(self._new, self._ssl)
        except TimeoutError as error:
            raise UpstreamTimeout(f"{address}: no connection in {self._connect_timeout:g} s") from error
        except OSError as error:
            raise UpstreamUnreachable(f"{address}: {of_system(error)}") from error
        if connection.usable:  # otherwise the loop has already reported it lost
            kind.add(connection)
        if self._watch is None:
            self._watch = loop.call_later(self._tick, self._look_after)
        return connection

    def give_back(self, connection: UpstreamConnection, owner: str | None) -> None:
        """End the owner's exchange, if there was one: keep its connection for the next, or cut it."""
        if self._kept.seconds < QUIET or not connection.reusable:
            connection.abort()
            return
        connection.rest(self._idle_time, self._kept.seconds)
        if not (self._waiters and self._promise(connection)):
            self._idle.append((connection, owner))

    def use(self, context: ssl.SSLContext) -> None:
        """Use this TLS context for new connections."""
        self._ssl = context

    def close(self) -> None:
        """Cut every connection."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        for connection in [*self._open, *self._tunnels]:
            connection.abort()

    def _new(self) -> UpstreamConnection:
        return UpstreamConnection(self._lost, self._timeout, self._outbox)

    def _lost(self, connection: UpstreamConnection) -> None:
        self._open.discard(connection)
        self._tunnels.discard(connection)
        others = [each for each in self._idle if each[0] is not connection]
        was_idle = len(others) < len(self._idle)
        self._idle = others
        if connection.idle_since < inf and isinstance(connection.error, HungUp):
            idle = asyncio.get_running_loop().time() - connection.idle_since
            self.ended_after(idle, is_sure=was_idle)
        self._offer_slot()

    def ended_after(self, idle: float, *, is_sure: bool = True) -> None:
        """The tool closed a connection that was idle for so long; or hung up on a request there: not `is_sure`."""
        self._keeps = self._keeps and idle > QUIET
        kept = self._kept if is_sure else self._kept_perhaps
        kept.ended_after(idle, asyncio.get_running_loop().time())

    def _take_place(self) -> bool:
        """Count a connection that is about to be made, if one more is allowed; return whether it is."""
        is_free = len(self._open) + self._connecting < self.limit
        self._connecting += is_free
        return is_free

    def _offer_slot(self) -> None:
        if len(self._open) + self._connecting < self.limit and self._promise(None):
            self._connecting += 1

    def _promise(self, connection: UpstreamConnection | None) -> bool:
        """Give a connection, or (None) the right to make one, to the request that has waited longest."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    async def _wait_for_one(self, until: float) -> UpstreamConnection | None:
        """Return a connection, or None if the caller may make one, which `_connecting` counts already."""
        if len(self._waiters) >= self.limit:
            raise UpstreamBusy(f"{self._address}: {self.limit} requests are waiting already")
        waiter: asyncio.Future[UpstreamConnection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout_at(until):
                return await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                self._pass_on(waiter.result())
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            if isinstance(error, TimeoutError):
                raise UpstreamTimeout(
                    f"{self._address}: no connection came free in {self._timeout:g} s"
                ) from error
            raise

    def _pass_on(self, freed: UpstreamConnection | None) -> None:
        if freed is None:
            self._connecting -= 1
            self._offer_slot()
        else:
            self.give_back(freed, None)

    def _look_after(self) -> None:
        """End all connections past their deadline. One timer serves all, which is cheaper than one per request."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in [each for each in (*self._open, *self._tunnels) if each.deadline < now]:
            connection.expire()
        self._kept.forget(now)
        self._kept_perhaps.forget(now)
        watched = self._open or self._tunnels
        self._watch = loop.call_later(self._tick, self._look_after) if watched else None
