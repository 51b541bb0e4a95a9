"""One tool: forwards requests to it, and its responses to the clients.

The law: a request is sent again only when that cannot do anything twice (RFC 9110 9.2.2): its method is
idempotent, all of it is still in hand, and the connection was an old one that ended before a single byte of a
response.
"""

import asyncio
import logging
import ssl
from time import monotonic

from oauth_proxy.endings import SESSION_OVER, Ending, ending_of
from oauth_proxy.errors import BadRequest, HungUp, ProxyError, RequestTooSlow
from oauth_proxy.requests import Request
from oauth_proxy.telemetry import Traffic
from oauth_proxy.upstream.claims import Claims
from oauth_proxy.upstream.connection import UpstreamConnection
from oauth_proxy.upstream.ends import Tunnels
from oauth_proxy.upstream.head import Head
from oauth_proxy.upstream.moved import Moved
from oauth_proxy.upstream.outgoing import Body, Outgoing, header_lines, request_head
from oauth_proxy.upstream.pool import Address, Pool
from oauth_proxy.upstream.relay import Forwarded, pass_on
from oauth_proxy.upstream.shares import Shares
from oauth_proxy.upstream.tunnel import tunnel

log = logging.getLogger(__name__)

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})


class Upstream:
    """Forwards requests to one tool. Create it inside a running event loop, and `close` it.

    All times are seconds. `timeout` is how long the tool may take to begin its response and to continue it; event
    streams may be silent without limit. At most `limit` exchanges are in progress at once, and as many more may
    wait for `timeout`; `most_tunnels` WebSockets may be open besides. Each owner has a share of each. An unused
    connection is kept for as long as the tool says in Keep-Alive, otherwise for `idle`: by default less than the
    five seconds after which many servers close one. A client's body must arrive with `body_rate` bytes a second,
    over a minute. `claims` removes from the tool's responses what only we may send, and `moved` rewrites what
    leads to the tool.
    """

    def __init__(
        self,
        address: Address,
        *,
        claims: Claims,
        moved: Moved | None = None,
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
        self._claims = claims
        self._moved = moved
        self.shares = Shares(limit, timeout)
        """What each owner has of the exchanges."""
        self.tunnel_shares = Shares(most_tunnels, 0)
        """What each owner has of the WebSockets."""
        self._tunnels = Tunnels()
        self._body_rate = body_rate
        self.traffic = Traffic()
        """What has been counted of the requests for this tool."""

    async def forward(self, request: Request, outgoing: Outgoing) -> Forwarded:
        """Send the request to the tool and its response to the client. The result has been sent already.

        Raises only before anything is sent to the client: UpstreamUnreachable, UpstreamNonsense, UpstreamTimeout,
        UpstreamBusy, TooManyAtOnce, RequestTooSlow, BadRequest. After that, a response that cannot be finished is
        cut.
        """
        method, owner = request.method, outgoing.owner
        if method == "CONNECT":
            raise BadRequest("CONNECT asks for a tunnel to somewhere else")
        body = Body(request, self._body_rate, outgoing.body)
        wire = request_head(method, outgoing.target, outgoing.lines, body.framing)
        started = monotonic()
        try:
            if not self.shares.take(owner):
                await self.shares.wait(owner)
            try:
                is_repeatable = method in _IDEMPOTENT and body.in_hand is not None
                at_rest = self._pool.at_rest(owner, is_repeatable=is_repeatable)
                connection = at_rest or await self._pool.connect()
                request.asked = True
                try:
                    if body.in_hand is None:
                        return await self._while_sending(request, body, connection, wire, outgoing, started)
                    if body.in_hand:
                        wire += body.in_hand
                    to_head = method == "HEAD"
                    await connection.ask(wire, to_head=to_head)
                    if isinstance(connection.error, HungUp) and connection.exchanges > 1 and is_repeatable:
                        log.debug("sent again: the tool had closed an old connection")
                        idle = asyncio.get_running_loop().time() - connection.idle_since
                        connection = await self._pool.connect()
                        await connection.ask(wire, to_head=to_head)
                        if connection.is_answered:  # so it was not this request on which the tool hung up
                            self._pool.ended_after(idle)
                    head = self._head(connection, request, started)
                    return await pass_on(
                        request,
                        connection,
                        head,
                        claims=self._claims,
                        added=outgoing.added,
                        keep_alive=request.keep_alive and not body.chunked,
                        traffic=self.traffic,
                    )
                finally:
                    self._pool.give_back(connection, owner)
            finally:
                self.shares.give_back(owner)
        except BaseException as error:
            self.traffic.failed(_kind(error))
            raise

    async def _while_sending(
        self,
        request: Request,
        body: Body,
        connection: UpstreamConnection,
        wire: bytes,
        outgoing: Outgoing,
        started: float,
    ) -> Forwarded:
        """Send a request whose body is still arriving: the tool may respond before it has all of it.

        An error response (413 and the like) ends the sending at once, unless the tool ends it by closing: it may
        want to read everything before that. Any other early response is forwarded meanwhile, and ends the sending
        when it is complete. In each case, neither connection is used for another request.
        """
        response = connection.ask(wire, to_head=request.method == "HEAD", more_follows=True)
        sender = asyncio.create_task(body.send(connection))
        try:
            await response
            head = self._head(connection, request, started)
            keep_alive = request.keep_alive and not (body.chunked or connection.sending)
            if head.status >= 400 and not head.until_close and connection.sending:
                sender.cancel()
                connection.sent()  # nothing more: from now on it is the tool that is waited for
            return await pass_on(
                request,
                connection,
                head,
                claims=self._claims,
                added=outgoing.added,
                keep_alive=keep_alive,
                traffic=self.traffic,
            )
        finally:
            sender.cancel()
            await asyncio.wait({sender})  # it must stop reading the body before aiohttp discards the rest

    def _head(self, connection: UpstreamConnection, request: Request, started: float) -> Head:
        """The head of the tool's response, which has begun. Raises what the exchange has failed with."""
        head = connection.response_head()
        self.traffic.began(head.status, monotonic() - started)
        if self._moved is not None:
            self._moved.rewrite(head, request.headers["Host"])
        return head

    async def tunnel(self, request: Request, outgoing: Outgoing) -> Forwarded:
        """Open a WebSocket to the tool and forward it; returns when it has ended.

        Cancel this to cut it; with an Ending as the message, it is closed with a Close frame where it can be.

        Raises the errors of `forward`. A response other than 101 is forwarded as an ordinary one, and closes the
        client's connection.
        """
        try:
            if not self.tunnel_shares.take(outgoing.owner):
                await self.tunnel_shares.wait(outgoing.owner)
            try:
                head_of = self._head
                return await tunnel(
                    self._pool, request, outgoing, self._claims, self._tunnels, self.traffic, head_of
                )
            finally:
                self.tunnel_shares.give_back(outgoing.owner)
        except BaseException as error:
            self.traffic.failed(_kind(error))
            raise

    async def probe(self, target: bytes, host: bytes) -> Head:
        """Ask the tool for this target on a connection of its own, and return the head of its answer.

        For a check that serves nobody. Raises UpstreamUnreachable, UpstreamNonsense and UpstreamTimeout.
        """
        lines = header_lines([(b"Host", host), (b"User-Agent", b"oauth-proxy check"), (b"Connection", b"close")])
        connection = await self._pool.connect()
        try:
            await connection.ask(request_head("GET", target, lines, b""))
            return connection.response_head()
        finally:
            connection.abort()

    def close_tunnels(self, ending: Ending) -> None:
        """Close every WebSocket, and each that is opened later. Returns at once."""
        self._tunnels.close(ending)

    def use(self, context: ssl.SSLContext) -> None:
        """Use this TLS context for new connections."""
        self._pool.use(context)

    async def close(self) -> None:
        """Cut every connection to the tool."""
        self._pool.close()
        await asyncio.sleep(0)  # the loop reports them lost in its next turn

    @property
    def open_connections(self) -> int:
        """The number of connections for exchanges, including idle ones."""
        return self._pool.open

    @property
    def idle_connections(self) -> int:
        """The number of idle connections."""
        return self._pool.idle

    @property
    def tunnels(self) -> int:
        """The number of WebSockets that are open or opening."""
        return self._pool.tunnels

    @property
    def waiting(self) -> int:
        """The number of requests waiting for a connection."""
        return self._pool.waiting

    @property
    def limit(self) -> int:
        """The most connections for exchanges."""
        return self._pool.limit


def _kind(error: BaseException) -> str:
    """Return what an exchange that ended with this error counts as; see `Traffic.failed`."""
    if isinstance(error, ProxyError):
        return "body_too_slow" if isinstance(error, RequestTooSlow) else error.name.removeprefix("upstream_")
    if isinstance(error, asyncio.CancelledError) and (ending := ending_of(error)) is not None:
        return "session_over" if ending == SESSION_OVER else "stopping"
    return "visitor_left" if isinstance(error, ConnectionError | asyncio.CancelledError) else "fault"
