"""One tool: how it is reached, how many connections it is given, and how long anybody waits for it."""

import asyncio
import ssl
from collections.abc import Coroutine

from aiohttp import web

from oauth_proxy.upstream.forward import forward
from oauth_proxy.upstream.pool import Address, Pool
from oauth_proxy.upstream.response import Forwarded, Lines
from oauth_proxy.upstream.shares import Shares
from oauth_proxy.upstream.tunnel import tunnel


class Upstream:
    """The way to one tool; make it inside a running event loop, and `close` it.

    All times are seconds. `timeout` is how long the tool may take to begin its answer and to go on with it; event
    streams may be silent for as long as they like. At most `limit` exchanges are under way at once and as many
    more may wait for `timeout`; `most_tunnels` WebSockets may be open beside them. An owner has a share of each.
    An unused connection is kept for `idle`, by default less than the five seconds after which many servers hang up
    by themselves. `body_rate` is how many bytes a second have to come of a visitor's body, over a minute.
    """

    def __init__(
        self,
        address: Address,
        *,
        timeout: float,
        body_rate: float,
        ssl_context: ssl.SSLContext | None = None,
        connect_timeout: float = 5.0,
        limit: int = 1024,
        most_tunnels: int = 16384,
        idle: float = 4.0,
    ) -> None:
        self._pool = Pool(
            address,
            ssl_context=ssl_context,
            timeout=timeout,
            connect_timeout=connect_timeout,
            limit=limit,
            most_tunnels=most_tunnels,
            idle=idle,
        )
        self._shares = Shares(limit, timeout)
        self._tunnel_shares = Shares(most_tunnels, 0)
        self._body_rate = body_rate

    def forward(
        self,
        request: web.BaseRequest,
        owner: str,
        *,
        target: bytes,
        headers: Lines,
        added: Lines,
        ours: bytes = b"",
    ) -> Coroutine[None, None, Forwarded]:
        """Ask the tool and pass its answer on to the visitor; what is returned has been sent already.

        `owner` is whose share it counts for, and who may go on where one's own last answer ended: any text that is
        one visitor's alone. `target` goes into the request
        line as it is (RFC 9112 3.2). `headers` are the lines for the tool, in order
        and without any that frame the message or belong to one hop; `ours`, from `whole_lines`, come before them.
        `added` are lines for the visitor, put after the tool's own.

        Raises while nothing has been sent to the visitor: UpstreamUnreachable, UpstreamNonsense, UpstreamTimeout,
        UpstreamBusy, TooManyAtOnce, RequestTooSlow, BadRequest. After that, an answer that cannot be finished is
        cut.
        """
        exchange = forward(
            self._pool,
            request,
            owner,
            target=target,
            headers=headers,
            ours=ours,
            added=added,
            body_rate=self._body_rate,
        )
        return self._shares.during(owner, exchange)

    def tunnel(
        self,
        request: web.BaseRequest,
        owner: str,
        *,
        target: bytes,
        headers: Lines,
        added: Lines,
        ours: bytes = b"",
    ) -> Coroutine[None, None, Forwarded]:
        """Ask the tool for a WebSocket and carry it; returns when it has ended, and cancelling ends it.

        Arguments and errors are those of `forward`; an answer other than 101 is passed on as an ordinary one and
        closes the visitor's connection.
        """
        exchange = tunnel(self._pool, request, target=target, headers=headers, ours=ours, added=added)
        return self._tunnel_shares.during(owner, exchange)

    async def close(self) -> None:
        """Cut every connection to the tool."""
        self._pool.close()
        await asyncio.sleep(0)  # the loop lets go of them in its next round

    @property
    def open_connections(self) -> int:
        """Connections to the tool for exchanges, idle ones among them."""
        return self._pool.open

    @property
    def idle_connections(self) -> int:
        """Connections kept for the next request."""
        return self._pool.idle

    @property
    def tunnels(self) -> int:
        """WebSockets open, or being opened."""
        return self._pool.tunnels

    @property
    def waiting(self) -> int:
        """Requests that wait for a connection."""
        return self._pool.waiting
