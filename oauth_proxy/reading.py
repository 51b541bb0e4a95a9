"""What a visitor sends, parsed as far as it can be answered now.

The law: parsed is the request that is being answered, and the next head as far as it has come. All else waits as
the bytes it came as; beyond `PIECE` of them the socket is not read. Behind an error nothing is parsed.

This leans on private names of aiohttp's: `_messages` and `_waiter` (the queue of requests, and who waits for one),
`_parser`, `_request_count`, `_upgraded`, `_buffer_paused` with the two methods that set it. aiohttp bounds 32
requests and no bytes; without these names there would be no other bound.
"""

from typing import Any

from aiohttp import EMPTY_PAYLOAD, StreamReader, http_exceptions, web
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import _ErrInfo

from oauth_proxy.errors import BadRequest, FieldsTooLarge, LineTooLong
from oauth_proxy.turns import SLICE, Slices, wait_for_turn

Message = RawRequestMessage | _ErrInfo
"""A request's head, or what was wrong with it: then `exc` is a BadRequest."""

LONGEST_LINE = 16 * 1024
LONGEST_FIELD = 64 * 1024
LONGEST_FIELDS = 96 * 1024
"""Of all header fields together, names and values: nobody's cookies may keep the loop busy."""
LONGEST_HEAD = LONGEST_LINE + LONGEST_FIELDS
MOST_FIELDS = 128
MOST_HELD = 32 * 1024
"""Bytes that may wait behind a request before the visitor is no longer read."""

BODY_HELD = 32 * 1024
"""Bytes; twice as many of a body, or a sixteenth as many chunks, are held before the visitor is no longer read."""


class Reading(web.RequestHandler):
    """The half of a connection that reads."""

    __slots__ = ("_body", "_has_begun", "_head_size", "_held", "_slices")

    def __init__(self, server: web.Server, **kwargs: Any) -> None:
        super().__init__(server, **kwargs)
        self._body: StreamReader = EMPTY_PAYLOAD
        """Of the last head that was parsed."""
        self._has_begun = False
        """A request has been taken from here."""
        self._head_size = 0
        """Bytes of a head whose end has not come."""
        self._held = b""
        """What came behind a request that is being answered."""
        self._slices: Slices | None = None
        """Where that body comes in chunks, which take long to parse when they are small."""

    async def _next(self) -> tuple[Message, StreamReader]:
        """The next request's head, and its body as it comes."""
        if self._has_begun and (self._held or self._messages):
            await wait_for_turn()  # it came before the last answer: ours would follow each other without a pause
        self._has_begun = True
        while (self._held or self._buffer_paused) and not self._messages:
            self._parse(b"", is_open=False)  # the parser may have stopped between two requests, and kept the rest
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

    def data_received(self, data: bytes) -> None:
        """Bytes of the visitor's; also called with none, when the reader of a body has room again."""
        if self._parser is None:
            return  # refused already
        if self._waiter is not None and not self._messages:  # nothing is being answered
            if len(data) <= SLICE:
                self._parse(data, is_open=False)
            else:
                self._held = data
                self._read_on()
        elif self._is_open():
            self._parse_body(data)
        else:
            self._hold(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The socket is closed, by whomever."""
        super().connection_lost(exc)
        # What refers to us, and what it holds, would stay until a full garbage collection.
        self._held, self._slices, self._body = b"", None, EMPTY_PAYLOAD

    def resume_reading(self, resume_parser: bool = True) -> None:
        """The reader of a body has room; aiohttp says so after every piece, paused or not."""
        if self._reading_paused:
            super().resume_reading(resume_parser)
            if self._slices is not None:
                self._slices.go_on()

    def _is_open(self) -> bool:
        """What comes next is no head: it is the rest of a body, or goes through a tunnel."""
        return self._upgraded or not self._body.is_eof()

    def _hold(self, data: bytes) -> None:
        """Keep what comes behind a request that is being answered."""
        self._held += data
        if len(self._held) > MOST_HELD:
            self._pause_reading_for_buffer()

    def _read_on(self) -> None:
        """Parse as much of what is held as makes one request, with all that is here of its body."""
        while self._held and not self._messages:
            end = self._held.find(b"\r\n\r\n", 0, MOST_HELD)  # what follows a head is parsed as what it is
            size = MOST_HELD if end < 0 else end + 4
            piece, self._held = self._held[:size], self._held[size:]
            self._parse(piece, is_open=self._is_open())
        if self._held and self._is_open():
            rest, self._held = self._held, b""
            self._parse_body(rest)
        self._hold(b"")
        self._release()

    def _release(self) -> None:
        """Read the socket again, if nothing is held or refused; more of a body may be waited for."""
        has_room = not self._held and len(self._messages) < self._max_msg_queue_size
        is_held = self._parser is None or (self._slices is not None and self._slices.wait)
        if self._buffer_paused and has_room and not is_held:
            self._resume_reading_for_buffer()

    def _parse_body(self, data: bytes) -> None:
        """Parse what goes on with an open body, or through a tunnel."""
        if self._slices is None or not data:
            self._parse(data, is_open=True)
        else:
            self._slices.feed(data)

    def _parse_slice(self, data: bytes) -> bool:
        """Parse a slice of a body in chunks; whether the next one may follow at once."""
        if self._parser is None:
            return False  # the connection was lost
        self._parse(data, is_open=True)
        if not self._is_open() and self._slices is not None:
            self._hold(self._slices.take_back())  # the body has ended: this belongs to the next request
        return self._slices is not None and not self._reading_paused

    def _parse(self, data: bytes, *, is_open: bool) -> None:
        """Hand `data` to aiohttp's parser and see what has come of it: the rest of a body, or heads."""
        count, body = self._request_count, self._body
        super().data_received(data)
        if self._request_count != count:
            message, self._body = self._messages[-1]
            self._head_size = 0
            self._slices = None
            if isinstance(message, _ErrInfo):
                self._messages.pop()  # its traceback's frames hold what was read
                self._refuse(named(message.exc), body)
            elif message.chunked:
                self._slices = Slices(
                    self._parse_slice, hold=self._pause_reading_for_buffer, release=self._release
                )
        elif is_open:
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
        self._slices = None
        if not body.is_eof():
            body.set_exception(web.RequestPayloadError("bytes that are no body"))
        self._pause_reading_for_buffer()


def named(exc: BaseException | None) -> BadRequest:
    """What is wrong with bytes of which aiohttp's parser says this. Nothing of them is kept."""
    cause = f"bytes that are not a request: {type(exc).__name__}"
    if isinstance(exc, http_exceptions.LineTooLong):
        # Only the request line is bounded lower than a field: what is larger than that is a header.
        return LineTooLong(cause) if exc.args[1] == LONGEST_LINE else FieldsTooLarge(cause)
    return BadRequest(cause)
