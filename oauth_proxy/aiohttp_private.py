"""All of aiohttp that is used and that aiohttp does not promise to keep: no other module may use such a name.

The law: a name of this kind is one line of the table below and one check in tests/test_aiohttp_private.py, which
fails with a sentence when a release of aiohttp changes it. pyproject.toml admits the releases that were checked.

RequestHandler._parser: we parse when we can answer, and nothing behind an error. Without it: unbounded memory.
RequestHandler.start: one task answers all requests of a connection. Without it: a task for each, more CPU time.
RequestHandler.close, .shutdown, .force_close: web.Server ends connections by them. Without them: no drain.
RequestHandler.pause_reading, .resume_reading: a body's reader holds the socket. Without them: unbounded bodies.
BaseRequest.__init__: our request has fields of its own. Without it: a second object for each request.
RawRequestMessage: a request's head; it is copied to answer in our version. Without it: no head, and no version.
ERROR: the head of a request that could not be read. Without it: no log line and no page for it.
StreamWriter: what answers of our own are written with. Without it: no answer.
HttpProcessingError: bytes that are no request or no body. Without it: they are faults of ours.
LineTooLong.args: which of the bounds a line was longer than. Without it: 431 for a long address, too, not 414.
"""

import asyncio
from typing import Any, TypeVar

from aiohttp import HttpVersion10, HttpVersion11, StreamReader, web
from aiohttp.http import HttpProcessingError, RawRequestMessage, StreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import ERROR

Head = RawRequestMessage
"""A request's method, target, version and header lines."""
NotHttp = HttpProcessingError
"""What was sent is no request, or no body."""
BODY_ERRORS = (web.RequestPayloadError, HttpProcessingError)
"""A body cannot be read; aiohttp's two parsers differ."""

R = TypeVar("R", bound=web.BaseRequest)


class Protocol(web.RequestHandler):
    """aiohttp's side of a visitor's connection: it has the transport. Reading and answering are its subclass's."""

    __slots__ = ("is_body_full", "is_held")

    def __init__(self, server: web.Server, **kwargs: Any) -> None:
        super().__init__(server, **kwargs)
        self.is_body_full = False
        """The reader of a body has no room."""
        self.is_held = False
        """We have no room."""

    async def start(self) -> None:
        """Answer the requests of this connection; aiohttp runs it in a task when the connection is made."""
        raise NotImplementedError

    def parse(self, data: bytes) -> tuple[list[tuple[Head, StreamReader]], bool, bytes]:
        """The heads in `data`, with their bodies as they come; whether the last one asks for another protocol, and
        what came behind it. With none, parse on what the parser kept.

        Raises NotHttp.
        """
        return ([], False, b"") if self._parser is None else self._parser.feed_data(data)

    @property
    def is_over(self) -> bool:
        """Nothing more is parsed: what came is no request, or the connection is lost."""
        return self._parser is None

    def stop_parsing(self) -> None:
        """Parse nothing more, and keep nothing of a head that has begun."""
        self._parser = None

    def take_next(self) -> None:
        """One of the heads is being answered: the parser, which stops at some number of them, may go on."""
        if self._parser is not None:  # else the connection was lost
            self._parser.message_consumed()

    def decline_upgrade(self) -> None:
        """No other protocol is spoken: parse on."""
        if self._parser is not None:
            self._parser.set_upgraded(False)

    def request_for(self, kind: type[R], head: Head | None, body: StreamReader) -> R:
        """The request that begins with `head`, or one that could not be read."""
        loop = asyncio.get_running_loop()
        task: Any = (
            None  # ours holds what cancelled it, and so the request: both would wait for a garbage collection
        )
        return kind(ERROR if head is None else head, body, self, StreamWriter(self, loop), task, loop)

    async def taken(self) -> None:
        """Wait until the visitor has taken what was written."""
        await StreamWriter(self, asyncio.get_running_loop()).drain()

    def hold(self) -> None:
        """Read the socket no more."""
        self.is_held = True
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def let_go(self) -> None:
        """Read the socket again, if the reader of a body has room, too."""
        self.is_held = False
        if self.transport is not None and not (self.is_body_full or self.transport.is_closing()):
            self.transport.resume_reading()

    def pause_reading(self) -> None:
        """The reader of a body has no room."""
        self.is_body_full = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """The reader of a body has room; aiohttp says so after every piece, full or not."""
        if self.is_body_full:
            self.is_body_full = False
            super().resume_reading(resume_parser)
            if self.is_held:
                self.hold()


def as_http1(head: Head) -> Head:
    """The head; if its version is neither HTTP/1.0 nor 1.1, in ours, in which it is answered (RFC 9110 2.5)."""
    return head if head.version in (HttpVersion11, HttpVersion10) else head._replace(version=HttpVersion11)


def bound_of(error: NotHttp) -> int | None:
    """The bound that a line was longer than, where that is what is wrong."""
    return int(error.args[1]) if isinstance(error, LineTooLong) else None
