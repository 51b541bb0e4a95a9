"""Chooses the tool for a request, and what that tool receives of it."""

import ssl
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from sys import getsizeof
from typing import Protocol
from urllib.parse import unquote

from oauth_proxy.bounded import Weighed
from oauth_proxy.endings import Ending
from oauth_proxy.errors import BadRequest, NotFound
from oauth_proxy.headers import Line, ToolHeaders, normal
from oauth_proxy.identity import Session, TokenMark
from oauth_proxy.outcomes import Visit
from oauth_proxy.paths import Site, Target
from oauth_proxy.requests import Request, RequestHeaders
from oauth_proxy.upstream.outgoing import Outgoing, header_lines
from oauth_proxy.upstream.relay import Forwarded
from oauth_proxy.upstream.upstream import Upstream

Ask = Callable[[Request, Outgoing], Awaitable[Forwarded]]

_TRACE = (b"traceparent", b"tracestate")
_REMEMBERED_BYTES = 8 * 1024 * 1024
"""For header lines that we write, and everything cached for them."""


class Sent(Protocol):
    """A request, or what somebody wants to know about one: what of it decides what a tool receives."""

    @property
    def fields(self) -> RequestHeaders:
        """The header fields."""
        ...

    @property
    def request_id(self) -> str:
        """Its id in the log."""
        ...

    @property
    def traceparent(self) -> bytes:
        """The header value that begins a trace here; empty if the client's own is passed on."""
        ...

    @property
    def chain(self) -> Sequence[str]:
        """The addresses it came through."""
        ...

    @property
    def client(self) -> str:
        """The key by which strangers are counted."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """A path prefix and its tool. `base` replaces the prefix; `host`, unless None, replaces the client's Host.

    `mark` describes header lines for some tokens, which only we may send. Without `strip`, the prefix stays, and
    `base` stands before it.
    """

    prefix: str
    upstream: Upstream
    base: str = ""
    host: bytes | None = None
    mark: TokenMark | None = None
    strip: bool = True

    def request_target(self, target: Target) -> bytes:
        """Return the request target for the tool: what follows the prefix, and the query, byte for byte.

        Raises BadRequest if the bytes can be read as leading out of the prefix or the base.
        """
        raw = target.raw
        if self.prefix != "/" or self.base:
            rest = self._rest(raw)
            if rest is None or target.climbs():
                raise BadRequest("the path can be read as leading out of its prefix")
            raw = self.base + ("/" + rest if self.strip else raw)
        return f"{raw}{target.query}".encode("utf-8", "surrogateescape")

    @property
    def begins(self) -> str:
        """What the tool's own paths begin with, without a slash at its end."""
        return self.base if self.strip else self.base + self.prefix.rstrip("/")

    def _rest(self, raw: str) -> str | None:
        """Return what follows the prefix, in whatever spelling it was sent; None without the prefix.

        An escaped slash does not count as one: there must be as many slashes as in the prefix. The prefix has no
        '%', so a server that decodes twice reads the same.
        """
        if raw.startswith(self.prefix):
            return raw[len(self.prefix) :]
        depth = self.prefix.count("/")
        *spelt, rest = raw.split("/", depth)
        return rest if len(spelt) == depth and unquote("/".join(spelt)) + "/" == self.prefix else None

    def crossing(self, lines: list[Line]) -> list[Line]:
        """Return those of the client's lines that this tool may receive."""
        if self.mark is None:
            return lines
        struck = normal(self.mark.name.encode("ascii"))
        return [line for line in lines if normal(line[0]) != struck]

    def marks(self, token: str) -> list[Line]:
        """Return the header lines that describe the token to the tool."""
        told = self.mark.headers(token) if self.mark else {}
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in told.items()]


