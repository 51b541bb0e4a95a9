"""Reads the Cookie header and writes Set-Cookie values: exact names, sealed values, long values split.

The law: the raw header is split on ";" and nothing else (RFC 6265bis 5.6). A name of ours that occurs twice is
ignored, and any value that is not exactly one of our sealed values means "not signed in".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from sys import getsizeof
from typing import Literal

from oauth_proxy.bounded import Weighed
from oauth_proxy.errors import FieldsTooLarge, SessionTooLarge
from oauth_proxy.headers import Fields
from oauth_proxy.seal import Sealer, Unsealable

PIECE_BYTES = 3800
"""Bytes of one cookie's name and value. Browsers store up to 4096, some attributes included."""
MOST_PIECES = 16
"""All pieces together stay below the 64 KiB of headers that our listener accepts."""

MOST_PAIRS = 512
"""Cookies in header lines that contain one of ours. Browsers store about 180 per site."""

_REMEMBERED_BYTES = 8 * 1024 * 1024
"""Bytes for cached parses of Cookie lines, overhead included: about three times the lines themselves."""
_COUNTED = re.compile(r"([1-9][0-9]?)\.([A-Za-z0-9_-]+)")


@dataclass(slots=True)
class RequestCookies:
    """A request's cookies: `ours` by exact name, without repeated ones; our names `seen`; the tool's `others`."""

    ours: dict[str, str]
    seen: frozenset[str]
    others: tuple[bytes, ...]
    line: bytes = field(default=b"", repr=False, compare=False)
    """The whole header line as sent, if there was exactly one and its parse is not cached yet."""
    joined: dict[str, str | None] = field(default_factory=dict, repr=False, compare=False)
    """Sealed texts that were already joined from their pieces, by the name of the first cookie."""


def _weight(line: bytes, received: RequestCookies) -> int:
    """Bytes of everything that is stored for a line."""
    ours, others, joined = received.ours, received.others, received.joined
    parts = (line, received, ours, *ours.values(), received.seen, *received.seen, others, *others, joined)
    return sum(map(getsizeof, (*parts, *filter(None, joined.values()))))


class Cookies:
    """Reads and writes our cookies, with their names and attributes.

    `secure` is whether the public URL is https; `domain`, if set, shares the cookies with its subdomains. With
    `partitioned`, the site has cookies of its own in the frames of each other site (CHIPS).
    """

    def __init__(
        self,
        name: str,
        *,
        secure: bool,
        domain: str | None = None,
        path: str = "/",
        same_site: Literal["lax", "strict", "none"] = "lax",
        partitioned: bool = False,
    ) -> None:
        # A browser accepts a __Host- cookie only from this exact host, so a sibling domain cannot set one.
        prefix = ("__Host-" if not domain and path == "/" else "__Secure-") if secure else ""
        self.name = prefix + name
        self._ours = re.compile(rf"(?:__Host-|__Secure-)?{re.escape(name)}(?:-[A-Za-z0-9_-]*)?".encode())
        self.family = name.encode()
        """Part of all our cookie names."""
        self._known = Weighed[bytes, RequestCookies](_REMEMBERED_BYTES, _weight)
        self._domain = f"; Domain={domain}" if domain else ""
        self._path = path
        self._secure = "; Secure" if secure else ""
        self._same_site = same_site.capitalize()
        self._partitioned = "; Partitioned" if partitioned else ""
        # For browsers a partitioned cookie and a plain one of the same name are two, and would both be sent.
        self._other_kind = ("" if partitioned else "; Partitioned") if same_site == "none" and secure else None

    def read(self, sent: Fields) -> RequestCookies:
        """The request's cookies: ours separated from the tool's, whose bytes stay unchanged.

        Raises FieldsTooLarge for more cookies than any browser sends.
        """
        lines = sent[b"cookie"]
        if len(lines) != 1:
            return self._read(lines)
        received = self._known.get(lines[0])
        if received is None:
            received = self._read(lines)
            received.line = lines[0]
        return received

    def is_ours(self, name: bytes) -> bool:
        """Whether this exact name is one of ours, with or without a prefix."""
        return self._ours.fullmatch(name) is not None

    def remember(self, received: RequestCookies) -> None:
        """Cache the parse of this `line`: the browser repeats the line until we or the tool change a cookie.

        Only for lines with a valid session, so that strangers cannot fill the cache.
        """
        line, received.line = received.line, b""
        if line:
            self._known.keep(line, received)

    def _read(self, lines: Sequence[bytes]) -> RequestCookies:
        ours: dict[str, str] = {}
        seen: set[str] = set()
        others: list[bytes] = []
        room = MOST_PAIRS
        for header in lines:
            if self.family in header:
                room -= header.count(b";") + 1
            if room < 0:
                raise FieldsTooLarge(f"more than {MOST_PAIRS} cookies")
            if self.family not in header:
                others.append(header)
                continue
            kept = []
            for piece in header.split(b";"):
                name, _, value = piece.strip(b" \t").partition(b"=")
                if not self.is_ours(name):
                    kept.append(piece)
                elif (key := name.decode("ascii")) in seen:
                    ours.pop(key, None)
                else:
                    seen.add(key)
                    ours[key] = value.decode("latin-1")
            if any(piece.strip(b" \t") for piece in kept):
                others.append(b";".join(kept).lstrip(b" \t"))
        return RequestCookies(ours, frozenset(seen), tuple(others))

    def set(self, name: str, value: str, max_age: float) -> str:
        """A Set-Cookie value (RFC 6265bis 4.1) that lasts `max_age` seconds."""
        return self._written(name, value, max_age, self._partitioned)

    def clear(self, name: str) -> str:
        """A Set-Cookie value that deletes the cookie `name`."""
        return self.set(name, "", 0)

    def clear_other_kind(self, name: str) -> list[str]:
        """Set-Cookie values that delete a cookie of this name from before `partitioned` was changed."""
        return [] if self._other_kind is None else [self._written(name, "", 0, self._other_kind)]

    def _written(self, name: str, value: str, max_age: float, partitioned: str) -> str:
        return (
            f"{name}={value}; Max-Age={int(max_age)}; Path={self._path}{self._domain}"
            f"; HttpOnly{self._secure}; SameSite={self._same_site}{partitioned}"
        )


