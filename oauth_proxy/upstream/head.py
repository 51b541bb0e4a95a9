"""The head of a tool's answer: read strictly, and kept as the bytes it came as.

The law: llhttp has refused what it refuses (bare LF, folded lines, controls in fields, conflicting lengths); this
module refuses the rest, so that nothing is passed on which another reader could take for something else.
"""

import re

from oauth_proxy.errors import UpstreamNonsense
from oauth_proxy.headers import HOP_BY_HOP

MAX_BYTES = 65536
MAX_LINES = 256

# RFC 9112 4. llhttp lets through HTTP/0.9, HTTP/2.0, RTSP/1.0, statuses such as 099, and NUL or ESC in the
# reason.
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n")
# What Connection may name without any line being struck for it: what it means by itself, what is struck anyway,
# and the length, which is not the tool's to take back.
_NAMED_IN_VAIN = HOP_BY_HOP | {b"", b"close", b"content-length"}
_READ_HERE = HOP_BY_HOP | {b"content-length", b"content-type", b"date"}


class Head:
    """What one answer's head says: `status`, how its body ends, and the `lines` a visitor may see."""

    __slots__ = (
        "chunked",
        "dated",
        "event_stream",
        "keep_alive",
        "length",
        "lines",
        "reason",
        "status",
        "upgrade",
    )

    def __init__(self, keep_alive: bool, status: int, reason: bytes) -> None:
        self.status = status
        self.reason = reason
        self.lines: list[bytes] = []
        """Whole header lines without line ends, in order, hop-by-hop ones struck."""
        self.length: int | None = None
        """Bytes of body; None where only the last chunk or the end of the connection tells."""
        self.chunked = False
        self.keep_alive = keep_alive
        self.event_stream = False
        self.dated = False
        self.upgrade = b""

    @property
    def until_close(self) -> bool:
        """Only the end of the connection ends the body (RFC 9112 6.3, rule 8)."""
        return self.length is None and not self.chunked


def read(raw: bytes, *, to_head: bool = False) -> Head:
    """The head in `raw`, which ends with its empty line; `to_head` when HEAD was asked (RFC 9112 6.3).

    UpstreamNonsense is raised for whatever can be read in two ways or is no HTTP/1.
    """
    found = _STATUS_LINE.match(raw)
    if found is None:
        raise UpstreamNonsense("the status line is not HTTP/1.0 or HTTP/1.1")
    head = Head(found[1] == b"1", int(found[2]), found[3] or b"")
    options: list[bytes] = []
    lines = raw[found.end() : -4].split(b"\r\n") if len(raw) > found.end() + 2 else []
    if len(lines) > MAX_LINES:
        raise UpstreamNonsense(f"the head has more than {MAX_LINES} lines")
    for line in lines:
        name = line.partition(b":")[0].lower()
        if name not in _READ_HERE:
            head.lines.append(line)
        elif name == b"connection":
            options += line[11:].lower().split(b",")
        else:
            _note(head, name, line)
    if options:
        _apply_options(head, {option.strip(b" \t") for option in options})
    _settle_framing(head, to_head=to_head, minor=found[1])
    return head


def _settle_framing(head: Head, *, to_head: bool, minor: bytes) -> None:
    """How the body ends (RFC 9112 6.3)."""
    if head.chunked and minor == b"0":
        raise UpstreamNonsense("Transfer-Encoding in an HTTP/1.0 answer")  # RFC 9112 6.1: faulty framing
    if to_head or head.status in (204, 304) or head.status < 200:
        _without_body(head)
    elif head.until_close:
        head.keep_alive = False


def _note(head: Head, name: bytes, line: bytes) -> None:
    """Take down what one of the lines that this module reads says, and keep it if it crosses."""
    value = line[len(name) + 1 :].strip(b" \t")
    if name == b"transfer-encoding":
        if head.chunked or value.lower() != b"chunked":
            raise UpstreamNonsense("a Transfer-Encoding other than one chunked")
        head.chunked = True
    elif name == b"content-length":
        head.length = int(value)  # digits, in one line only: llhttp has seen to that
    elif name == b"content-type":
        head.event_stream = value[:17].lower() == b"text/event-stream"
    elif name == b"upgrade":
        head.upgrade = value
    elif name == b"date":
        head.dated = True
    if name not in HOP_BY_HOP:
        head.lines.append(line)


def _apply_options(head: Head, named: set[bytes]) -> None:
    """`close` and `keep-alive`, and the lines that are for us alone because Connection names them."""
    if b"close" in named:
        head.keep_alive = False
    elif b"keep-alive" in named:
        head.keep_alive = True
    named -= _NAMED_IN_VAIN
    if named:
        head.lines = [line for line in head.lines if line.partition(b":")[0].lower() not in named]


def _without_body(head: Head) -> None:
    """An answer whose body is empty whatever its lengths say; a 204 must not give one (RFC 9110 8.6)."""
    if head.status == 204:
        head.lines = [line for line in head.lines if not line.lower().startswith(b"content-length:")]
    head.chunked = False
    head.length = 0