class Upstreams:
    """Every tool behind this proxy. `routes` may come in any order: the longest prefix wins.

    `handle_of` returns a session's handle; `date` converts a time of our clock to a date. `assertion_of`, unless
    None, returns an assertion about a session's visitor for the tool at an address; no header has one otherwise.
    `named` are paths with a rule of their own, which is meant for the path and not for a folder.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        headers: ToolHeaders,
        site: Site,
        handle_of: Callable[[Session], str],
        date: Callable[[float], float],
        assertion_of: Callable[[Session, str], str] | None = None,
        named: Container[str] = (),
    ) -> None:
        self._handle_of = handle_of
        self._assertion_of = assertion_of
        self._date = date
        self._routes = sorted(routes, key=lambda route: len(route.prefix), reverse=True)
        prefixes = {route.prefix[:-1]: route.prefix for route in self._routes if route.prefix != "/"}
        self._slashless = {path: prefix for path, prefix in prefixes.items() if path not in named}
        self._headers = headers
        self._site = site
        self._proto = b"https" if site.secure else b"http"
        self._known = Weighed[tuple[object, ...], bytes](_REMEMBERED_BYTES, _weight)

    def prepare(
        self,
        request: Sent,
        target: Target,
        visit: Visit,
        cookies: Sequence[bytes],
        body: bytes | None = None,
    ) -> tuple[Ask, Outgoing]:
        """Return the function that asks the tool for this path, and what to ask it.

        Pass a stranger's visit only if strangers may reach the path. `cookies` are the Cookie lines for the tool;
        `body` is the whole body if it was read before. The request uses the session's share of the tool, or a
        stranger's address's share. Raises NotFound if no upstream has this path.
        """
        session = visit.session
        route = self.route(target)
        request_target = route.request_target(target)
        lines = b"%bX-Request-Id: %b\r\n" % (
            self._lines(route, request, session, cookies),
            request.request_id.encode("ascii"),
        )
        if session is not None and self._assertion_of is not None:
            origin = self._site.origin_at(request.fields.host)
            assertion = self._assertion_of(session, origin + route.prefix)
            lines += header_lines(self._headers.asserting(assertion))
        if request.traceparent:
            lines += b"traceparent: %b\r\n" % request.traceparent
        owner = request.client if session is None else session.id
        added = (
            [(b"Set-Cookie", value.encode("ascii")) for value in visit.set_cookies] if visit.set_cookies else ()
        )
        ask = route.upstream.tunnel if request.fields.for_websocket else route.upstream.forward
        return ask, Outgoing(owner, request_target, lines, added, body, route.prefix)

    @property
    def remembered(self) -> int:
        """The number of visitors' lines for tools that are cached."""
        return len(self._known)

    @property
    def by_prefix(self) -> dict[str, Upstream]:
        """All tools, by the prefix of the path that leads to each."""
        return {route.prefix: route.upstream for route in self._routes}

    def close_tunnels(self, ending: Ending) -> None:
        """Close the WebSockets of all visitors, strangers' too, and each that is opened later. Returns at once.

        Each is over within three seconds.
        """
        for route in self._routes:
            route.upstream.close_tunnels(ending)

    def use(self, prefix: str, context: ssl.SSLContext) -> None:
        """Use this TLS context for new connections to the tool of this prefix; those that are open go on."""
        for route in self._routes:
            if route.prefix == prefix:
                route.upstream.use(context)

    async def close(self) -> None:
        """Close every connection."""
        for route in self._routes:
            await route.upstream.close()

    def route(self, target: Target) -> Route:
        """Return the route of the longest prefix of this path. Raises NotFound."""
        for route in self._routes:
            if target.path.startswith(route.prefix):
                return route
        raise NotFound("no upstream has a prefix of this path")

    def slashless(self, target: Target) -> str | None:
        """Return where this path leads once it ends with a slash, if a prefix is missing no more than that.

        It is a path from the root, with the query as it was sent.
        """
        prefix = self._slashless.get(target.path) if self._slashless and target.plain else None
        return None if prefix is None else self._site.url(prefix + target.query).removeprefix(self._site.origin)

    def _lines(self, route: Route, request: Sent, session: Session | None, cookies: Sequence[bytes]) -> bytes:
        """Return, ready to send, the lines that stay the same when a client repeats its header lines."""
        sent, chain = request.fields, request.chain
        known = sent.rewritten.get(route)
        if known is not None and known[0] is session and known[1] == chain:
            return known[2]
        host = sent[b"host"][0]
        lines = [(b"Host", route.host or host), *route.crossing(self._headers.crossing(sent))]
        if request.traceparent:  # a trace begins here: what the client sent is no trace that can be read
            lines = [line for line in lines if line[0].lower() not in _TRACE]
        lines += [(b"Cookie", value) for value in cookies]
        written = header_lines(lines) + self._ours(route, chain, host, session)
        sent.remember_rewritten(route, session, chain, written)
        return written

    def _ours(self, route: Route, chain: Sequence[str], host: bytes, session: Session | None) -> bytes:
        """Return, ready to send, our own lines that stay the same during a session."""
        key: tuple[object, ...] = (route.prefix, host, *chain)
        if session is not None:
            who, tokens = session.identity, session.tokens
            key += (session.id, tokens.access, tokens.expires_at, who.id, who.email, who.name, who.account_id)
        known = self._known.get(key)
        if known is None:
            lines = self._forwarded(route, chain, host)
            if session is not None:
                lines += [*self._headers.ours(self._fields(session)), *route.marks(session.tokens.access)]
            known = header_lines(lines)
            self._known.keep(key, known)
        return known

    def _forwarded(self, route: Route, chain: Sequence[str], host: bytes) -> list[Line]:
        lines: list[Line] = [(b"X-Forwarded-For", ", ".join(chain).encode("ascii"))] if chain else []
        lines += [(b"X-Forwarded-Proto", self._proto), (b"X-Forwarded-Host", host)]
        if route.prefix != "/" and route.strip:
            lines.append((b"X-Forwarded-Prefix", route.prefix.rstrip("/").encode("ascii")))
        return lines

    def _fields(self, session: Session) -> dict[str, str]:
        who, tokens = session.identity, session.tokens
        return {
            "access_token": tokens.access,
            "id": who.id,
            "email": who.email or "",
            "name": who.name or "",
            "account_id": who.account_id or "",
            "expires_at": str(int(self._date(tokens.expires_at))),
            "handle": self._handle_of(session),
        }


def _weight(key: tuple[object, ...], written: bytes) -> int:
    return sum(map(getsizeof, (key, written, *key)))
