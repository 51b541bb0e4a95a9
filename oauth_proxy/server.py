"""aiohttp's HTTP server with our limits, our error answers and quiet logs.

The law: what a stranger sends is refused in one line, never echoed, and never held for longer than a deadline.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import StreamReader, http_exceptions, web
from aiohttp.abc import AbstractAccessLogger, AbstractStreamWriter
from aiohttp.http import RawRequestMessage

from oauth_proxy.errors import BadRequest, FieldsTooLarge, LineTooLong
from oauth_proxy.requests import Request

log = logging.getLogger(__name__)

HEAD_DEADLINE = 60.0
"""Seconds a connection may sit idle or be in the middle of a request's head."""
LONGEST_LINE = 16 * 1024
LONGEST_FIELD = 64 * 1024
LONGEST_FIELDS = 96 * 1024
"""Of all header fields together, names and values: nobody's cookies may keep the loop busy."""
MOST_FIELDS = 128

Handler = Callable[[Request], Awaitable[web.StreamResponse]]
Refusal = Callable[[Request, BadRequest], web.StreamResponse]
"""Makes the answer to bytes that are not a request; all that is known of the request is who sent it."""


class Connection(web.RequestHandler):
    """One visitor's connection."""

    __slots__ = ("_refusal",)

    def __init__(self, server: "Server", *, refusal: Refusal, **kwargs: Any) -> None:
        super().__init__(server, **kwargs)
        self._refusal = refusal

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

    def __init__(
        self, handler: Handler, *, refusal: Refusal, access_log_class: type[AbstractAccessLogger]
    ) -> None:
        # A visitor who hangs up cancels the handler: the tool's connection is let go at once.
        super().__init__(
            cast(Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], handler),  # it gets what we make
            request_factory=self._request,
            handler_cancellation=True,
        )
        self._refusal = refusal
        self._limits: dict[str, Any] = {
            "access_log_class": access_log_class,
            "loop": asyncio.get_running_loop(),
            "auto_decompress": False,
            "keepalive_timeout": HEAD_DEADLINE,
            "max_line_size": LONGEST_LINE,
            "max_field_size": LONGEST_FIELD,
            "max_headers": MOST_FIELDS,
            "lingering_time": 2.0,
        }

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> Request:
        return Request(message, payload, protocol, writer, task, self._loop)

    def __call__(self) -> web.RequestHandler:
        """The protocol of a new connection."""
        return Connection(self, refusal=self._refusal, **self._limits)
