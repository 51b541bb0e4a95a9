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
from aiohttp.http import StreamWriter
from aiohttp.web_protocol import ERROR, _ErrInfo

from oauth_proxy.capacity import Capacity
from oauth_proxy.errors import BadRequest
from oauth_proxy.outcomes import Outcome
from oauth_proxy.reading import Message, Reading, named
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


class Connection(Reading):
    """One visitor's connection."""

    __slots__ = ("_answered", "_capacity", "_end", "_handler", "_refusal", "_unread")

    def __init__(
        self, server: web.Server, *, refusal: Refusal, answered: Answered, capacity: Capacity, **kwargs: Any
    ) -> None:
        super().__init__(server, **kwargs)
        self._capacity = capacity
        self._end: Callable[[], None] | None = None
        """How to end it at once; None before it is admitted."""
        self._answered = answered
        self._handler: Handler = cast(Handler, server.request_handler)
        self._refusal = refusal
        self._unread = StallWatch()

    async def start(self) -> None:
        """Answer one request after another, all of them in this task.

        aiohttp's own makes a task for each, to give every handler context variables of its own. Ours have none,
        and a task costs a tenth of a small request.
        """
        try:
            while not self._force_close and not self._close:
                if self._paused:
                    await self._drain_helper()  # the answers so far are not taken yet
                self._capacity.rest(self)
                message, payload = await self._next()
                self._capacity.wake(self)
                may_go_on = await self._answer(message, payload)
                if not (may_go_on and (payload.is_eof() or await self._discard(payload))):
                    await self._linger()
                    break
                self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
                if self._keepalive_handle is None:  # it came while we were busy
                    self._keepalive_handle = self._loop.call_at(
                        self._next_keepalive_close_time, self._process_keepalive
                    )
        except Exception as error:  # noqa: BLE001 - an answer failed: there is none left to give, only the line
            self.log_exception(exc_info=error)
        finally:
            self._task_handler = None
            if self.transport is not None:
                self._unread.start(self.transport)
                self.transport.close()

    async def _answer(self, message: Message, payload: StreamReader) -> bool:
        """Whether another request may come after this one."""
        started = monotonic()  # uvloop's own time stands still for a whole turn
        refused = message.exc if isinstance(message, _ErrInfo) else None
        head = ERROR if isinstance(message, _ErrInfo) else message
        task: Any = self._task_handler  # this one
        request = Request(head, payload, self, StreamWriter(self, self._loop), task, self._loop)
        self._request_in_progress, self._current_request = True, request
        try:
            outcome = await self._handler(request) if refused is None else self._refused(request, refused)
            response, is_lost = outcome.response, False
            if not response.prepared or self._upgraded:  # else all of it has been sent
                response, is_lost = await self.finish_response(request, response, None)
            self._answered(request, outcome, monotonic() - started)
        except ConnectionError:
            return False
        finally:
            self._request_in_progress, self._current_request = False, None
            if self._handler_waiter is not None:
                self._handler_waiter.set_result(None)
        self._keepalive = bool(response.keep_alive)
        return self._keepalive and not is_lost

    def _refused(self, request: Request, error: BaseException) -> Outcome:
        """What becomes of bytes that could not be parsed; the connection closes after it."""
        outcome = self._refusal(request, error if isinstance(error, BadRequest) else named(error))
        outcome.response.force_close()
        return outcome

    async def _discard(self, payload: StreamReader) -> bool:
        """Read what is left of a body that nobody wanted, for a while: the visitor reads the answer after it.

        Whether that was all of it.
        """
        with suppress(TimeoutError, web.RequestPayloadError):
            async with asyncio.timeout(self._lingering_time):
                while not payload.is_eof() and not self._force_close:
                    await payload.readany()
        return payload.is_eof()

    async def _linger(self) -> None:
        """After a refusal, let the visitor send on for a moment, to nobody.

        The system resets a connection that is closed over unread bytes, and our answer is lost (RFC 9112 9.6).
        """
        transport = self.transport
        if self._parser is not None or transport is None:
            return
        if transport.can_write_eof():
            transport.write_eof()
        self._resume_transport_reading()
        await asyncio.sleep(LINGER)  # the end of the connection cancels it

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
        super().force_close()
        if transport is not None:
            self._unread.start(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The socket is closed, by whomever."""
        super().connection_lost(exc)
        self._unread.stop()
        self._capacity.leave(self)

    def log_access(self, request: web.BaseRequest, response: web.StreamResponse, time: float | None) -> None:
        """Nothing: aiohttp calls this for some responses only, and knows no outcome."""

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """One line instead of the traceback that aiohttp writes for every visitor who hangs up."""
        error = kwargs.get("exc_info")
        log.warning("a connection failed: %s", type(error).__name__ if error else "unknown")