class SealedCookie:
    """One value, sealed for its cookie's name, and split over as many cookies as it needs.

    The first cookie contains their number; `name-1`, `name-2` … hold the rest.
    """

    def __init__(self, cookies: Cookies, sealer: Sealer, name: str) -> None:
        self._cookies = cookies
        self._sealer = sealer
        self.name = name

    def text(self, received: RequestCookies) -> str | None:
        """The sealed text that the request sent, joined; None if there is none or a piece is missing."""
        try:
            return received.joined[self.name]
        except KeyError:
            text = received.joined[self.name] = self._join(received)
            return text

    def _join(self, received: RequestCookies) -> str | None:
        first = received.ours.get(self.name)
        counted = _COUNTED.fullmatch(first) if first else None
        if not counted:
            return None
        count, text = int(counted[1]), counted[2]
        if count > MOST_PIECES:
            return None
        pieces = [received.ours.get(f"{self.name}-{n}") for n in range(1, count)]
        return None if None in pieces else text + "".join(filter(None, pieces))

    def open(self, text: str) -> bytes | None:
        """The sealed content; None if the text is not ours."""
        try:
            return self._sealer.open(text, self.name)
        except Unsealable:
            return None

    def set(self, content: bytes, max_age: float, received: RequestCookies) -> list[str]:
        """Set-Cookie values that store `content`, and delete further pieces of a longer value before it.

        Raises SessionTooLarge if `content` does not fit into the cookies that a browser stores.
        """
        try:
            text = self._sealer.seal(content, self.name)
        except ValueError as error:
            raise SessionTooLarge(str(error)) from None
        room = PIECE_BYTES - len(self.name) - len("-99=99.")
        pieces = [text[at : at + room] for at in range(0, len(text), room)]
        if len(pieces) > MOST_PIECES:
            raise SessionTooLarge(f"{len(content)} bytes need {len(pieces)} cookies, {MOST_PIECES} are the limit")
        names = [self.name] + [f"{self.name}-{n}" for n in range(1, len(pieces))]
        pieces[0] = f"{len(pieces)}.{pieces[0]}"
        stored = [self._cookies.set(name, piece, max_age) for name, piece in zip(names, pieces, strict=True)]
        seen = self._pieces_seen(received)
        stored += [self._cookies.clear(name) for name in seen if name not in names]
        return stored + self._others_cleared(seen)

    def clear(self, received: RequestCookies) -> list[str]:
        """Set-Cookie values that delete every piece the browser sent."""
        seen = self._pieces_seen(received)
        return [self._cookies.clear(name) for name in seen] + self._others_cleared(seen)

    def is_due(self, text: str) -> bool:
        """Whether an older key sealed this, so that it should be sealed again."""
        return not self._sealer.is_current(text)

    def _others_cleared(self, seen: Sequence[str]) -> list[str]:
        return [value for name in seen for value in self._cookies.clear_other_kind(name)]

    def _pieces_seen(self, received: RequestCookies) -> list[str]:
        piece = re.compile(re.escape(self.name) + r"(?:-[0-9]{1,2})?")
        return sorted(name for name in received.seen if piece.fullmatch(name))
