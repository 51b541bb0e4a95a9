"""What a browser's form has sent, read so that another form sends the same bytes again.

The law: a form is `Form` only if a browser that submits its entries sends exactly the body it was read from, the
boundary and what is in files apart. Whatever else a body is, it is NotAForm, and nothing of it may be sent again.

HTML 4.10.22 says how browsers write forms. Bytes that are not UTF-8 are read as windows-1252, in which every byte
is a character: a form with that charset sends the same bytes, whatever charset the first one was in.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast
from urllib.parse import parse_qsl, quote_plus

from oauth_proxy.turns import wait_for_turn

if TYPE_CHECKING:
    from aiohttp import BodyPartReader, StreamReader

    from oauth_proxy.aiohttp_private import Protocol

LONGEST = 256 * 1024
"""Bytes of a form's text: all names and values, and what stands between them."""
LONGEST_WITH_FILES = 32 * 1024 * 1024
"""Bytes of a form with files, which are read past and not kept."""
MOST_ENTRIES = 10_000

Enctype = Literal["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]

Take = Callable[[int], object]

_MULTIPART = re.compile(r"multipart/form-data; ?boundary=([0-9A-Za-z'()+_,./:=?-]{1,70})", re.IGNORECASE)
_DISPOSITION = re.compile(r'form-data; name="([^"\r\n]*)"(?:; filename="([^"\r\n]*)")?')
_PIECE = 16 * 1024
_PARTS_IN_A_TURN, _FIELDS_IN_A_TURN = 64, 256
_LONE_BREAK = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_WINDOWS_1252 = {
    byte: bytes([byte]).decode("cp1252")
    for byte in range(0x80, 0xA0)
    if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)  # Encoding 9: these are C1 controls, which Python leaves out
}


class NotAForm(Exception):
    """It is not certain that a browser's form would send the same again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One field, as bytes: its name, and its value; or the name of a file, which is empty if none was chosen."""

    name: bytes
    value: bytes = b""
    filename: bytes | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """What was sent: the entries in order, and the encoding of the body."""

    enctype: Enctype
    entries: Sequence[Entry]

    @property
    def charset(self) -> Literal["utf-8", "windows-1252"]:
        """The charset in which a form sends the same bytes."""
        try:
            for text in self._texts():
                text.decode()
        except UnicodeDecodeError:
            return "windows-1252"
        return "utf-8"

    def decoded(self) -> Iterator[tuple[str, str, str | None]]:
        """Name, value, and the file's name (or None) of each entry, as the page's form must have them."""
        read: Callable[[bytes], str] = bytes.decode if self.charset == "utf-8" else _as_windows_1252
        for each in self.entries:
            yield read(each.name), read(each.value), None if each.filename is None else read(each.filename)

    @property
    def longest_page(self) -> int:
        """Bytes that its entries take at most in a page: no character becomes more than five, or an entry 512."""
        texts = sum(map(len, self._texts()))
        return 5 * texts + sum(64 if each.filename is None else 512 for each in self.entries)

    def _texts(self) -> Iterator[bytes]:
        for each in self.entries:
            yield from (each.name, each.value, each.filename or b"")


def enctype_of(content_types: Sequence[bytes]) -> Enctype | None:
    """How the body of a browser's form with this Content-Type is encoded; None for any other body."""
    if len(content_types) != 1:
        return None
    sent = content_types[0].decode("latin-1")
    if _MULTIPART.fullmatch(sent):
        return "multipart/form-data"
    for enctype in ("application/x-www-form-urlencoded", "text/plain"):
        if sent.lower() == enctype:
            return enctype
    return None


