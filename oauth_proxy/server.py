"""aiohttp's HTTP server with our limits, our error answers and quiet logs.

The law: what a stranger sends is refused in one line, never echoed, and never held for longer than a deadline.
"""

import asyncio
import logging
import os
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from time import monotonic
from typing import Any, cast

from aiohttp import StreamReader, http_exceptions, web
from aiohttp.http import RawRequestMessage, StreamWriter
from aiohttp.web_protocol import ERROR, _ErrInfo

from oauth_proxy.errors import BadRequest, ConfigurationError, FieldsTooLarge, LineTooLong
from oauth_proxy.requests import Request
from oauth_proxy.settings import Listen, Tls
from oauth_proxy.sockets import unix_socket

log = logging.getLogger(__name__)

HEAD_DEADLINE = 60.0
"""Seconds a connection may sit idle or be in the middle of a request's head."""
LONGEST_LINE = 16 * 1024
LONGEST_FIELD = 64 * 1024
LONGEST_FIELDS = 96 * 1024
"""Of all header fields together, names and values: nobody's cookies may keep the loop busy."""
MOST_FIELDS = 128

Answered = Callable[[Request, web.StreamResponse, float], None]
"""Is told of each answer that has been sent, and how many seconds it took."""
Handler = Callable[[Request], Awaitable[web.StreamResponse]]
Refusal = Callable[[Request, BadRequest], web.StreamResponse]
"""Makes the answer to bytes that are not a request; all that is known of the request is who sent it."""


class Connection(web.RequestHandler):
    """One visitor's connection."""

    __slots__ = ("_answered", "_handler", "_refusal")

    def __init__(self, server: "Server", *, refusal: Refusal, answered: Answered, **kwargs: Any) -> None:
        super().__init__(server, **kwargs)
        self._answered = answered
        self._handler = server.request_handler
        self._refusal = refusal

    async def start(self) -> None:
        """Answer one request after another, all of them in this task.

        aiohttp's own makes a task for each, to give every handler context variables of its own. Ours have none,
        and a task costs a tenth of a small request.
        """
        try:
            while not self._force_close and not self._close:
                message, payload = await self._next()
                if not await self._answer(message, payload):
                    break
                if not payload.is_eof() and not await self._discard(payload):
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
        """The next request's head, and its body as it comes."""
        if not self._messages:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        taken = self._messages.popleft()
        if self._parser is not None:  # else the connection was lost
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        return taken

    async def _discard(self, payload: StreamReader) -> bool:
        """Read what is left of a body that nobody wanted, for a while: the visitor reads the answer after it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._lingering_time):
                while not payload.is_eof() and not self._force_close:
                    await payload.readany()
        return payload.is_eof()

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
        response = self._refusal(cast(Request, request), _named(exc))
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


class Server(web.Server):
    """Makes a Connection for each visitor. `handler` answers a request and raises nothing."""

    def __init__(self, handler: Handler, *, refusal: Refusal, answered: Answered) -> None:
        # A visitor who hangs up cancels the handler: the tool's connection is let go at once.
        super().__init__(
            cast(Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], handler),  # it gets what we make
            handler_cancellation=True,
        )
        self._ours: dict[str, Any] = {"refusal": refusal, "answered": answered}
        self._limits: dict[str, Any] = {
            "access_log": None,
            "loop": asyncio.get_running_loop(),
            "auto_decompress": False,
            "keepalive_timeout": HEAD_DEADLINE,
            "max_line_size": LONGEST_LINE,
            "max_field_size": LONGEST_FIELD,
            "max_headers": MOST_FIELDS,
            "lingering_time": 2.0,
        }

    def __call__(self) -> web.RequestHandler:
        """The protocol of a new connection."""
        return Connection(self, **self._ours, **self._limits)


async def listen(stack: AsyncExitStack, handler: web.Server, at: Listen, tls: Tls | None, drain: float) -> Listen:
    """Serve there until `stack` closes; then requests under way get `drain` seconds. Returns the port it got, too.

    Raises ConfigurationError for a place or a certificate that cannot be used.
    """
    context = _context(tls) if tls is not None else None
    runner = web.ServerRunner(handler, shutdown_timeout=drain, handle_signals=False)
    await runner.setup()
    try:
        sock = stack.enter_context(unix_socket(at)) if at.path else None  # its file goes after its last connection
        stack.push_async_callback(runner.cleanup)
        site: web.BaseSite
        if sock is not None:
            site = web.SockSite(runner, sock, ssl_context=context)
        else:
            site = web.TCPSite(runner, at.host, at.port, ssl_context=context)
        await site.start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigurationError([f"cannot listen on {at}: {reason}"]) from None
    return at if at.path else replace(at, port=runner.addresses[0][1])


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError([f"tls: {tls.cert} and {tls.key}: {error}"]) from None
    return context
