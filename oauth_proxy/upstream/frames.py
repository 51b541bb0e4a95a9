"""Follows the headers of the WebSocket frames that one side sends, to know when it stands between two of them.

The law: no payload is looked at, kept or changed, and a frame costs the same whatever its length. (RFC 6455 5.2)
"""

from secrets import token_bytes

from oauth_proxy.endings import Ending

MOST = 1024
"""Frames that are followed at once: that takes about 0.1 ms, and 64 KiB may hold 32 times as many."""
_CLOSE = 0x8
_MASKED = 0x80
_LONGEST_HEAD = 10
"""Bytes up to the end of the length; the mask's four after it are jumped over like the payload."""
_SIZES = tuple(
    0 if second & 0x7F > 125 else 2 + (second & 0x7F) + (4 if second & _MASKED else 0) for second in range(256)
)
"""The size of a whole frame by its second byte, or 0 where the length takes more bytes than that."""


class Frames:
    """The frames of one direction. Give every byte of it to `follow`, in any pieces."""

    __slots__ = ("_at", "_data", "_head", "_left", "closed")

    def __init__(self) -> None:
        self._left = 0
        """Bytes until the next header. A length with its top bit set is not valid, and never comes to its end."""
        self._head = b""
        """A header of which the end is still to come."""
        self._data, self._at = b"", 0
        """Bytes that wait for `go_on`, and where to go on."""
        self.closed = False
        """Whether the header of a Close frame has passed: after it, this side sends no more (RFC 6455 5.5.1)."""

    @property
    def between(self) -> bool:
        """Whether a frame may be added here. It may be a control frame only: a message may be open (5.4)."""
        return not (self._left or self._head or self._data)

    def follow(self, data: bytes) -> bool:
        """Follow the next bytes. Return False if there are more than MOST frames in them: then call `go_on`."""
        self._data, self._at = self._data[self._at :] + data if self._data else data, 0
        return self.go_on()

    def go_on(self) -> bool:
        """Follow up to MOST more frames of what is held; return whether nothing is held any more."""
        data = self._data
        if self._head and data and not self._take_head():
            return True
        at, end = self._at + self._left, len(data)
        last = end - 1
        for _ in range(MOST):
            if at >= last:
                break
            size = _SIZES[data[at + 1]] or _size(data, at)
            if not size:
                break
            if data[at] & 0x0F == _CLOSE:
                self.closed = True
            at += size
        else:
            if at < end:
                self._left, self._at = 0, at
                return False
        if at < end:
            self._head = data[at:]
        self._left = max(at - end, 0)
        self._data, self._at = b"", 0
        return True

    def to_the_end(self) -> None:
        """Follow all that is held."""
        while not self.go_on():
            pass

    def rest_of_frame(self, data: bytes) -> int | None:
        """Return how many of the next bytes belong to the frame that has begun; None if all do, and more to come.

        Nothing may be held. The bytes are not followed yet.
        """
        left = self._left
        if self._head:
            size = _size(self._head + data[:_LONGEST_HEAD], 0)
            left = size - len(self._head) if size else len(data) + 1
        return left if left <= len(data) else None

    def _take_head(self) -> bool:
        """Add to a header that was cut; return whether it is complete now."""
        before = len(self._head)
        head = self._head + self._data[self._at : self._at + _LONGEST_HEAD]
        size = _size(head, 0)
        if not size:
            self._head = head  # all that was held: a header is never longer
            self._data, self._at = b"", 0
            return False
        if head[0] & 0x0F == _CLOSE:
            self.closed = True
        self._head, self._left = b"", size - before
        return True


def _size(data: bytes, at: int) -> int:
    """Return the size of the whole frame whose header begins there, or 0 if its length is not all there yet."""
    if len(data) < at + 2:
        return 0
    second = data[at + 1]
    size = _SIZES[second]
    if size:
        return size
    ends = at + (4 if second & 0x7F == 126 else _LONGEST_HEAD)
    if len(data) < ends:
        return 0
    return ends - at + (4 if second & _MASKED else 0) + int.from_bytes(data[at + 2 : ends], "big")


def close_frame(ending: Ending, *, masked: bool) -> bytes:
    """Return a Close frame; what a client sends is masked (5.3), and what a server sends is not."""
    payload = ending.code.to_bytes(2, "big") + ending.reason.encode()
    if not masked:
        return bytes((0x80 | _CLOSE, len(payload))) + payload
    mask = token_bytes(4)
    hidden = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes((0x80 | _CLOSE, _MASKED | len(payload))) + mask + hidden