@dataclass(slots=True)
class Held:
    """What is held of a form until its request is answered: bytes of memory, and the body once it is read."""

    size: int = 0
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What a page has of a form that could not be answered; no `form` if it cannot be sent again from there.

    `action` is where the page's own form leads. The tool `may_have_it` if any byte of the request was sent to it.
    """

    form: Form | None
    action: str
    may_have_it: bool


class Again(NamedTuple):
    """Where a form is sent again, and who had typed it: an id, "" if that is not known, None if anybody may."""

    url: str
    who: str | None


async def read_form(content_type: bytes, content: "StreamReader", take: Take = lambda _: None) -> Form:
    """Read a whole body. `take` is called with the size of each piece that is kept.

    Raises NotAForm, and what `take` raises, and `content` when it breaks off.
    """
    enctype = enctype_of([content_type])
    if enctype is None:
        raise NotAForm("no content type of a form")
    if enctype == "multipart/form-data":
        entries = await _parts(content_type.decode("latin-1"), content, take)
    else:
        body = await _whole(content, take)
        entries = await _pairs(body) if enctype == "application/x-www-form-urlencoded" else _plain(body)
    if not all(map(_can_be_repeated, entries)):
        raise NotAForm("a name or a value that no browser sends")
    return Form(enctype, entries)


def as_stream(body: bytes, protocol: "Protocol") -> "StreamReader":
    """A body that is in hand, as `read_form` takes it; `protocol` is the connection that it came by."""
    from aiohttp import StreamReader  # local: as below

    content = StreamReader(protocol, len(body) + 1, loop=protocol.loop)
    content.feed_data(body)
    content.feed_eof()
    return content


async def _whole(content: "StreamReader", take: Take) -> bytes:
    body = bytearray()
    while piece := await content.readany():
        take(len(piece))
        _keep(body, piece)
    return bytes(body)


def _keep(kept: bytearray, piece: bytes, before: int = 0) -> None:
    _require_room(before + len(kept) + len(piece))
    kept += piece


def _require_room(size: int) -> None:
    if size > LONGEST:
        raise NotAForm(f"more than {LONGEST} bytes of text")


async def _pairs(body: bytes) -> list[Entry]:
    """The fields of application/x-www-form-urlencoded (URL 5)."""
    entries: list[Entry] = []
    if body.count(b"&") >= MOST_ENTRIES:
        raise NotAForm(f"more than {MOST_ENTRIES} fields")
    fields = body.decode("latin-1").split("&") if body else []
    for start in range(0, len(fields), _FIELDS_IN_A_TURN):
        if start:
            await wait_for_turn()
        sent = "&".join(fields[start : start + _FIELDS_IN_A_TURN])
        pairs = parse_qsl(sent, keep_blank_values=True, encoding="latin-1")
        if "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in pairs) != sent:
            raise NotAForm("fields that a browser writes in another way")
        entries += [Entry(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    return entries


def _quoted(text: str) -> str:
    return quote_plus(text, safe="*", encoding="latin-1").replace("~", "%7E")  # browsers quote it, Python does not


def _plain(body: bytes) -> list[Entry]:
    """The body of text/plain, as one field: nothing in it is escaped, so where fields end is not known."""
    name, equals, value = body.partition(b"=")
    if not body:
        return []
    if not equals or not value.endswith(b"\r\n"):
        raise NotAForm("lines that a browser writes in another way")
    return [Entry(name, value.removesuffix(b"\r\n"))]


async def _parts(content_type: str, content: "StreamReader", take: Take) -> list[Entry]:
    """The parts of multipart/form-data (RFC 7578), of files only their names."""
    from aiohttp import BodyPartReader, MultipartReader  # local: `check` has pages of forms, and no server

    from oauth_proxy.aiohttp_private import BODY_ERRORS

    matched = _MULTIPART.fullmatch(content_type)
    boundary = matched[1] if matched else ""
    # Another subtype, because aiohttp 3.14.5 keeps a first field _charset_ of form-data for itself.
    reader = MultipartReader(
        {"Content-Type": f'multipart/mixed; boundary="{boundary}"'}, cast("StreamReader", _Lines(content))
    )
    entries: list[Entry] = []
    length, kept = len(f"--{boundary}--\r\n"), 0
    try:
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader) or len(entries) >= MOST_ENTRIES:
                raise NotAForm("too many parts, or one with parts of its own")
            name, filename, head = _head(part.headers)
            kept += len(head)
            _require_room(kept)
            take(len(head))
            value, size = await _part(part, content, kept, take, is_file=filename is not None)
            kept += len(value)
            length += len(f"--{boundary}\r\n\r\n\r\n") + len(head) + size
            entries.append(Entry(name, value, filename))
            if len(entries) % _PARTS_IN_A_TURN == 0:
                await wait_for_turn()
        while await content.readany():
            pass
    except (ValueError, *BODY_ERRORS) as error:
        raise NotAForm(f"parts that cannot be read: {type(error).__name__}") from None
    if length != content.total_bytes:
        raise NotAForm("parts that a browser writes in another way")
    return entries


class _Lines:
    """A body that is NotAForm if a line does not end in one CRLF: to aiohttp, any number of CR and LF will do."""

    def __init__(self, content: "StreamReader") -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def readline(self, **how: int) -> bytes:
        line = await self._content.readline(**how)
        if line and line.rstrip(b"\r\n") + b"\r\n" != line:
            raise NotAForm("lines that a browser ends in another way")
        return line


async def _part(
    part: "BodyPartReader", content: "StreamReader", before: int, take: Take, *, is_file: bool
) -> tuple[bytes, int]:
    """What is in a part, but nothing of a file, and its length; `before` are the bytes of other parts."""
    value, size = bytearray(), 0
    while piece := await part.read_chunk(_PIECE):
        size += len(piece)
        if not is_file:
            take(len(piece))
            _keep(value, piece, before)
        elif content.total_bytes > LONGEST_WITH_FILES:
            raise NotAForm(f"more than {LONGEST_WITH_FILES} bytes")
    return bytes(value), size


def _head(headers: Mapping[str, str]) -> tuple[bytes, bytes | None, bytes]:
    """A part's name, its file's name or None, and all of its header lines as they were sent."""
    disposition = headers.get("Content-Disposition", "")
    matched = _DISPOSITION.fullmatch(disposition)
    lines = {"Content-Disposition", *(["Content-Type"] if matched and matched[2] is not None else [])}
    if matched is None or len(headers) != len(lines) or set(headers) != lines:
        raise NotAForm("a part with other header lines than a browser writes")
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    name, filename = (None if text is None else _bytes(text) for text in matched.groups())
    return name or b"", filename, _bytes(head)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # as aiohttp has decoded it


def _can_be_repeated(entry: Entry) -> bool:
    """Whether a browser submits a field with this name and this value, and changes neither of them."""
    texts = (entry.name, entry.value, entry.filename or b"")
    return bool(entry.name) and not any(b"\0" in text or _LONE_BREAK.search(text) for text in texts)


def _as_windows_1252(text: bytes) -> str:
    return text.decode("latin-1").translate(_WINDOWS_1252)
