"""One client's connection: aiohttp's protocol with our limits and our error responses.

The law: a malformed request is refused with one log line and is never echoed. A client that does not read its
responses is cut off.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, cast

from aiohttp import StreamReader, web

from oauth_proxy.aiohttp_private import BODY_ERRORS, NO_HEAD, Head, as_http1
from oauth_proxy.capacity import Capacity
from oauth_proxy.endings import GONE, ending_of
from oauth_proxy.errors import BadRequest, VersionNotSupported
from oauth_proxy.lingering import Lingering
from oauth_proxy.outcomes import Outcome
from oauth_proxy.reading import Reading
from oauth_proxy.requests import Request
from oauth_proxy.stall import StallWatch, handed_over

log = logging.getLogger(__name__)

UNSENT = 65_536
"""Bytes written but not yet sent, above which writing pauses. With TLS, the event loop's default is half a MiB."""
LINGER = 2.0
"""Seconds that a client has to answer a last word."""
PAUSE = 1.0
"""Seconds before a last word. Many pages open a WebSocket again as soon as it is closed, for ever: they are told
once a second, and not as fast as they can ask."""

Answered = Callable[[Request, Outcome, float], None]
"""Is called after each response with the seconds it took."""
Handler = Callable[[Request], Awaitable[Outcome]]
Refusal = Callable[[Request, BadRequest], Outcome]
"""Makes the response to bytes that are not a valid request. Only the client's address is known."""


