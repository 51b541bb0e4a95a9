"""One visitor's connection: aiohttp's, with our limits and our error answers.

The law: parsed is the request that is being answered, and the next head as far as it has come. All else waits as
the bytes it came as; beyond `PIECE` of them the socket is not read. Behind an error nothing is parsed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any, cast

from aiohttp import EMPTY_PAYLOAD, StreamReader, http_exceptions, web
from aiohttp.http import RawRequestMessage, StreamWriter
from aiohttp.web_protocol import ERROR, _ErrInfo

from oauth_proxy.errors import BadRequest, FieldsTooLarge, LineTooLong
from oauth_proxy.requests import Request
from oauth_proxy.stall import StallWatch

log = logging.getLogger(__name__)

LONGEST_LINE = 16 * 1024
LONGEST_FIELD = 64 * 1024
LONGEST_FIELDS = 96 * 1024
"""Of all header fields together, names and values: nobody's cookies may keep the loop busy."""
LONGEST_HEAD = LONGEST_LINE + LONGEST_FIELDS
MOST_FIELDS = 128
PIECE = 32 * 1024
"""Bytes that are parsed at once, and that may wait behind a request before the visitor is no longer read."""
LINGER = 2.0
"""Seconds for which a visitor may go on sending what was refused, so that the refusal reaches them."""

Answered = Callable[[Request, web.StreamResponse, float], None]
"""Is told of each answer that has been sent, and how many seconds it took."""
Handler = Callable[[Request], Awaitable[web.StreamResponse]]
Refusal = Callable[[Request, BadRequest], web.StreamResponse]
"""Makes the answer to bytes that are not a request; all that is known of the request is who sent it."""


class Connection(web.RequestHandler):
    """One visitor's connection."""

    __slots__ = ("_answered", "_body", "_handler", "_head_size", "_held", "_refusal", "_unread")

    def __init__(self, server: web.Server, *, refusal: Refusal, answered: Answered, **kwargs: Any) -> None:
        super().__init__(server, **kwargs)
        self._answered = answered
        self._handler: Handler = cast(Handler, server.request_handler)
        self._refusal = refusal
        self._body: StreamReader = EMPTY_PAYLOAD
        """Of the last head that was parsed."""
        self._head_size = 0
        """Bytes of a head whose end has not come."""
        self._held = b""
        """What came behind a request that is being answered."""
        self._unread = StallWatch()

    async def start(self) -> None:
        """Answer one request after another, all of them in this task.

        aiohttp's own makes a task for each, to give every handler context variables of its own. Ours have none,
        and a task costs a tenth of a small request.
        """
        try:
            while not self._force_close and not self._close:
                message, payload = await self._next()
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

    async def _answer(self, message: RawRequestMessage | _ErrInfo, payload: StreamReader) -> bool:
        """Whether another request may come after this one."""
        started, handler = monotonic(), self._handler  # uvloop's own time stands still for a whole turn
        if isinstance(message, _ErrInfo):
            handler, message = self._make_error_handler(message), ERROR
        task: Any = self._task_handler  # this one
        request = Request(message, payload, self, StreamWriter(self, self._loop), task, self._loop)
        self._request_in_progress, self._current_request = True, request
        try:
            response, is_lost = await handler(request), False
            if response.prepared and not self._upgraded:  # all of it has been sent
                self.log_access(request, response, started)
            else:
                response, is_lost = await self.finish_response(request, response, started)
        except ConnectionError:
            return False
        finally:
            self._request_in_progress, self._current_request = False, None
            if self._handler_waiter is not None:
                self._handler_waiter.set_result(None)
        self._keepalive = bool(response.keep_alive)
        return self._keepalive and not is_lost

    async def _next(self) -> tuple[RawRequestMessage | _ErrInfo, StreamReader]:
        """The next request's head, and its body as it comes; not before the answers so far are taken."""
        if self._paused:
            await self._drain_helper()
        while (self._held or self._buffer_paused) and not self._messages:
            self._parse(b"")  # the parser may have stopped between two requests, and kept the rest
            self._read_on()
        if not self._messages:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        taken = self._messages.popleft()
        if self._parser is not None:  # else the connection was lost, or this is the last that is read
            self._parser.message_consumed()
        return taken

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

    def data_received(self, data: bytes) -> None:
        """Bytes of the visitor's; also called with none, when the reader of a body has room again."""
        if self._parser is None:
            return  # refused already
        if self._is_open():
            self._parse(data)
            return
        self._held += data
        if self._waiter is not None and not self._messages:
            self._read_on()
        elif len(self._held) > PIECE:
            self._pause_reading_for_buffer()

    def _is_open(self) -> bool:
        """What comes next is no head: it is the rest of a body, or goes through a tunnel."""
        return self._upgraded or not self._body.is_eof()

    def _read_on(self) -> None:
        """Parse as much of what is held as makes one request, with all that is here of its body."""
        while self._held and not self._messages:
            piece, self._held = self._held[:PIECE], self._held[PIECE:]
            self._parse(piece)
        if self._held and self._is_open():
            rest, self._held = self._held, b""
            self._parse(rest)
        if self._buffer_paused and not (self._held or self._messages):
            self._resume_reading_for_buffer()

    def _parse(self, data: bytes) -> None:
        """Hand `data` to aiohttp's parser, unless there was an error before, and see what has come of it."""
        count, body, was_open = self._request_count, self._body, self._is_open()
        super().data_received(data)
        if self._request_count != count:
            message, self._body = self._messages[-1]
            self._head_size = 0
            if isinstance(message, _ErrInfo):
                self._messages.pop()  # its traceback's frames hold what was read
                self._refuse(_named(message.exc), body)
        elif was_open:
            self._head_size = 0
        else:
            self._head_size += len(data)
            if self._head_size > LONGEST_HEAD:
                self._refuse(FieldsTooLarge("a head without end"), EMPTY_PAYLOAD)

    def _refuse(self, error: BadRequest, body: StreamReader) -> None:
        """Answer so when it is its turn. What follows is no request, and the rest of `body` does not come."""
        self._messages.append((_ErrInfo(error.status, error, ""), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._parser = None
        self._held = b""
        if not body.is_eof():
            body.set_exception(web.RequestPayloadError("bytes that are no body"))
        self._pause_reading_for_buffer()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that could not be parsed; the connection closes after it."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        response = self._refusal(cast(Request, request), exc if isinstance(exc, BadRequest) else _named(exc))
        response.force_close()
        return response

    def log_access(self, request: web.BaseRequest, response: web.StreamResponse, time: float | None) -> None:
        """An answer has been sent, to a request that came at that time of the monotonic clock."""
        self._answered(cast(Request, request), response, monotonic() - (time or 0))

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """One line instead of the traceback that aiohttp writes for every visitor who hangs up."""
        error = kwargs.get("exc_info")
        log.warning("a connection failed: %s", type(error).__name__ if error else "unknown")


def _named(exc: BaseException | None) -> BadRequest:
    cause = f"bytes that are not a request: {type(exc).__name__}"
    if isinstance(exc, http_exceptions.LineTooLong):
        # Only the request line is bounded lower than a field: what is larger than that is a header.
        return LineTooLong(cause) if exc.args[1] == LONGEST_LINE else FieldsTooLarge(cause)
    return BadRequest(cause)
