"""Reads a client's bytes and parses only as much as can be handled now.

The law: only the request being handled is parsed, and the next head as far as it has arrived. Everything after
that is kept as raw bytes; above `MOST_HELD` of them the socket is not read. Nothing is parsed after an error.
"""

import asyncio
from collections import deque
from typing import Any

from aiohttp import EMPTY_PAYLOAD, StreamReader, web

from oauth_proxy.aiohttp_private import Head, NotHttp, Protocol, bound_of
from oauth_proxy.errors import BadRequest, FieldsTooLarge, LineTooLong
from oauth_proxy.turns import BULK, SLICE, Slices, line, wait_for_turn

LONGEST_LINE = 16 * 1024
LONGEST_FIELD = 64 * 1024
LONGEST_FIELDS = 96 * 1024
"""All header fields of a request together, names and values. Longer ones would block the loop for too long."""
LONGEST_HEAD = LONGEST_LINE + LONGEST_FIELDS
MOST_FIELDS = 128
MOST_HELD = 32 * 1024
"""Bytes that may wait behind the current request before the socket is paused."""

BODY_HELD = 32 * 1024
"""Bytes. aiohttp pauses the socket at twice as many bytes of a body, or a sixteenth as many chunks."""


class Reading(Protocol):
    """The reading half of a client connection."""

    __slots__ = (
        *("_body", "_coming", "_has_begun", "_has_stopped", "_head_size", "_heads"),
        *("_held", "_is_closing", "_is_dropping", "_is_upgrade", "_slices", "dropped"),
    )

    def __init__(self, server: web.Server, **kwargs: Any) -> None:
        super().__init__(server, **kwargs)
        self._heads: deque[tuple[Head | BadRequest, StreamReader]] = deque()
        """Parsed requests that wait, with their bodies. For invalid bytes, the error replaces the head."""
        self._coming: asyncio.Future[None] | None = None
        """Ends when the next request arrives; None when no one waits for it."""
        self._body: StreamReader = EMPTY_PAYLOAD
        """The body of the last parsed head."""
        self._has_begun = False
        """At least one request has been taken."""
        self._head_size = 0
        """Bytes received of a head that is not complete."""
        self._held = b""
        """Bytes received behind the request that is being handled."""
        self._has_stopped = False
        """The parser may hold unparsed bytes: it stops after a certain number of heads."""
        self._is_dropping = False
        """The socket is read although nothing is parsed."""
        self._is_closing = False
        """No further request is accepted."""
        self._is_upgrade = False
        """The last request asks for another protocol, so the bytes after it may not be HTTP."""
        self._slices: Slices | None = None
        """Parses `_body` in slices when it is chunked, because small chunks take long to parse."""
        self.dropped = 0
        """How often bytes came after the last that were parsed."""

    async def _next(self) -> tuple[Head | BadRequest, StreamReader]:
        """Return the head of the next request, and its body, which may still be arriving.

        Raises CancelledError when no further request is accepted.
        """
        if not self._heads:
            self._slices = None  # the last body has ended
            if self._is_upgrade:
                self._is_upgrade = False  # the last request was handled, and the connection still speaks HTTP
                self.decline_upgrade()
        if self._has_begun and (self._held or self._heads):
            await wait_for_turn()  # pipelined: without a wait, one client could keep the loop busy
        self._has_begun = True
        while (self._held or self._has_stopped) and not self._heads:
            self._has_stopped = False
            self._parse(b"", is_open=False)
            self._read_on()
        if not self._heads:
            self._coming = asyncio.get_running_loop().create_future()
            if self._is_closing:
                self._coming.cancel()
            try:
                await self._coming
            finally:
                self._coming = None
        taken = self._heads.popleft()
        self.take_next()
        return taken

    def take_over(self) -> bytes:
        """Return the bytes behind an upgrade request; from now on the caller handles the connection."""
        held, self._held = self._held, b""
        return held

    @property
    def is_sending(self) -> bool:
        """Whether the client has sent more than the last request that was taken, or not yet all of it."""
        return bool(self.is_over or self._is_open() or self._held or self._heads or self._head_size)

    def drop(self) -> None:
        """Parse nothing more, and drop what is here and what still comes. The socket is read again."""
        if self._slices is not None:
            self._slices.take_back()  # it may be in the line
        self.stop_parsing()
        self._heads.clear()
        self._held, self._slices, self._body = b"", None, EMPTY_PAYLOAD
        self.is_body_full, self._is_dropping = False, True
        self.let_go()

    def close(self) -> None:
        """Accept no further request. aiohttp calls this on every connection when the server shuts down."""
        super().close()
        self._is_closing = True
        if self._coming is not None:
            self._coming.cancel()

    def data_received(self, data: bytes) -> None:
        """Receive bytes. Also called with no bytes, when the reader of a body has room again."""
        if self.is_over:
            self.dropped += 1
            if self._is_dropping and len(data) >= BULK:  # the loop would read on for MiBs
                self.hold()
                line("dropped").join(self.let_go)
            return
        if self._coming is not None and not self._heads:  # no request is being handled
            if len(data) <= SLICE:
                self._parse(data, is_open=False)
            else:
                self._held = data
                self._read_on()
        elif self._is_open():
            self._parse_body(data)
        else:
            self._hold_back(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The socket is closed, by either side; the rest of a body will not arrive."""
        super().connection_lost(exc)
        self._body.set_exception(exc or ConnectionResetError("the connection is lost"))
        # Break reference cycles: otherwise the memory stays in use until a full garbage collection.
        self._heads.clear()
        self._held, self._slices, self._body = b"", None, EMPTY_PAYLOAD

    def resume_reading(self, resume_parser: bool = True) -> None:
        """The reader of a body has room again."""
        was_full = self.is_body_full
        super().resume_reading(resume_parser)
        if was_full and self._slices is not None:
            self._slices.go_on()

    def _is_open(self) -> bool:
        """Return whether the next bytes belong to a body that has not ended."""
        return not (self._is_upgrade or self._body.is_eof())

    def _hold_back(self, data: bytes) -> None:
        """Keep bytes that arrived behind the request being handled."""
        self._held += data
        if len(self._held) > MOST_HELD:
            self.hold()

    def _read_on(self) -> None:
        """Parse the kept bytes up to the next request, including what is here of its body."""
        while self._held and not self._heads:
            end = self._held.find(b"\r\n\r\n", 0, MOST_HELD)  # the rest is parsed as body or head
            size = MOST_HELD if end < 0 else end + 4
            piece, self._held = self._held[:size], self._held[size:]
            self._parse(piece, is_open=self._is_open())
        if self._held and self._is_open():
            rest, self._held = self._held, b""
            self._parse_body(rest)
        self._hold_back(b"")
        self._release()

    def _release(self) -> None:
        """Resume the socket, unless bytes wait or a request was refused: a body may need more."""
        is_full = self._held or self.is_over or (self._slices is not None and self._slices.wait)
        if self.is_held and not is_full:
            self.let_go()

    def _parse_body(self, data: bytes) -> None:
        """Parse more of an unfinished body."""
        if self._slices is None or not data:
            self._parse(data, is_open=True)
        else:
            self._slices.feed(data)

    def _parse_slice(self, data: bytes) -> bool:
        """Parse a slice of a chunked body; return whether the next slice may follow at once."""
        if self.is_over:
            return False
        self._parse(data, is_open=True)
        if not self._is_open() and self._slices is not None:
            self._hold_back(self._slices.take_back())  # the body has ended: these bytes belong to the next request
        return self._slices is not None and not self.is_body_full

    def _parse(self, data: bytes, *, is_open: bool) -> None:
        """Pass `data` to aiohttp's parser, and store what results: more of a body, or new heads."""
        try:
            heads, is_upgrade, rest = self.parse(data)
        except NotHttp as error:
            self._refuse(named(error))
            return
        if is_upgrade:
            self._is_upgrade = True
            self._held = rest + self._held
        if heads:
            self._heads.extend(heads)
            head, self._body = heads[-1]
            self._head_size = 0
            self._slices = None
            if head.chunked:
                self._slices = Slices(self._parse_slice, hold=self.hold, release=self._release)
            self._has_stopped = len(self._heads) > 1
            self._wake()
        elif is_open:
            self._head_size = 0
        else:
            self._head_size += len(data)
            if self._head_size > LONGEST_HEAD:
                self._refuse(FieldsTooLarge("a head without end"))

    def _refuse(self, error: BadRequest) -> None:
        """Queue the error, to be sent after earlier responses. Ignore later bytes, and fail an open body."""
        self._heads.append((error, EMPTY_PAYLOAD))
        self._wake()
        self.stop_parsing()
        self._held = b""
        self._slices = None
        if not self._body.is_eof():
            self._body.set_exception(web.RequestPayloadError("bytes that are no body"))
        self._body = EMPTY_PAYLOAD
        self.hold()

    def _wake(self) -> None:
        if self._coming is not None and not self._coming.done():
            self._coming.set_result(None)


def named(error: NotHttp) -> BadRequest:
    """Return our error for an error of aiohttp's parser. It repeats nothing that the client sent."""
    cause = f"bytes that are not a request: {type(error).__name__}"
    bound = bound_of(error)
    if bound is not None:
        # The request line has a lower bound than a field, so a different bound means that a field was too long.
        return LineTooLong(cause) if bound == LONGEST_LINE else FieldsTooLarge(cause)
    return BadRequest(cause)
