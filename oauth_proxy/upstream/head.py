"""The head of a tool's response: checked strictly, and kept as the bytes received.

The law: llhttp has refused what it refuses (bare LF, folded lines, controls in fields, conflicting lengths); this
module refuses the rest, so that nothing is passed on which another parser could understand differently.
"""

import re
from collections.abc import Container, Sequence, Set
from functools import lru_cache
from typing import NamedTuple

from oauth_proxy.errors import UpstreamNonsense
from oauth_proxy.headers import HOP_BY_HOP
from oauth_proxy.responses import MARK

MAX_BYTES = 65536
MAX_LINES = 256
LONGEST_REST = 300.0
"""Upper limit of seconds to keep an unused connection: a firewall between may drop it silently."""

# RFC 9112 4. llhttp accepts HTTP/0.9, HTTP/2.0, RTSP/1.0, statuses such as 099, and NUL or ESC in the reason.
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?")
# Names in Connection for which no line is removed: its own options, names that are removed anyway, and the length,
# which the tool must not have removed.
_NAMED_IN_VAIN = HOP_BY_HOP | {b"", b"close", b"content-length"}
_TIMEOUT = re.compile(rb"(?:^|,)[\t ]*timeout[\t ]*=[\t ]*\"?([0-9]+)\"?[\t ]*(?=,|\Z)")
_CLAIMS = (b"set-cookie", MARK.lower().encode("ascii"))
# Every line that is read here has a name that begins with one of these letters. This skips most other lines.
_CANDIDATE = re.compile(rb"\n([CcDdHhKkPpSsTtUuXx][A-Za-z0-9-]*):([^\r]*)")
_OTHER, _LENGTH, _DATE, _CLAIM, _HOP = range(1, 6)
_KINDS: dict[bytes, int] = {}
"""What the lines with a name are, by how tools write it."""
_REMEMBERED_NAMES, _REMEMBERED_LENGTH = 1024, 64
_ENCODED = re.compile(rb"\ncontent-encoding:", re.IGNORECASE)
_EVENTS = re.compile(rb"\ncontent-type:[\t ]*text/event-stream", re.IGNORECASE)


class StatusLine(NamedTuple):
    """The first line of a response: the line as we send it, in our version (RFC 9110 2.5), and its parts."""

    line: bytes
    status: int
    reason: bytes
    is_1_0: bool
    """Whether the tool speaks HTTP/1.0."""


class _Hops(NamedTuple):
    """What the hop-by-hop lines of a head say together."""

    keep_alive: bool | None
    """None if they do not say."""
    named: Set[bytes]
    """Names in Connection whose lines must be removed."""
    upgrade: bytes
    chunked: bool
    rest: float | None


class Head:
    """The head of one response: `status`, how its body ends, and the lines that a client may see."""

    __slots__ = (
        "block",
        "chunked",
        "dated",
        "first",
        "has_claims",
        "keep_alive",
        "length",
        "rest",
        "status",
        "upgrade",
    )

    def __init__(self, first: StatusLine, block: bytes) -> None:
        self.first = first
        self.status = first.status
        self.block = block
        """Header lines in order, without hop-by-hop ones, with a CRLF before the first and after each."""
        self.length: int | None = None
        """Bytes of the body; None if it ends with the last chunk or with the connection."""
        self.chunked = False
        self.keep_alive = not first.is_1_0
        """Whether the connection may be used again."""
        self.rest: float | None = None
        """Seconds for which the connection may be used again; None if the tool does not say."""
        self.dated = False
        self.has_claims = False
        """Whether there may be lines that only we may send: the mark of our responses, or our cookies."""
        self.upgrade = b""

    @property
    def event_stream(self) -> bool:
        """Whether the body is a stream of server-sent events."""
        return _EVENTS.search(self.block) is not None

    @property
    def is_encoded(self) -> bool:
        """Whether the body has a content coding, such as gzip."""
        return _ENCODED.search(self.block) is not None

    @property
    def lines(self) -> list[bytes]:
        """The lines of `block`, without line ends."""
        return self.block.split(b"\r\n")[1:-1]

    def strike(self, names: Container[bytes]) -> None:
        """Remove every line with one of these names, given in lower case."""
        self.keep([line for line in self.lines if line.partition(b":")[0].lower() not in names])

    def keep(self, lines: Sequence[bytes]) -> None:
        """Replace the lines by these, given without line ends."""
        self.block = b"\r\n".join([b"", *lines, b""])

    def obey(self, said: _Hops) -> None:
        """Do what the hop-by-hop lines say; they are removed already."""
        self.upgrade, self.chunked, self.rest = said.upgrade, said.chunked, said.rest
        if said.keep_alive is not None:
            self.keep_alive = said.keep_alive
        if said.named:
            self.strike(said.named)

    @property
    def until_close(self) -> bool:
        """Whether the body ends only with the connection (RFC 9112 6.3, rule 8)."""
        return self.length is None and not self.chunked