class ClientConnection(Reading):
    """One client's connection. It is closed when no complete request head arrives within `idle` seconds."""

    __slots__ = (
        *("_answered", "_capacity", "_end", "_ends_at", "_handler", "_idle"),
        *("_last_word", "_refusal", "_timer", "_unread"),
    )

    def __init__(
        self,
        server: web.Server,
        *,
        handler: Handler,
        refusal: Refusal,
        answered: Answered,
        capacity: Capacity,
        idle: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(server, **kwargs)
        self._capacity = capacity
        self._end: Callable[[], None] | None = None
        """Ends the connection at once; None until it is admitted."""
        self._answered = answered
        self._handler = handler
        self._refusal = refusal
        self._unread = StallWatch()
        self._idle = idle
        self._last_word = b""
        self._ends_at = 0.0
        """The loop's time by which the next request must have arrived."""
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Handle one request after another, all in this task.

        aiohttp's own version starts a task per request, so that every handler has its own context variables. Our
        handlers use none, and a task costs more than a tenth of the time of a small request.
        """
        loop = self.loop
        self.task = asyncio.current_task()
        try:
            while not self._is_closing:
                self._ends_at = loop.time() + self._idle
                if self._timer is None:  # the last timer fired while a request was being handled
                    self._timer = loop.call_at(self._ends_at, self._look_at_the_clock)
                if self.writing_paused:
                    await self.taken()
                self._capacity.rest(self)
                head, body = await self._next()
                self._capacity.wake(self)
                may_go_on = await self._respond(head, body)
                if not (may_go_on and body.is_eof()) and not await self._finished(body, may_go_on=may_go_on):
                    break
                if not body.at_eof():
                    body.read_nowait()  # else it would be held for as long as the connection is idle
            if self.transport is not None and self.transport.get_extra_info("ssl_object") is not None:
                await handed_over(self.transport)
        except Exception as error:  # noqa: BLE001 - the response failed: all that is left is to log
            log.warning("a connection failed: %s", type(error).__name__)
        finally:
            self.task = None
            if self.transport is not None:
                self._unread.start(self.transport)
                self.transport.close()

    async def _respond(self, head: Head | BadRequest, body: StreamReader) -> bool:
        """Handle one request; return whether another one may follow on this connection."""
        started = monotonic()  # not loop.time(): uvloop does not advance it during one turn of the loop
        refused: BadRequest | None = None
        spoken: Head | None = None
        if isinstance(head, BadRequest):
            refused = head
        else:
            spoken = as_http1(head)
            if spoken is not head:
                refused = VersionNotSupported("neither HTTP/1.0 nor HTTP/1.1")
        request = Request(spoken or NO_HEAD, body, self)
        is_lost = False
        try:
            outcome = await self._handler(request) if refused is None else self._refusal(request, refused)
        except ConnectionError:
            self._answered(request, self._given_up(request, GONE), monotonic() - started)
            return False
        except asyncio.CancelledError as cancelled:
            ending = ending_of(cancelled)
            cause = GONE if self.transport is None else ending.reason if ending else "the proxy has stopped"
            self._answered(request, self._given_up(request, cause), monotonic() - started)
            raise
        response = outcome.response
        if refused is not None:
            response.force_close()
        if not response.prepared:  # a prepared response has been sent completely
            try:
                await response.prepare(request)
                await response.write_eof()
            except ConnectionError:
                is_lost = True
        self._answered(request, outcome, monotonic() - started)
        return bool(response.keep_alive) and not is_lost

    def _given_up(self, request: Request, cause: str) -> Outcome:
        """What became of a request whose response is not finished, and why.

        A response that has begun keeps its status. Where none has, the client gave up (499) or was cut off (444);
        both are nginx's numbers.
        """
        if request.begun is not None:
            return Outcome(request.begun, "tool", cause)
        return Outcome(web.Response(status=499 if cause == GONE else 444), cause=cause)

    async def _finished(self, body: StreamReader, *, may_go_on: bool) -> bool:
        """Let the client send the rest of a request that is answered; return whether another one may follow.

        Some clients read the response only after they have sent their body.
        """
        if may_go_on or self._last_word or self.is_sending:  # else what is left of the answer is being sent
            self._capacity.rest(self)  # who comes now is more important
        lingering = Lingering(lambda: self.is_draining)
        if may_go_on and await lingering.read_out(body):
            return True
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        if self._last_word:
            await self._say_last_word(transport)
        elif self.is_sending:
            with suppress(*BODY_ERRORS):
                body.read_nowait()  # else it would be held until the end
            if transport.can_write_eof():
                transport.write_eof()
            self.drop()
            await lingering.look_on(lambda: body.total_bytes + self.dropped)
        return False

    async def _say_last_word(self, transport: asyncio.Transport) -> None:
        """Send it after PAUSE seconds. The client has LINGER seconds to answer it.

        To Firefox, a WebSocket that ends before its own Close frame was not closed cleanly (RFC 6455 7.1.1).
        """
        await asyncio.sleep(PAUSE)
        if transport.is_closing():
            return
        transport.write(self._last_word)
        transport.resume_reading()
        await asyncio.sleep(LINGER)  # cancelled when the connection is lost

    def end_with(self, last_word: bytes, listener: asyncio.Protocol) -> None:
        """Take no further request. Once the present one is handled, wait, send these bytes, and close.

        `listener` gets what the client sends meanwhile; it passes `connection_lost` on.
        """
        early = self.take_over()
        self.stop_parsing()
        self._last_word = last_word
        if self.transport is not None:
            self.transport.set_protocol(listener)
        if early:
            listener.data_received(early)

    def _look_at_the_clock(self) -> None:
        """Close the connection if it has waited too long for a request. Do nothing while one is being handled."""
        self._timer = None
        if self._coming is None or self._coming.done():
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._ends_at:
            self._timer = loop.call_at(self._ends_at, self._look_at_the_clock)
        else:
            self.force_close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's signature
        """Close the connection.

        A request in progress gets `timeout` seconds to finish. Then its body is ended, and it gets as many again.
        """
        self.close()
        task = self.task
        if task is not None:
            await asyncio.wait({task}, timeout=timeout)
            self._body.set_exception(asyncio.CancelledError())
            await asyncio.wait({task}, timeout=timeout)
            task.cancel()
        self.force_close()

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request, of which perhaps a part has arrived."""
        return self._coming is not None and not self._coming.done()

    def admit(self, transport: asyncio.BaseTransport) -> bool:
        """Return whether there is room for the client at the other end of `transport`."""
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.address = peer[0]
        self._end = cast(asyncio.Transport, transport).abort  # uvloop's has the methods only
        return self._capacity.admit(self, self.address)

    def on_giving_way(self, end: Callable[[], None]) -> None:
        """Set the function that ends the connection while the TLS handshake is still in progress."""
        self._end = end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected. With TLS it was admitted before its handshake."""
        through = cast(asyncio.Transport, transport)
        if self._end is None and not self.admit(transport):
            through.abort()
            return
        self._end = through.abort
        through.set_write_buffer_limits(UNSENT)
        super().connection_made(transport)

    @contextmanager
    def may_give_way(self) -> Iterator[None]:
        """Meanwhile this connection counts as idle: a stranger who is slow to send keeps nobody out."""
        self._capacity.rest(self)
        try:
            yield
        finally:
            self._capacity.wake(self)

    def give_way(self) -> None:
        """Close at once: this connection is idle, and a new one needs its place."""
        if self._end is not None:
            self._end()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        super().pause_writing()
        if self.transport is not None:
            self._unread.start(self.transport)

    def resume_writing(self) -> None:
        """The client has read enough; writing may continue."""
        super().resume_writing()
        self._unread.stop()

    def eof_received(self) -> None:
        """The client will send no more. The event loop closes the connection once our responses are sent."""
        if self.transport is not None:
            self._unread.start(self.transport)

    def force_close(self) -> None:
        """Close once our responses are sent."""
        transport = self.transport
        was_open = transport is not None and not transport.is_closing()
        self.close()
        super().force_close()
        if transport is not None and was_open:  # asyncio's own TLS transport cannot be asked once it is closed
            self._unread.start(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The socket is closed, by either side."""
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()
        self._unread.stop()
        self._capacity.leave(self)
