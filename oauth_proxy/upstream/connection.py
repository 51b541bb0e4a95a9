"""One HTTP/1.1 connection to a tool: it sends a request and accepts one response, and nothing else.

The law: a response belongs to the exchange that asked for it. Bytes that arrive before any request, or after a
complete response, end the connection (response desynchronisation). A connection on which such bytes may still
arrive is not used again.
"""

import asyncio
import select
from collections.abc import Callable
from math import inf
from typing import cast

from oauth_proxy.errors import ProxyError, UpstreamNonsense, UpstreamTimeout, UpstreamUnreachable
from oauth_proxy.stall import keep_alive
from oauth_proxy.turns import SLICE, Slices, wake
from oauth_proxy.upstream.head import Head
from oauth_proxy.upstream.lost import unread, why_lost
from oauth_proxy.upstream.outbox import Outbox
from oauth_proxy.upstream.pieces import write_pieces
from oauth_proxy.upstream.reader import ResponseReader

HIGH_WATER = 131072
"""Bytes of a body held for a slow client before the tool's socket is paused."""

_SPENT = ResponseReader()  # shared by all connections that have become tunnels


class UpstreamConnection(asyncio.Protocol):
    """A connection for one exchange at a time. `timeout` is how many seconds the tool may let us wait.

    `ask` sends a request; its future ends when there is a `response_head`. Then `take` returns the part of the
    body that has arrived, and `more` waits for further parts, until `complete` or an `error`.
    """

    __slots__ = (
        "_asked", "_drained", "_loop", "_on_lost", "_outbox", "_poll", "_reader", "_reading_paused", "_slices",
        "_waiter", "deadline", "error", "exchanges", "idle_since", "sending", "timeout", "transport",
        "writing_paused",
    )  # fmt: skip
    transport: asyncio.Transport
    """Set in `connection_made`, before anyone else sees the connection."""

    def __init__(
        self, on_lost: Callable[["UpstreamConnection"], None], timeout: float, outbox: Outbox | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self._outbox = outbox or Outbox()
        self.timeout = timeout
        self._reader = ResponseReader()
        self._slices: Slices | None = None  # for chunked responses, because small chunks take long to parse
        self._waiter: asyncio.Future[None] = self._loop.create_future()
        self._drained: asyncio.Future[None] = self._loop.create_future()
        self._asked = False
        self.sending = False
        """The body of the request is still being sent."""
        self._reading_paused = False
        self.writing_paused = False
        self.exchanges = 0
        self.idle_since = inf
        """The loop's time at which the last exchange ended; inf before one has."""
        self.deadline = inf
        """The loop's time at which the tool is too late in an exchange, or the connection idle for too long."""
        self.error: ProxyError | None = None

    # Called by an exchange.

    def ask(
        self, request: bytes, *, to_head: bool = False, upgrading: bool = False, more_follows: bool = False
    ) -> asyncio.Future[None]:
        """Send a request's head, with its body unless `more_follows`; the future ends when there is a response."""
        self._reader.expect(to_head=to_head, upgrading=upgrading)
        self._asked = True
        self.exchanges += 1
        self.sending = more_follows
        if more_follows:
            self.deadline = inf
            self.write(request)
        else:
            self.deadline = self._loop.time() + self.timeout
            self._outbox.post(self, request)
        return self._wait()

    def response_head(self) -> Head:
        """Return the response's head, once the future of `ask` has ended. Raises the error of the exchange."""
        head = self._reader.head
        if head is None or (self.error is not None and not (self.complete or self.parsing)):
            raise self.error or UpstreamUnreachable("there is no answer")
        return head

    def more(self) -> asyncio.Future[None]:
        """Return a future that ends when the body has grown, is complete, or there is an `error`."""
        if self._reading_paused and not self._reader.buffered:
            self._reading_paused = False
            self.deadline = self._patience()
            if self._slices is not None:
                self._slices.go_on()
            else:
                self.transport.resume_reading()
        return self._wait()

    def take(self) -> list[bytes]:
        """Return the part of the body that has arrived since the last call."""
        return self._reader.take()

    @property
    def is_answered(self) -> bool:
        """Whether the head of a response has arrived."""
        return self._reader.head is not None

    @property
    def complete(self) -> bool:
        """Whether the whole response has arrived, although it may not be taken yet."""
        return self._reader.complete

    @property
    def parsing(self) -> bool:
        """Whether bytes have arrived that are not parsed yet; there may be such after an `error`, too."""
        return self._slices is not None and self._slices.held > 0

    def become_tunnel(self) -> bytes:
        """Stop reading responses and watching deadlines. Returns what the tool sent directly after its 101."""
        early = self._reader.early
        self.deadline = inf
        self.error = UpstreamUnreachable("the tunnel has ended")
        self._reader.close()
        self._reader = _SPENT  # saves memory: thousands of tunnels may be open and idle
        del self._poll
        return early

    def write(self, *pieces: bytes) -> None:
        """Send more of the request; call `drain` if `writing_paused`. After an `error` nothing is sent."""
        if self.error is None and len(pieces) == 1:
            self.transport.write(pieces[0])
        elif self.error is None:
            write_pieces(self.transport, pieces)

    async def drain(self) -> None:
        """Wait until the tool has read enough. Raises UpstreamTimeout if it reads nothing for `timeout` s."""
        while self.writing_paused:
            left = self.transport.get_write_buffer_size()
            drained = self._drained = self._loop.create_future()
            await asyncio.wait({drained}, timeout=self.timeout)
            if not drained.done() and self.transport.get_write_buffer_size() >= left:
                raise UpstreamTimeout(f"the tool took nothing of the request for {self.timeout:g} s")

    def sent(self) -> None:
        """The request's body has been sent: from now on the tool must respond in time, unless we do not read."""
        self.sending = False
        self.deadline = inf if self._reading_paused or self.complete else self._patience()

    # Called by the pool.

    @property
    def usable(self) -> bool:
        """Whether the connection is open, and no exchange uses it."""
        return not (self._asked or self.error or self.transport.is_closing())

    @property
    def silent(self) -> bool:
        """Whether the connection is usable, and no unread byte or end of stream waits in its socket."""
        return not (self._asked or self.error or self.transport.is_closing() or self._poll.poll(0))

    @property
    def reusable(self) -> bool:
        """Whether the exchange has ended, and another one may follow on this connection."""
        reader = self._reader
        clean = reader.complete and self.error is None and not self.sending and not self.transport.is_closing()
        return clean and reader.head is not None and reader.head.keep_alive

    def rest(self, idle: float, at_most: float) -> None:
        """Let the next exchange begin within `idle` seconds, or what the tool said, but within `at_most`."""
        self._asked = False
        self._slices = None
        said = self.response_head().rest
        self.idle_since = self._loop.time()
        self.deadline = self.idle_since + min(idle if said is None else said, at_most)

    def abort(self) -> None:
        """Cut the connection now, and drop unsent bytes."""
        self.fail(UpstreamUnreachable("the exchange was given up"))

    def expire(self) -> None:
        """The deadline has passed."""
        waited_for = "more of its answer" if self._reader.head else "its answer"
        self.fail(UpstreamTimeout(f"the tool let {waited_for} wait for {self.timeout:g} s"))

    def fail(self, error: ProxyError) -> None:
        """End the exchange with `error` and cut the connection."""
        if self.error is None:
            self.error = error
        self.deadline = inf
        self._drop()
        self.transport.abort()
        wake(self._waiter)

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has the methods only
        keep_alive(transport)  # an event stream has no deadline, so the system must detect that the tool is gone
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket"), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Parse bytes of the response: all at once if that takes a constant time, otherwise in slices."""
        while self._reader.head is None and len(data) > SLICE:
            self._read(data[:SLICE])
            if self.error is not None:
                return
            data = data[SLICE:]
        head = self._reader.head
        if head is None or not head.chunked or self.complete:
            self._read(data)
            if self._reader.head is not None:
                wake(self._waiter)
        else:
            if self._slices is None:
                self._slices = Slices(self._read_slice, hold=self.transport.pause_reading, release=self._release)
            self._slices.feed(data)

    def _read_slice(self, data: bytes) -> bool:
        """Parse a slice of a chunked response; return whether the next slice may follow at once."""
        if self._slices is None:
            return False  # the exchange has failed meanwhile
        self._read(data)
        wake(self._waiter)
        if self.complete and self.parsing:
            self.fail(UpstreamNonsense("bytes after a complete answer"))
        return not self._reading_paused and self._slices is not None

    def _release(self) -> None:
        """Resume the socket, unless the client has to read first, or the present response waits for its turn."""
        if not (self._reading_paused or (self._slices is not None and self._slices.wait)):
            self.transport.resume_reading()

    def _read(self, data: bytes) -> None:
        """Parse bytes of the response."""
        reader = self._reader
        if not self._asked or self.complete:
            self.fail(UpstreamNonsense("the tool spoke when nobody had asked"))
            return
        try:
            reader.feed(data)
        except UpstreamNonsense as error:
            self.fail(error)
            return
        if reader.head is None:
            return
        if self.sending:  # the tool may take the rest of this body for a new request and answer it
            reader.head.keep_alive = False
        if reader.complete:
            self.deadline = inf
        elif reader.buffered > HIGH_WATER or reader.head.status == 101:
            self._reading_paused = True
            self.deadline = inf  # the client is slow, not the tool
            self.transport.pause_reading()
        else:
            self.deadline = self._patience()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, by either side. What has arrived until then is still parsed."""
        if self.error is None and self._asked and not self.complete and (rest := unread(self.transport)):
            self.data_received(rest)
        if self.error is None:
            self.error = why_lost(self._reader, exc, asked=self._asked)
        if not self.parsing:
            self._drop()
        self.resume_writing()
        wake(self._waiter)
        self._on_lost(self)

    def pause_writing(self) -> None:
        """The tool reads more slowly than we write."""
        self.writing_paused = True

    def resume_writing(self) -> None:
        """The tool has read enough; writing may continue."""
        self.writing_paused = False
        wake(self._drained)

    def _drop(self) -> None:
        """Break reference cycles: otherwise the memory stays in use until a full garbage collection."""
        self._slices = None
        self._reader.close()

    def _patience(self) -> float:
        """Return the deadline for the next byte. An event stream has none: it may be silent for hours."""
        head = self._reader.head
        if self.sending or (head is not None and head.event_stream):
            return inf
        return self._loop.time() + self.timeout

    def _wait(self) -> asyncio.Future[None]:
        waiter = self._waiter = self._loop.create_future()
        if self._reader.complete or self._reader.buffered or (self.error and not self.parsing):
            waiter.set_result(None)
        return waiter
