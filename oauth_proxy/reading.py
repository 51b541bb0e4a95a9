"""What a visitor sends, parsed as far as it can be answered now.

The law: parsed is the request that is being answered, and the next head as far as it has come. All else waits as
the bytes it came as; beyond `PIECE` of them the socket is not read. Behind an error nothing is parsed.
"""

import asyncio
from collections import deque
from typing import Any

from aiohttp import EMPTY_PAYLOAD, StreamReader, web

from oauth_proxy.aiohttp_private import Head, NotHttp, Protocol, bound_of
from oauth_proxy.errors import BadRequest, FieldsTooLarge, LineTooLong
from oauth_proxy.turns import SLICE, Slices, wait_for_turn

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


class Reading(Protocol):
    """The half of a connection that reads."""

    __slots__ = (
        *("_body", "_coming", "_has_begun", "_has_stopped", "_head_size", "_heads"),
        *("_held", "_is_closing", "_is_upgrade", "_slices"),
    )

    def __init__(self, server: web.Server, **kwargs: Any) -> None:
        super().__init__(server, **kwargs)
        self._heads: deque[tuple[Head | BadRequest, StreamReader]] = deque()
        """Requests that wait, with their bodies; of bytes that are none, what is wrong with them."""
        self._coming: asyncio.Future[None] | None = None
        """Who waits for the next one."""
        self._body: StreamReader = EMPTY_PAYLOAD
        """Of the last head that was parsed."""
        self._has_begun = False
        """A request has been taken from here."""
        self._head_size = 0
        """Bytes of a head whose end has not come."""
        self._held = b""
        """What came behind a request that is being answered."""
        self._has_stopped = False
        """The parser may have stopped between two requests, and kept the rest: at some number of heads it does."""
        self._is_closing = False
        """No further request is taken."""
        self._is_upgrade = False
        """The last request asks for another protocol: what follows may be no HTTP."""
        self._slices: Slices | None = None
        """Where that body comes in chunks, which take long to parse when they are small."""

    async def _next(self) -> tuple[Head | BadRequest, StreamReader]:
        """The next request's head, and its body as it comes. Raises CancelledError when none is to be taken."""
        if not self._heads:
            self._slices = None  # the last body has ended
            if self._is_upgrade:
                self._is_upgrade = False  # it has been answered, and the connection is still ours
                self.decline_upgrade()
        if self._has_begun and (self._held or self._heads):
            await wait_for_turn()  # it came before the last answer: ours would follow each other without a pause
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
        """What came behind a request for another protocol, which somebody else speaks from now on."""
        held, self._held = self._held, b""
        return held

    def close(self) -> None:
        """Take no further request; aiohttp asks all connections so when the server is about to end."""
        super().close()
        self._is_closing = True
        if self._coming is not None:
            self._coming.cancel()

    def data_received(self, data: bytes) -> None:
        """Bytes of the visitor's; also called with none, when the reader of a body has room again."""
        if self.is_over:
            return
        if self._coming is not None and not self._heads:  # nothing is being answered
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
        """The socket is closed, by whomever: the rest of a body does not come."""
        super().connection_lost(exc)
        self._body.set_exception(exc or ConnectionResetError("the connection is lost"))
        # What refers to us, and what it holds, would stay until a full garbage collection.
        self._heads.clear()
        self._held, self._slices, self._body = b"", None, EMPTY_PAYLOAD

    def resume_reading(self, resume_parser: bool = True) -> None:
        """The reader of a body has room."""
        was_full = self.is_body_full
        super().resume_reading(resume_parser)
        if was_full and self._slices is not None:
            self._slices.go_on()

    def _is_open(self) -> bool:
        """What comes next is no head: it is the rest of a body."""
        return not (self._is_upgrade or self._body.is_eof())

    def _hold_back(self, data: bytes) -> None:
        """Keep what comes behind a request that is being answered."""
        self._held += data
        if len(self._held) > MOST_HELD:
            self.hold()

    def _read_on(self) -> None:
        """Parse as much of what is held as makes one request, with all that is here of its body."""
        while self._held and not self._heads:
            end = self._held.find(b"\r\n\r\n", 0, MOST_HELD)  # what follows a head is parsed as what it is
            size = MOST_HELD if end < 0 else end + 4
            piece, self._held = self._held[:size], self._held[size:]
            self._parse(piece, is_open=self._is_open())
        if self._held and self._is_open():
            rest, self._held = self._held, b""
            self._parse_body(rest)
        self._hold_back(b"")
        self._release()

    def _release(self) -> None:
        """Read the socket again, if nothing is held or refused; more of a body may be waited for."""
        is_full = self._held or self.is_over or (self._slices is not None and self._slices.wait)
        if self.is_held and not is_full:
            self.let_go()

    def _parse_body(self, data: bytes) -> None:
        """Parse what goes on with an open body."""
        if self._slices is None or not data:
            self._parse(data, is_open=True)
        else:
            self._slices.feed(data)

    def _parse_slice(self, data: bytes) -> bool:
        """Parse a slice of a body in chunks; whether the next one may follow at once."""
        if self.is_over:
            return False
        self._parse(data, is_open=True)
        if not self._is_open() and self._slices is not None:
            self._hold_back(self._slices.take_back())  # the body has ended: this belongs to the next request
        return self._slices is not None and not self.is_body_full

    def _parse(self, data: bytes, *, is_open: bool) -> None:
        """Hand `data` to aiohttp's parser and see what has come of it: the rest of a body, or heads."""
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
        """Answer so when it is its turn. What follows is no request; the rest of an open body does not come."""
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
    """What is wrong with bytes of which aiohttp's parser says this. Nothing of them is kept."""
    cause = f"bytes that are not a request: {type(error).__name__}"
    bound = bound_of(error)
    if bound is not None:
        # Only the request line is bounded lower than a field: what is larger than that is a header.
        return LineTooLong(cause) if bound == LONGEST_LINE else FieldsTooLarge(cause)
    return BadRequest(cause)
