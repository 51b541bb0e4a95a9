"""One HTTP/1.1 connection to a tool: a request goes out, one answer comes in, nothing else is believed.

The law: an answer belongs to the exchange that asked for it. Bytes that come before anybody asked or after an
answer is complete end the connection; they are never kept for the next visitor (response desynchronisation).
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import cast

import httptools

from oauth_proxy.errors import ProxyError, UpstreamNonsense, UpstreamTimeout, UpstreamUnreachable
from oauth_proxy.upstream import head as heads

HIGH_WATER = 131072
"""Bytes of body held for a slow visitor before the tool is no longer read."""
_MAX_INTERIM = 32


class HungUp(UpstreamUnreachable):
    """The tool closed the connection before the first byte of its answer."""


class Connection(asyncio.Protocol):
    """A connection for one exchange at a time; `timeout` is the tool's patience in seconds.

    `ask` sends a request; its future ends when `head` is there or `error` is. Then `take` gives what has come of
    the body and `more` waits for the next of it, until `complete`.
    """

    transport: asyncio.Transport
    """Where the bytes go; there from `connection_made` on, before anybody gets to see the connection."""

    def __init__(self, on_lost: Callable[["Connection"], None], timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self.timeout = timeout
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._raw = b""
        self._body: list[bytes] = []
        self._buffered = 0
        self._asked = False
        self._to_head = False
        self._upgrading = False
        self._interim = 0
        self._sending = False
        self._reading_paused = False
        self.writing_paused = False
        self.exchanges = 0
        self.deadline = inf
        """The loop's time at which patience ends: with the tool while it is asked, with idleness after."""
        self.head: heads.Head | None = None
        self.complete = False
        self.error: ProxyError | None = None
        self.early = b""
        """After 101, bytes of the new protocol that came with it."""

    # What an exchange calls.

    def ask(self, request: bytes, *, to_head: bool = False, upgrading: bool = False) -> asyncio.Future[None]:
        """Send a request's head, with its body or without; the future ends when there is a `head` or `error`."""
        if self._to_head:
            self._parser = httptools.HttpResponseParser(self)  # llhttp expects the body that HEAD has not
        self.head, self.complete, self._raw, self._interim = None, False, b"", 0
        self._asked, self._to_head, self._upgrading = True, to_head, upgrading
        self.exchanges += 1
        self.deadline = self._loop.time() + self.timeout
        self.transport.write(request)
        return self._wait()

    def answer(self) -> heads.Head:
        """The answer's head, when what `ask` gave has ended; the exchange's failure is raised."""
        if self.head is None or (self.error is not None and not self.complete):
            raise self.error or UpstreamUnreachable("there is no answer")
        return self.head

    def more(self) -> asyncio.Future[None]:
        """Ends when the body has grown, is complete, or `error` is set."""
        if self._reading_paused and not self._buffered:
            self._reading_paused = False
            self.deadline = self._patience()
            self.transport.resume_reading()
        return self._wait()

    def take(self) -> list[bytes]:
        """What has come of the body since the last call."""
        pieces, self._body, self._buffered = self._body, [], 0
        return pieces

    def write(self, *pieces: bytes) -> None:
        """Send more of the request's body; wait for `drain` when `writing_paused`."""
        self.transport.writelines(pieces)

    async def drain(self) -> None:
        """Wait until the tool takes more of the request."""
        if self.writing_paused:
            self._drained = self._loop.create_future()
            await self._drained

    @property
    def sending(self) -> bool:
        """A request's body is on its way: meanwhile the tool owes no answer."""
        return self._sending

    @sending.setter
    def sending(self, value: bool) -> None:
        self._sending = value
        self.deadline = self._patience()

    @property
    def usable(self) -> bool:
        """The connection is open and nobody waits on it."""
        return not (self._asked or self.error or self.transport.is_closing())

    @property
    def reusable(self) -> bool:
        """The exchange is over and left the connection clean."""
        return (
            self.complete
            and self.error is None
            and not self._sending
            and self.head is not None
            and self.head.keep_alive
            and not self.transport.is_closing()
        )

    def rest(self, idle: float) -> None:
        """The exchange is over; whoever comes within `idle` seconds may ask next.

        What its visitor left without taking is forgotten here.
        """
        self._asked = False
        self._body, self._buffered = [], 0
        self.deadline = self._loop.time() + idle

    def abort(self) -> None:
        """Cut the connection now, unsent bytes and all."""
        self.fail(UpstreamUnreachable("the exchange was given up"))

    def expire(self) -> None:
        """Patience has ended."""
        waited_for = "more of its answer" if self.head else "its answer"
        self.fail(UpstreamTimeout(f"the tool let {waited_for} wait for {self.timeout:g} s"))

    def fail(self, error: ProxyError) -> None:
        """End the exchange with `error` and cut the connection."""
        if self.error is None:
            self.error = error
        self.deadline = inf
        self.transport.abort()
        self._wake()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer; whoever waits is woken once for all of them."""
        if not self._asked or self.complete:
            self.fail(UpstreamNonsense("the tool spoke when nobody had asked"))
            return
        if self.head is None:
            self._raw += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._switch(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(error)
        if self.head is None:
            if len(self._raw) > heads.MAX_BYTES:
                self.fail(UpstreamNonsense(f"the head is longer than {heads.MAX_BYTES} bytes"))
            return
        self.deadline = self._patience()
        if self._buffered > HIGH_WATER and not self.complete:
            self._reading_paused = True
            self.deadline = inf  # the visitor is slow, not the tool
            self.transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, by whomever."""
        if self._asked and not self.complete:
            self._hung_up(exc)
        elif self.error is None:
            self.error = HungUp("the tool closed the connection")
        self.writing_paused = False
        self._wake_drain()
        self._wake()
        self._on_lost(self)

    def pause_writing(self) -> None:
        """The tool is slower than the visitor."""
        self.writing_paused = True

    def resume_writing(self) -> None:
        """The tool has caught up."""
        self.writing_paused = False
        self._wake_drain()

    # What llhttp calls, in the middle of data_received. An exception becomes an HttpParserCallbackError.

    def on_message_begin(self) -> None:
        """A status line begins."""
        if self.complete:
            raise UpstreamNonsense("bytes after a complete answer")

    def on_headers_complete(self) -> None:
        """A head is complete, final or interim (RFC 9110 15.2)."""
        if self.complete:
            raise UpstreamNonsense("a second answer")
        end = self._raw.find(b"\r\n\r\n") + 4
        if end > heads.MAX_BYTES:
            raise UpstreamNonsense(f"the head is longer than {heads.MAX_BYTES} bytes")
        head = heads.read(self._raw[:end], to_head=self._to_head)
        self._raw = self._raw[end:]
        if head.status >= 200 or head.status == 101:
            self._accept(head)
            return
        self._interim += 1  # 100 and 103 are for us; RFC 9110 15.2 lets a proxy keep them
        if self._interim > _MAX_INTERIM:
            raise UpstreamNonsense("interim answers without end")

    def on_body(self, data: bytes) -> None:
        """A piece of the body, without its chunks."""
        if self.complete:
            raise UpstreamNonsense("a body where none may be")
        self._body.append(data)
        self._buffered += len(data)

    def on_message_complete(self) -> None:
        """An answer is complete."""
        if self.head is not None and self.head.status != 101:
            self.complete = True

    # The rest is ours.

    def _accept(self, head: heads.Head) -> None:
        if head.status == 101 and not self._upgrading:
            raise UpstreamNonsense("101 to a request that asked for no other protocol")
        self.head = head
        self._raw = b""
        self.complete = head.length == 0 and head.status != 101

    def _switch(self, early: bytes) -> None:
        self.early = early
        self.transport.pause_reading()

    def _refuse(self, error: httptools.HttpParserError) -> None:
        """An answer that is already complete stands; the connection falls either way."""
        cause = error.__context__
        if not isinstance(cause, UpstreamNonsense):
            cause = UpstreamNonsense(f"llhttp: {error}")
        self.fail(cause)

    def _hung_up(self, exc: Exception | None) -> None:
        why = f" ({exc})" if exc else ""
        if self.head is None:
            began = self._raw or self._interim
            kind = UpstreamUnreachable if began else HungUp
            self.error = self.error or kind(f"the tool hung up before its answer{why}")
        elif exc is None and self.error is None and self.head.until_close:
            self.complete = True
        else:
            self.error = self.error or UpstreamUnreachable(f"the tool hung up in the middle of its answer{why}")

    def _patience(self) -> float:
        """Until when the next byte may take. Between events a stream may be silent for hours: it is never late."""
        if self._sending or (self.head is not None and self.head.event_stream):
            return inf
        return self._loop.time() + self.timeout

    def _wait(self) -> asyncio.Future[None]:
        waiter = self._loop.create_future()
        if self.error or self.complete or self._buffered:
            waiter.set_result(None)
        else:
            self._waiter = waiter
        return waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _wake_drain(self) -> None:
        waiter, self._drained = self._drained, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
