"""One HTTP/1.1 connection to a tool: a request goes out, one answer comes in, nothing else is believed.

The law: an answer belongs to the exchange that asked for it. Bytes that come before anybody asked, or after an
answer is complete, end the connection (response desynchronisation); where some may still be on their way, nobody
asks there again.
"""

import asyncio
import select
import socket
from collections.abc import Callable
from math import inf
from typing import cast

from oauth_proxy.errors import HungUp, ProxyError, UpstreamNonsense, UpstreamTimeout, UpstreamUnreachable
from oauth_proxy.turns import SLICE, Slices
from oauth_proxy.upstream.head import Head
from oauth_proxy.upstream.outbox import Outbox
from oauth_proxy.upstream.reader import ResponseReader

HIGH_WATER = 131072
"""Bytes of body held for a slow visitor before the tool is no longer read."""


_SPENT = ResponseReader()
"""Of every connection that has become a tunnel."""


class UpstreamConnection(asyncio.Protocol):
    """A connection for one exchange at a time; `timeout` is the tool's patience in seconds.

    `ask` sends a request; its future ends when there is an `answer`. Then `take` gives what has come of the body
    and `more` waits for the next of it, until `complete` or an `error`.
    """

    __slots__ = (
        "_asked", "_drained", "_loop", "_on_lost", "_outbox", "_poll", "_reader", "_reading_paused", "_slices",
        "_waiter", "deadline", "error", "exchanges", "sending", "timeout", "transport", "writing_paused",
    )  # fmt: skip
    transport: asyncio.Transport
    """Where the bytes go; there from `connection_made` on, before anybody gets to see the connection."""

    def __init__(
        self, on_lost: Callable[["UpstreamConnection"], None], timeout: float, outbox: Outbox | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self._outbox = outbox or Outbox()
        self.timeout = timeout
        self._reader = ResponseReader()
        self._slices: Slices | None = None
        """Where the answer comes in chunks, which take long to parse when they are small."""
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._asked = False
        self.sending = False
        """A request's body is on its way."""
        self._reading_paused = False
        self.writing_paused = False
        self.exchanges = 0
        self.deadline = inf
        """The loop's time at which patience ends: with the tool while it is asked, with idleness after."""
        self.error: ProxyError | None = None

    # What an exchange calls.

    def ask(
        self, request: bytes, *, to_head: bool = False, upgrading: bool = False, more_follows: bool = False
    ) -> asyncio.Future[None]:
        """Send a request's head, with its body unless `more_follows`; the future ends when there is an answer."""
        self._reader.expect(to_head=to_head, upgrading=upgrading)
        self._asked = True
        self.exchanges += 1
        self.sending = more_follows
        self.deadline = self._patience()
        if more_follows:
            self.write(request)
        else:
            self._outbox.post(self, request)
        return self._wait()

    def answer(self) -> Head:
        """The answer's head, when the future of `ask` has ended; the exchange's failure is raised."""
        head = self._reader.head
        if head is None or (self.error is not None and not self.complete):
            raise self.error or UpstreamUnreachable("there is no answer")
        return head

    def more(self) -> asyncio.Future[None]:
        """Ends when the body has grown, is complete, or there is an `error`."""
        if self._reading_paused and not self._reader.buffered:
            self._reading_paused = False
            self.deadline = self._patience()
            if self._slices is not None:
                self._slices.go_on()
            else:
                self.transport.resume_reading()
        return self._wait()

    def take(self) -> list[bytes]:
        """What has come of the body since the last call."""
        return self._reader.take()

    @property
    def answered(self) -> bool:
        """The head of an answer is here."""
        return self._reader.head is not None

    @property
    def complete(self) -> bool:
        """The whole answer is here, though maybe not taken."""
        return self._reader.complete

    def become_tunnel(self) -> bytes:
        """No more answers are read here, and no deadline holds; what the tool said right behind its 101."""
        early = self._reader.early
        self.deadline = inf
        self.error = UpstreamUnreachable("the tunnel has ended")
        self._reader.close()
        self._reader = _SPENT  # thousands may be open, and idle
        del self._poll
        return early

    def write(self, *pieces: bytes) -> None:
        """Send more of the request; wait for `drain` when `writing_paused`. After an `error` nothing is sent."""
        if self.error is not None:
            return
        if len(pieces) == 1:
            self.transport.write(pieces[0])
        else:
            self.transport.writelines(pieces)

    async def drain(self) -> None:
        """Wait until the tool has caught up; UpstreamTimeout is raised when it takes nothing for its patience."""
        while self.writing_paused:
            left = self.transport.get_write_buffer_size()
            drained = self._drained = self._loop.create_future()
            await asyncio.wait({drained}, timeout=self.timeout)
            if not drained.done() and self.transport.get_write_buffer_size() >= left:
                raise UpstreamTimeout(f"the tool took nothing of the request for {self.timeout:g} s")

    def sent(self) -> None:
        """The request that was to follow is out: from now on the tool owes an answer."""
        self.sending = False
        self.deadline = self._patience()

    # What the pool calls.

    @property
    def usable(self) -> bool:
        """The connection is open and nobody waits on it."""
        return not (self._asked or self.error or self.transport.is_closing())

    @property
    def silent(self) -> bool:
        """The connection is usable, and no byte or end of it waits in the socket for the loop to see it."""
        return self.usable and not self._poll.poll(0)

    @property
    def reusable(self) -> bool:
        """The exchange is over and has left the connection clean."""
        reader = self._reader
        clean = reader.complete and self.error is None and not self.sending and not self.transport.is_closing()
        return clean and reader.head is not None and reader.head.keep_alive

    def rest(self, idle: float) -> None:
        """The exchange is over; whoever comes within `idle` seconds may ask next."""
        self._asked = False
        self._slices = None
        self.deadline = self._loop.time() + idle

    def abort(self) -> None:
        """Cut the connection now, unsent bytes and all."""
        self.fail(UpstreamUnreachable("the exchange was given up"))

    def expire(self) -> None:
        """Patience has ended."""
        waited_for = "more of its answer" if self._reader.head else "its answer"
        self.fail(UpstreamTimeout(f"the tool let {waited_for} wait for {self.timeout:g} s"))

    def fail(self, error: ProxyError) -> None:
        """End the exchange with `error` and cut the connection."""
        if self.error is None:
            self.error = error
        self.deadline = inf
        self._slices = None
        self.transport.abort()
        _wake(self._waiter)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        sock = transport.get_extra_info("socket")
        # An event stream has no deadline: the system has to notice a tool that went without a word.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer: all at once where that takes a constant time, else in slices."""
        while self._reader.head is None and len(data) > SLICE and self.error is None:
            self._read(data[:SLICE])
            data = data[SLICE:]
        head = self._reader.head
        if head is None or not head.chunked or self.complete:
            self._read(data)
        else:
            if self._slices is None:
                self._slices = Slices(self._read_slice, hold=self.transport.pause_reading, release=self._release)
            self._slices.feed(data)

    def _read_slice(self, data: bytes) -> bool:
        """Read a slice of an answer in chunks; whether the next one may follow at once."""
        self._read(data)
        if self.complete and self._slices is not None and self._slices.held:
            self.fail(UpstreamNonsense("bytes after a complete answer"))
        return not (self._reading_paused or self.error)

    def _release(self) -> None:
        """Read the socket again, unless the visitor has to catch up."""
        if not self._reading_paused:
            self.transport.resume_reading()

    def _read(self, data: bytes) -> None:
        """Hand on bytes of the answer, and wake whoever waits for them."""
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
        if self.sending:  # what is left of the body the tool may take for a request, and answer it
            reader.head.keep_alive = False
        if reader.complete:
            self.deadline = inf
        elif reader.buffered > HIGH_WATER or reader.head.status == 101:
            self._reading_paused = True
            self.deadline = inf  # the visitor is slow, not the tool
            self.transport.pause_reading()
        else:
            self.deadline = self._patience()
        _wake(self._waiter)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, by whomever."""
        if self.error is None:
            self.error = self._why_lost(exc)
        self.writing_paused = False
        # What refers to us, and what it holds, would stay until a full garbage collection.
        self._slices = None
        self._reader.close()
        _wake(self._drained)
        _wake(self._waiter)
        self._on_lost(self)

    def pause_writing(self) -> None:
        """The tool is slower than the visitor."""
        self.writing_paused = True

    def resume_writing(self) -> None:
        """The tool has caught up."""
        self.writing_paused = False
        _wake(self._drained)

    def _why_lost(self, exc: Exception | None) -> ProxyError:
        """The failure that the end of the socket is; to an answer that is complete it is none."""
        why = f" ({exc})" if exc else ""
        if not self._reader.begun:
            return HungUp(f"the tool hung up before its answer{why}")
        if exc is None and self._reader.end():
            return HungUp("the tool closed the connection")
        return UpstreamUnreachable(f"the tool hung up in the middle of its answer{why}")

    def _patience(self) -> float:
        """Until when the next byte may take. Between events a stream may be silent for hours: it is never late."""
        head = self._reader.head
        if self.sending or (head is not None and head.event_stream):
            return inf
        return self._loop.time() + self.timeout

    def _wait(self) -> asyncio.Future[None]:
        waiter = self._waiter = self._loop.create_future()
        if self.error or self._reader.complete or self._reader.buffered:
            waiter.set_result(None)
        return waiter


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
