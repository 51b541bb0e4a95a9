"""Parses a tool's bytes into responses: llhttp parses heads and chunked bodies; other bodies are counted here.

The law: no socket and no clock. Whatever follows a complete response is refused, never kept for the next one.
"""

from math import inf

import httptools

from oauth_proxy.errors import UpstreamNonsense
from oauth_proxy.upstream import head as heads
from oauth_proxy.upstream.head import Head

_MOST_INTERIM = 32
_NEVER_FED = httptools.HttpResponseParser(object())
_SMALL = 1024
"""Bytes. A piece of a body that is smaller than this is joined with earlier ones."""


class ResponseReader:
    """Reads one response after another: `expect` one, `feed` it, and `take` what has arrived of its body."""

    __slots__ = (
        "_body",
        "_crumbs",
        "_interim",
        "_left",
        "_parser",
        "_raw",
        "_to_head",
        "_upgrading",
        "buffered",
        "complete",
        "early",
        "head",
    )

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._raw = b""
        self._body: list[bytes] = []
        self._crumbs = bytearray()
        """Small pieces received after those in `_body`."""
        self._left: float | None = None
        """Bytes of the body still to come that skip llhttp, which saves a copy; None while llhttp parses them."""
        self._to_head = False
        self._upgrading = False
        self._interim = 0
        self.head: Head | None = None
        self.buffered = 0
        """Bytes of the body that have arrived and are not taken."""
        self.complete = False
        self.early = b""
        """After a 101, the bytes behind its head."""

    def expect(self, *, to_head: bool, upgrading: bool) -> None:
        """Prepare for the response to a HEAD, to a request for a WebSocket, or to any other request."""
        if self._left is not None:
            self._parser = httptools.HttpResponseParser(self)  # the old one waits for a body that it never saw
        self._raw, self._left, self._interim = b"", None, 0
        self._to_head, self._upgrading = to_head, upgrading
        self.head, self.complete = None, False
        if self.buffered:
            self.take()  # drop what is left of the last response

    def take(self) -> list[bytes]:
        """Return the part of the body that has arrived since the last call."""
        if self._crumbs:
            self._join()
        pieces, self._body, self.buffered = self._body, [], 0
        return pieces

    @property
    def begun(self) -> bool:
        """Whether a first byte has arrived, even of an interim response."""
        return bool(self._raw or self._interim or self.head)

    def feed(self, data: bytes) -> None:
        """Parse `data`. Raises UpstreamNonsense, also for bytes after a complete response, which stays valid."""
        if self.head is not None and self.head.status == 101:
            self.early += data
        elif self._left is not None:
            self._count(data)
        elif self.complete and self.head is not None and not self.head.chunked:
            raise UpstreamNonsense("bytes after a complete answer")  # llhttp would ignore line ends
        else:
            self._parse(data)

    def end(self) -> bool:
        """The connection has ended without error; return whether the response is complete."""
        if self.head is not None and self.head.until_close:
            self.complete = True
        return self.complete

    def close(self) -> None:
        """Drop the parser: it refers to us, and the cycle would stay until a full garbage collection."""
        self._parser = _NEVER_FED

    def _parse(self, data: bytes) -> None:
        before = self.head
        if before is None:
            self._raw += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.early = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, UpstreamNonsense):  # our own error, raised in a callback below
                raise error.__context__ from None
            raise UpstreamNonsense(f"llhttp: {error}") from error
        head = self.head
        if head is None:
            if len(self._raw) > heads.MAX_BYTES:
                raise UpstreamNonsense(f"the head is longer than {heads.MAX_BYTES} bytes")
        elif before is None:
            self._begin_body(head)

    def _begin_body(self, head: Head) -> None:
        """Start on the body. Check here what came behind the head: llhttp ignores line ends after a response."""
        behind, self._raw = len(self._raw), b""
        if not (self.complete or head.chunked):
            self._left = inf if head.length is None else head.length - self.buffered
        if head.length is not None and behind > head.length and head.status != 101:
            raise UpstreamNonsense("bytes after a complete answer")

    def _count(self, data: bytes) -> None:
        over = len(data) - (self._left or 0)
        if over > 0:
            data = data[: len(data) - int(over)]
        self._add(data)
        self._left = (self._left or 0) - len(data)
        self.complete = not self._left
        if over > 0:
            raise UpstreamNonsense("bytes after a complete answer")

    def _add(self, data: bytes) -> None:
        """Keep a piece of the body. Small ones are joined: an object takes more memory than its few bytes."""
        self.buffered += len(data)
        if self._body and len(data) < _SMALL:
            self._crumbs += data
        else:
            if self._crumbs:
                self._join()
            self._body.append(data)

    def _join(self) -> None:
        self._body.append(bytes(self._crumbs))
        self._crumbs = bytearray()

    # Called by llhttp, during feed_data.

    def on_message_begin(self) -> None:
        """A status line begins."""
        if self.complete:
            raise UpstreamNonsense("bytes after a complete answer")

    def on_headers_complete(self) -> None:
        """A head is complete, final or interim (RFC 9110 15.2)."""
        end = self._raw.find(b"\r\n\r\n") + 4
        if end > heads.MAX_BYTES:
            raise UpstreamNonsense(f"the head is longer than {heads.MAX_BYTES} bytes")
        head = heads.read(self._raw[:end], to_head=self._to_head)
        self._raw = self._raw[end:]
        if head.status >= 200 or head.status == 101:
            self._accept(head)
            return
        self._interim += 1  # 100 and 103 are not forwarded: RFC 9110 15.2 lets a proxy drop them
        if self._interim > _MOST_INTERIM:
            raise UpstreamNonsense("interim answers without end")

    def on_body(self, data: bytes) -> None:
        """A piece of the body, without chunk sizes."""
        if self.complete:
            raise UpstreamNonsense("a body where none may be")
        self._add(data)

    def on_message_complete(self) -> None:
        """A response has ended, final or interim."""
        if self.head is not None and self.head.status != 101:
            self.complete = True

    def _accept(self, head: Head) -> None:
        if head.status == 101 and not self._upgrading:
            raise UpstreamNonsense("101 to a request that asked for no other protocol")
        self.head = head
        self.complete = head.length == 0 and head.status != 101
