"""One request: what was sent, and what is learnt of it on its way."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from itertools import chain as joined
from sys import getsizeof

from aiohttp import web

from oauth_proxy.bounded import Weighed
from oauth_proxy.headers import Fields, Line, asks_for_stream, asks_for_websocket

_REMEMBERED_BYTES = 8 * 1024 * 1024
"""Of header lines with all that is held for them, which is some four times what was sent."""


class RequestHeaders(Fields):
    """A request's header lines, and what has been made of them."""

    __slots__ = ("_header_cache", "for_stream", "for_websocket", "is_remembered", "rewritten")

    def __init__(self, lines: Sequence[Line], header_cache: "HeaderCache | None" = None) -> None:
        super().__init__(lines)
        self._header_cache = header_cache
        self.for_stream = asks_for_stream(self)
        self.for_websocket = asks_for_websocket(self)
        self.is_remembered = False
        self.rewritten: dict[object, tuple[object, Sequence[str], bytes]] = {}
        """By upstream: the session and the chain of addresses for which lines were written, and those lines."""

    def remember(self) -> None:
        """Know lines like these from now on; those for a stream do not come again, a WebSocket's key is random."""
        if not (self.is_remembered or self.for_stream or self._header_cache is None):
            self._header_cache.remember(self)
            self.is_remembered = True

    def remember_rewritten(self, to: object, session: object, addresses: Sequence[str], written: bytes) -> None:
        """Know what was written for that upstream, where lines like these are remembered."""
        if self.is_remembered and self._header_cache is not None:
            self.rewritten[to] = session, addresses, written
            self._header_cache.remember(self)  # it weighs more now


class HeaderCache:
    """Header lines are read once: a browser sends the same ones with most of its requests.

    Only those of signed-in visitors are remembered, of which a stranger has none.
    """

    def __init__(self) -> None:
        self._known = Weighed[Sequence[Line], RequestHeaders](_REMEMBERED_BYTES, _weight)

    def read(self, lines: tuple[Line, ...]) -> RequestHeaders:
        """These lines; remembered ones are the same object as the last time."""
        known = self._known.get(lines)
        return RequestHeaders(lines, self) if known is None else known

    def remember(self, sent: RequestHeaders) -> None:
        """Know lines like these from now on."""
        self._known.keep(sent.lines, sent)


def _weight(lines: Sequence[Line], sent: RequestHeaders) -> int:
    """Bytes of everything that is held for these lines, but for the session, which its store holds as well."""
    read = (sent, *sent, *sent.values(), lines, *lines, *joined.from_iterable(lines))
    rewritten = sent.rewritten.values()
    return sum(map(getsizeof, (*read, sent.rewritten, *rewritten, *joined.from_iterable(rewritten))))


class Request(web.BaseRequest):
    """aiohttp's request, and what is read of it once, before anybody else sees it."""

    fields = RequestHeaders(())
    """Its header lines."""
    request_id = ""
    chain: Sequence[str] = ()
    """Addresses from the visitor's to the nearest peer's, as far as they can be believed."""

    @property
    def client(self) -> str:
        """Whom counts of what strangers do are kept for; all that come over a Unix socket are one."""
        return _customer(self.chain[0]) if self.chain else ""


@lru_cache(maxsize=4096)
def _customer(address: str) -> str:
    """An address, or the /64 of which one IPv6 customer has every address."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or ip_network((ip, 64), strict=False))
    return str(ip)
