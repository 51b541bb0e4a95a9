"""A request, and what is found out about it while it is handled."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from aiohttp import web

from oauth_proxy.aiohttp_private import LightRequest
from oauth_proxy.bounded import Weighed
from oauth_proxy.forms import Held
from oauth_proxy.headers import Fields, Line, asks_for_stream, asks_for_websocket
from oauth_proxy.identity import Session
from oauth_proxy.pages import Page

_REMEMBERED_BYTES = 8 * 1024 * 1024
"""For header lines and everything cached for them, which is about four times as much as the lines."""


class RequestHeaders(Fields):
    """A request's header fields, and what has been derived from them."""

    __slots__ = ("_header_cache", "for_stream", "for_websocket", "is_remembered", "rewritten")

    def __init__(self, lines: Sequence[Line], header_cache: "HeaderCache | None" = None) -> None:
        super().__init__(lines)
        self._header_cache = header_cache
        self.for_stream = asks_for_stream(self)
        self.for_websocket = asks_for_websocket(self)
        self.is_remembered = False
        self.rewritten: dict[object, tuple[object, Sequence[str], bytes]] = {}
        """For each upstream: the session and the client addresses that lines were written for, and those lines."""

    @property
    def host(self) -> str:
        """The host that is asked. There is exactly one Host field once the door has read the request."""
        return self[b"host"][0].decode("latin-1")

    def remember(self) -> None:
        """Cache this parse. Streams are skipped: their lines are never repeated (a WebSocket key is random)."""
        if not (self.is_remembered or self.for_stream or self._header_cache is None):
            self._header_cache.remember(self)
            self.is_remembered = True

    def remember_rewritten(self, to: object, session: object, addresses: Sequence[str], written: bytes) -> None:
        """Cache what was written for that upstream, if these header lines are cached."""
        if self.is_remembered and self._header_cache is not None:
            self.rewritten[to] = session, addresses, written
            self._header_cache.remember(self)  # its size has grown


class HeaderCache:
    """Caches parsed header lines, because a browser sends the same ones with most of its requests.

    Only lines of signed-in users are cached, so that strangers cannot fill the cache.
    """

    def __init__(self) -> None:
        self._known = Weighed[Sequence[Line], RequestHeaders](_REMEMBERED_BYTES, _weight)

    def read(self, lines: tuple[Line, ...]) -> RequestHeaders:
        """Return the parsed lines; the same object as last time if they are cached."""
        known = self._known.get(lines)
        return RequestHeaders(lines, self) if known is None else known

    def remember(self, sent: RequestHeaders) -> None:
        """Cache the parsed lines."""
        self._known.keep(sent.lines, sent)


def _weight(lines: Sequence[Line], sent: RequestHeaders) -> int:
    """Return about the bytes held for these lines, without the session, which the session store holds anyway.

    The numbers are what CPython takes for an entry, a line and a rewriting beside their bytes (sys.getsizeof), a
    little rounded up: to ask for the size of each object costs more than the cache saves.
    """
    rewritten = sum([240 + len(written) for _, _, written in sent.rewritten.values()])
    return 500 + 270 * len(lines) + sent.size + rewritten


class Request(LightRequest):
    """aiohttp's request, with what is read from it once, before it is handled."""

    fields = RequestHeaders(())
    """The header fields."""
    request_id = ""
    chain: Sequence[str] = ()
    """The addresses from the client's to the nearest peer's, as far as they are trusted."""
    trace_id = ""
    """The trace that it belongs to (W3C Trace Context), if traces are wanted."""
    traceparent = b""
    """The header value that begins a trace here; empty if the client's own is passed on."""
    session: Session | None = None
    """Whose request it is, once that is known."""
    brought: Session | None = None
    """The session whose cookie it brought and that is not good, or not now. It lets nobody in: it is for the log,
    and says whose a form is.
    """
    identity_seconds = 0.0
    """How long it took to learn whose request it is: a refresh, a profile, a program's token, the store."""
    upstream = ""
    """The prefix of the tool that is asked, once that is known."""
    asked = False
    """Whether any byte of it may have been sent to a tool."""
    held: Held | None = None
    """What is held of its form, so that what was typed is not lost. Only [typed.py](typed.py) writes it."""
    page: Page | None = None
    """The page that gives its form back, if that took long to make and is ready."""
    begun: web.StreamResponse | None = None
    """The tool's response, once its first byte has been sent and if there is more to come."""

    @property
    def client(self) -> str:
        """The key by which strangers are counted. All clients on a Unix socket share one."""
        return _customer(self.chain[0]) if self.chain else ""


@lru_cache(maxsize=4096)
def _customer(address: str) -> str:
    """Return an IPv4 address, or the IPv6 /64: one customer has all addresses of it."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or ip_network((ip, 64), strict=False))
    return str(ip)
