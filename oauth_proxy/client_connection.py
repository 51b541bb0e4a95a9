"""One visitor's connection: aiohttp's, with our limits and our error answers.

The law: what a stranger sends is refused in one line and never echoed; what is sent to them has to be taken.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any, cast

from aiohttp import StreamReader, web

from oauth_proxy.aiohttp_private import Head, as_http1
from oauth_proxy.capacity import Capacity
from oauth_proxy.errors import BadRequest, VersionNotSupported
from oauth_proxy.outcomes import Outcome
from oauth_proxy.reading import Reading
from oauth_proxy.requests import Request
from oauth_proxy.stall import StallWatch

log = logging.getLogger(__name__)

UNSENT = 65_536
"""Bytes for a slow visitor, beyond which the next have to wait; for TLS the event loop would take half a MiB."""
LINGER = 2.0
"""Seconds for which a visitor may go on sending what was refused, so that the refusal reaches them."""

Answered = Callable[[Request, Outcome, float], None]
"""Is told of each response that has been sent, and how many seconds it took."""
Handler = Callable[[Request], Awaitable[Outcome]]
Refusal = Callable[[Request, BadRequest], Outcome]
"""Makes the answer to bytes that are not a request; all that is known of the request is who sent it."""


class ClientConnection(Reading):
    """One visitor's connection. It ends after `idle` seconds in which no request came whole."""

    __slots__ = (
        *("_answered", "_capacity", "_end", "_ends_at", "_handler", "_idle"),
        *("_refusal", "_task", "_timer", "_unread"),
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
        """How to end it at once; None before it is admitted."""
        self._answered = answered
        self._handler = handler
        self._refusal = refusal
        self._unread = StallWatch()
        self._idle = idle
        self._ends_at = 0.0
        """When the next request must have come."""
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Any] | None = None
        """Answers the requests."""

    async def start(self) -> None:
        """Answer one request after another, all of them in this task.

        aiohttp's own makes a task for each, to give every handler context variables of its own. Ours have none,
        and a task costs more than a tenth of a small request.
        """
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        try:
            while not self._is_closing:
                self._ends_at = loop.time() + self._idle
                if self._timer is None:  # it came while we were busy
                    self._timer = loop.call_at(self._ends_at, self._look_at_the_clock)
                if self.writing_paused:
                    await self.taken()
                self._capacity.rest(self)
                head, body = await self._next()
                self._capacity.wake(self)
                may_go_on = await self._answer(head, body)
                if not (may_go_on and (body.is_eof() or await self._discard(body))):
                    await self._linger()
                    break
        except Exception as error:  # noqa: BLE001 - an answer failed: there is none left to give, only the line
            log.warning("a connection failed: %s", type(error).__name__)
        finally:
            self._task = None
            if self.transport is not None:
                self._unread.start(self.transport)
                self.transport.close()

    async def _answer(self, head: Head | BadRequest, body: StreamReader) -> bool:
        """Whether another request may come after this one."""
        started = monotonic()  # uvloop's own time stands still for a whole turn
        refused: BadRequest | None = None
        spoken: Head | None = None
        if isinstance(head, BadRequest):
            refused = head
        else:
            spoken = as_http1(head)
            if spoken is not head:
                refused = VersionNotSupported("neither HTTP/1.0 nor HTTP/1.1")
        request = self.request_for(Request, spoken, body)
        is_lost = False
        try:
            outcome = await self._handler(request) if refused is None else self._refusal(request, refused)
        except ConnectionError:
            return False
        response = outcome.response
        if refused is not None:
            response.force_close()
        if not response.prepared:  # else all of it has been sent
            try:
                await response.prepare(request)
                await response.write_eof()
            except ConnectionError:
                is_lost = True
        self._answered(request, outcome, monotonic() - started)
        return bool(response.keep_alive) and not is_lost

    async def _discard(self, body: StreamReader) -> bool:
        """Read what is left of a body that nobody wanted, for a while: the visitor reads the answer after it.

        Whether that was all of it.
        """
        with suppress(TimeoutError, web.RequestPayloadError):
            async with asyncio.timeout(LINGER):
                while not body.is_eof() and not self._is_closing:
                    await body.readany()
        return body.is_eof()

    async def _linger(self) -> None:
        """After a refusal, let the visitor send on for a moment, to nobody.

        The system resets a connection that is closed over unread bytes, and our answer is lost (RFC 9112 9.6).
        """
        transport = self.transport
        if not self.is_over or transport is None:
            return
        if transport.can_write_eof():
            transport.write_eof()
        if not transport.is_closing():
            transport.resume_reading()
        await asyncio.sleep(LINGER)  # the end of the connection cancels it

    def _look_at_the_clock(self) -> None:
        """End the connection if it waits for a request for too long; while one is answered, look no more."""
        self._timer = None
        if self._coming is None or self._coming.done():
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._ends_at:
            self._timer = loop.call_at(self._ends_at, self._look_at_the_clock)
        else:
            self.force_close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp calls it so
        """End: so many seconds are left to a request under way, and as many once its body comes no more."""
        self.close()
        task = self._task
        if task is not None:
            await asyncio.wait({task}, timeout=timeout)
            self._body.set_exception(asyncio.CancelledError())
            await asyncio.wait({task}, timeout=timeout)
            task.cancel()
        self.force_close()

    def admit(self, transport: asyncio.BaseTransport) -> bool:
        """Whether there is room for this one, who is at the other side of `transport`."""
        peer = transport.get_extra_info("peername")
        self._end = cast(asyncio.Transport, transport).abort  # uvloop's is one in all but name
        return self._capacity.admit(self, peer[0] if isinstance(peer, tuple) else "")

    def on_giving_way(self, end: Callable[[], None]) -> None:
        """What ends the connection until it is made, which is after its handshake."""
        self._end = end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has come, who is admitted already where we speak TLS."""
        through = cast(asyncio.Transport, transport)
        if self._end is None and not self.admit(transport):
            through.abort()
            return
        self._end = through.abort
        through.set_write_buffer_limits(UNSENT)
        super().connection_made(transport)

    def give_way(self) -> None:
        """End at once: this connection is idle, and there is no room for another one."""
        if self._end is not None:
            self._end()

    def pause_writing(self) -> None:
        """The visitor is slower than we are."""
        super().pause_writing()
        if self.transport is not None:
            self._unread.start(self.transport)

    def resume_writing(self) -> None:
        """The visitor has caught up."""
        super().resume_writing()
        self._unread.stop()

    def eof_received(self) -> None:
        """The visitor has said its last: the event loop closes once our answers are taken."""
        if self.transport is not None:
            self._unread.start(self.transport)

    def force_close(self) -> None:
        """Close once our answers are taken."""
        transport = self.transport
        self.close()
        super().force_close()
        if transport is not None:
            self._unread.start(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The socket is closed, by whomever."""
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()
        self._unread.stop()
        self._capacity.leave(self)