def read(raw: bytes, *, to_head: bool = False) -> Head:
    """Parse `raw`, which ends with the empty line; `to_head` if the request was a HEAD (RFC 9112 6.3).

    Raises UpstreamNonsense for whatever is ambiguous or not HTTP/1.
    """
    end = raw.find(b"\r\n")
    first = _status_line(raw[:end])
    if len(raw) > 4 * MAX_LINES and raw.count(b"\n") > MAX_LINES + 2:
        raise UpstreamNonsense(f"the head has more than {MAX_LINES} lines")
    head = Head(first, raw[end:-2])
    hops: list[tuple[bytes, bytes]] = []
    for name, value in _CANDIDATE.findall(raw, end + 1):
        kind = _KINDS.get(name) or _kind(name)
        if kind == _LENGTH:
            head.length = int(value)  # llhttp has checked: digits, in one line only
        elif kind == _DATE:
            head.dated = True
        elif kind == _CLAIM:
            head.has_claims = True
        elif kind == _HOP:
            hops.append((name, value))
            head.block = head.block.replace(b"\r\n" + name + b":" + value + b"\r\n", b"\r\n", 1)
    if hops:
        head.obey(_hops(tuple(hops)))
    _settle_framing(head, to_head=to_head)
    return head


@lru_cache(maxsize=256)
def _status_line(line: bytes) -> StatusLine:
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        raise UpstreamNonsense("the status line is not HTTP/1.0 or HTTP/1.1")
    minor, status, reason = found.groups(b"")
    return StatusLine(b"HTTP/1.1 %b %b" % (status, reason), int(status), reason, minor == b"0")


def _kind(name: bytes) -> int:
    folded = name.lower()
    kind = _OTHER
    if folded == b"content-length":
        kind = _LENGTH
    elif folded == b"date":
        kind = _DATE
    elif folded in _CLAIMS:
        kind = _CLAIM
    elif folded in HOP_BY_HOP:
        kind = _HOP
    if len(_KINDS) < _REMEMBERED_NAMES and len(name) <= _REMEMBERED_LENGTH:
        _KINDS[name] = kind
    return kind


@lru_cache(maxsize=64)
def _hops(lines: tuple[tuple[bytes, bytes], ...]) -> _Hops:
    """Parse the hop-by-hop lines, given as names and values. A tool sends the same ones with each response."""
    lines = tuple((name.lower(), value.strip(b" \t").lower()) for name, value in lines)
    options: set[bytes] = set()
    upgrade, chunked = b"", False
    for name, value in lines:
        if name == b"connection":
            options |= {option.strip(b" \t") for option in value.split(b",")}
        elif name == b"upgrade":
            upgrade = value
        elif name == b"transfer-encoding":
            if chunked or value != b"chunked":
                raise UpstreamNonsense("a Transfer-Encoding other than one chunked")
            chunked = True
    rest = _rest(b",".join([value for name, value in lines if name == b"keep-alive"]))
    keep_alive = None
    if b"close" in options or rest == 0:
        keep_alive = False
    elif b"keep-alive" in options:
        keep_alive = True
    return _Hops(keep_alive, options - _NAMED_IN_VAIN, upgrade, chunked, rest)


def _rest(keep_alive: bytes) -> float | None:
    """Return one second less than the (smallest) timeout in Keep-Alive (RFC 2068 19.7.1.1); None if it is invalid.

    Because of that second, our next request does not cross with the tool's closing of the connection.
    """
    said = [int(digits.lstrip(b"0")[:9] or 0) - 1.0 for digits in _TIMEOUT.findall(keep_alive)]
    return max(0.0, min(*said, LONGEST_REST)) if said else None


def _settle_framing(head: Head, *, to_head: bool) -> None:
    """Determine how the body ends (RFC 9112 6.3)."""
    if head.chunked and head.first.is_1_0:
        raise UpstreamNonsense("Transfer-Encoding in an HTTP/1.0 answer")  # RFC 9112 6.1: faulty framing
    if to_head or head.status in (204, 304) or head.status < 200:
        _without_body(head, to_head=to_head)
    elif head.length is None and not head.chunked:  # until_close
        head.keep_alive = False


def _without_body(head: Head, *, to_head: bool) -> None:
    """Mark the body as empty, whatever the head says; a 204 must not have a length (RFC 9110 8.6).

    Some tools send a body anyway, a moment later. So after a HEAD, or when the head announces a body, the
    connection is not used again.
    """
    if to_head or head.chunked or head.length:
        head.keep_alive = False
    if head.status == 204:
        head.strike({b"content-length"})
    head.chunked = False
    head.length = 0
