"""The parts of aiohttp that we use although aiohttp may change them. No other module may use such a name.

The law: a name of this kind is one line of the table below and one check in tests/test_aiohttp_private.py, which
fails with an explanation when a release of aiohttp changes it. pyproject.toml admits only the releases checked.

RequestHandler._parser: we parse when we can answer, and nothing after an error. Without it: unbounded memory.
RequestHandler.start, .connection_made: one task for a connection. Without them: one for each request, slower.
RequestHandler.close, .shutdown, .force_close: web.Server ends connections by them. Without them: no drain.
RequestHandler.pause_reading, .resume_reading: a body's reader pauses the socket. Without them: unbounded bodies.
BaseRequest.__init__: what few requests need is made when it is asked for. Without it: for each, more CPU time.
RawRequestMessage: a request's head; it is copied to answer in our version. Without it: no head, and no version.
ERROR: the head of a request that could not be read. Without it: no log line and no page for it.
StreamWriter: it writes our own responses. Without it: no response.
HttpProcessingError: bytes that are no request or no body. Without it: they count as errors of ours.
LineTooLong.args: the bound that a line exceeds. Without it: 431, not 414, for a long request target.
"""

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

from aiohttp import EMPTY_PAYLOAD, HttpVersion, HttpVersion10, HttpVersion11, StreamReader, web
from aiohttp.http import HttpProcessingError, RawRequestMessage, StreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import ERROR

Head = RawRequestMessage
"""A request's method, target, version and header lines."""
NO_HEAD = ERROR
"""Stands for a head that could not be read."""
NotHttp = HttpProcessingError
"""The bytes received are not a valid request or body."""
BODY_ERRORS = (web.RequestPayloadError, HttpProcessingError)
"""A body cannot be read. aiohttp's two parsers (C and Python) raise different errors."""


class Protocol(web.RequestHandler):
    """aiohttp's side of a client connection: it owns the transport. The subclass reads requests and responds."""

    __slots__ = ("_server", "address", "is_body_full", "is_draining", "is_held", "loop", "task")

    def __init__(self, server: web.Server, **kwargs: Any) -> None:
        super().__init__(server, **kwargs)
        self.loop: asyncio.AbstractEventLoop = kwargs["loop"]
        self._server: web.Server = server
        self.task: asyncio.Task[Any] | None = None
        """The task that handles the requests; None before it begins and after it has ended."""
        self.address = ""
        """The peer's address; empty for a Unix socket."""
        self.is_body_full = False
        """The reader of a body has asked to pause the socket."""
        self.is_held = False
        """We have asked to pause the socket."""
        self.is_draining = False
        """The present response is the last one of this connection."""

    async def start(self) -> None:
        """Handle the requests of this connection, in a task of its own."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Do what aiohttp does, without two options of the socket.

        The event loop has set TCP_NODELAY. An event stream or a WebSocket sets SO_KEEPALIVE: whoever waits for
        anything else has a deadline. To set both here takes a tenth of a connection with a small request.
        """
        self.transport = cast(asyncio.Transport, transport)
        self._server.connection_made(self, self.transport)
        self.task = self.loop.create_task(self.start())

    def connection_lost(self, exc: BaseException | None) -> None:
        """Do what aiohttp does, and cancel the task."""
        super().connection_lost(exc)
        if self.task is not None:
            self.task.cancel()

    def parse(self, data: bytes) -> tuple[list[tuple[Head, StreamReader]], bool, bytes]:
        """Parse `data`. With no data, parse what the parser has kept.

        Returns the complete heads with their bodies (which may still be arriving), whether the last head asks for
        another protocol, and the bytes behind that head. Raises NotHttp.
        """
        return ([], False, b"") if self._parser is None else self._parser.feed_data(data)

    @property
    def is_over(self) -> bool:
        """Nothing more is parsed: the bytes were not a valid request, or the connection is lost."""
        return self._parser is None

    def stop_parsing(self) -> None:
        """Parse nothing more, and drop an incomplete head."""
        self._parser = None

    def take_next(self) -> None:
        """A head has been taken, so the parser may go on: it stops after a certain number of heads."""
        if self._parser is not None:  # None when the connection is lost
            self._parser.message_consumed()

    def decline_upgrade(self) -> None:
        """Go on parsing HTTP after a request for another protocol."""
        if self._parser is not None:
            self._parser.set_upgraded(False)

    async def taken(self) -> None:
        """Wait until the client has read enough of what was written."""
        await StreamWriter(self, self.loop).drain()

    def may_give_way(self) -> AbstractContextManager[None]:
        """Meanwhile a new connection may get the place of this one, if there is no other."""
        return nullcontext()

    def hold(self) -> None:
        """Pause the socket."""
        self.is_held = True
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def let_go(self) -> None:
        """Resume the socket, unless the reader of a body has paused it."""
        self.is_held = False
        if self.transport is not None and not (self.is_body_full or self.transport.is_closing()):
            self.transport.resume_reading()

    def pause_reading(self) -> None:
        """The reader of a body has no room."""
        self.is_body_full = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """The reader of a body has room. aiohttp calls this after every piece, whether it had paused or not."""
        if self.is_body_full:
            self.is_body_full = False
            super().resume_reading(resume_parser)
            if self.is_held:
                self.hold()


class LightRequest(web.BaseRequest):
    """aiohttp's request, of which only what is needed to forward it is there at once.

    The rest is made when somebody asks for it: a response of our own does, one of the tool's does not.
    """

    __slots__ = (
        *("body_exists", "content", "headers", "lines", "method", "protocol"),
        *("raw_path", "remote", "version", "_head", "_may_stay"),
    )

    def __init__(self, head: Head, body: StreamReader, protocol: Protocol) -> None:
        self._head: Head | None = head
        self.lines: tuple[tuple[bytes, bytes], ...] = tuple(head.raw_headers)
        """The header lines as they were sent."""
        self.method: str = head.method
        self.raw_path: str = head.path
        self.version: HttpVersion = head.version
        self.headers = head.headers
        self._may_stay: bool = not head.should_close
        self.content = body
        self.body_exists: bool = body is not EMPTY_PAYLOAD
        self.protocol: Protocol = protocol
        self.remote: str = protocol.address

    @property
    def keep_alive(self) -> bool:
        """Whether another request may follow on this connection: the client wants it, and we are not stopping."""
        return self._may_stay and not self.protocol.is_draining

    @property
    def transport(self) -> asyncio.Transport | None:
        """The client's connection; None once it is lost."""
        return self.protocol.transport

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            head, protocol = self._head, self.protocol
            if head is None:
                raise AttributeError(name)
            self._head = None
            # No task: ours keeps the error that cancelled it, which refers to the request. Both would stay in
            # memory until a full garbage collection.
            super().__init__(
                head, self.content, protocol, StreamWriter(protocol, protocol.loop), None, protocol.loop
            )
            return getattr(self, name)


def as_http1(head: Head) -> Head:
    """Return the head, with its version replaced by HTTP/1.1 unless that is 1.0 or 1.1 (RFC 9110 2.5)."""
    version = head.version
    if version is HttpVersion11:  # to compare two versions takes forty times as long
        return head
    return head if version in (HttpVersion11, HttpVersion10) else head._replace(version=HttpVersion11)


def bound_of(error: NotHttp) -> int | None:
    """Return the length that a line exceeds; None for any other error."""
    return int(error.args[1]) if isinstance(error, LineTooLong) else None
