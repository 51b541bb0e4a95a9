"""Header lines of requests to the tool: which ones pass, which are removed, and which we add.

The law: hop-by-hop lines and lines named in `Connection` are removed first, and ours are added after that, so no
client can remove or forge one of ours. Lines are ordered pairs of bytes, never a mapping: repeated names are kept.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from itertools import chain
from string import Formatter

from oauth_proxy.believed import is_believed
from oauth_proxy.errors import TokenMalformed

Line = tuple[bytes, bytes]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110 7.6.1, and older names of the same kind."""

# Written anew: by the data path (framing), by the cookie code, or by this module.
_REWRITTEN = frozenset({b"host", b"cookie", b"content-length", b"expect", b"x-request-id"})
# Only we may send a name with this prefix, whether we set it or not.
_FAMILY = b"x-oauth-proxy-"
# `Connection` options that have their own meaning and do not name a header line.
_OPTIONS = frozenset({b"close", b"keep-alive", b"upgrade"})

_PURPOSES = (b"sec-purpose", b"purpose", b"x-purpose", b"x-moz")
_OWN_SITES = ([b"same-origin"], [b"none"])
_ASKING = (b"document", b"empty")
_FRAMES = (b"iframe", b"frame", b"embed", b"object", b"fencedframe")

# Frame.io's developer tokens are short; Adobe's access tokens have a kilobyte or more.
_TOKEN = re.compile(rb"bearer +([A-Za-z0-9._~+/-]{1,8192}={0,8})", re.IGNORECASE)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")
_PUNCTUATION = re.compile(rb"[^a-z0-9]")
_MOST_HOPS = 32
"""Addresses read from X-Forwarded-For, from the right. A trusted front proxy may keep what the client sent."""
_REMEMBERED_NAMES, _REMEMBERED_LENGTH = 1024, 64


def normal(name: bytes) -> bytes:
    """Return the name as a CGI-style tool sees it: case is lost, and `-`, `_` and (in PHP) `.` become the same."""
    return _PUNCTUATION.sub(b"-", name.lower())


class Fields(dict[bytes, list[bytes]]):
    """A request's header fields: for each name in lower case, all its values in order.

    A name that was not sent has no values. `lines` are as they were sent; `size` is their bytes, names and values.
    """

    __slots__ = ("lines", "size")

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines
        self.size = sum(map(len, chain.from_iterable(lines)))
        for name, value in lines:
            key = name.lower()
            if key in self:
                self[key].append(value)
            else:
                self[key] = [value]

    def __missing__(self, name: bytes) -> list[bytes]:
        return []


def connection_options(fields: Fields) -> set[bytes]:
    """Return the names in the `Connection` lines, in lower case (RFC 9110 7.6.1)."""
    return set(map(bytes.strip, b",".join(fields[b"connection"]).lower().split(b",")))


def brings_token(fields: Fields) -> bool:
    """Return whether the request has bearer credentials of its own (RFC 9110 11.4), well formed or not."""
    return any(value.lower().split(None, 1)[:1] == [b"bearer"] for value in fields[b"authorization"])


def bearer_token(fields: Fields) -> str:
    """Return the request's own token (RFC 6750 2.1).

    Raises TokenMalformed for invalid bytes, and for more than one credential: servers would disagree on whose
    request it is.
    """
    sent = fields[b"authorization"]
    token = _TOKEN.fullmatch(sent[0]) if len(sent) == 1 else None
    if token is None:
        raise TokenMalformed(f"{len(sent)} Authorization lines, which are not one bearer token")
    return token[1].decode("ascii")


def is_navigation(method: str, fields: Fields) -> bool:
    """Return whether a browser's window shows the response, so that a page makes sense; a form's POST too.

    Browsers say so (Fetch Metadata, `Sec-Fetch-Mode`); for other clients the Accept field decides. A prefetch does
    not count, because nobody sees its response.
    """
    if method not in ("GET", "POST") or b"upgrade" in fields:  # the methods of links and forms (HTML 4.10.19.6)
        return False
    if is_prefetch(fields):
        return False
    if modes := fields[b"sec-fetch-mode"]:
        return modes == [b"navigate"]
    return any(b"text/html" in accepted for accepted in fields[b"accept"]) and b"x-requested-with" not in fields


def is_framed(fields: Fields) -> bool:
    """Return whether a frame of another page shows the response. Browsers say so (Fetch, `Sec-Fetch-Dest`)."""
    return any(dest in _FRAMES for dest in fields[b"sec-fetch-dest"])


def is_prefetch(fields: Fields) -> bool:
    """Return whether a browser requests this before the user has asked for it (Fetch, `Sec-Purpose`)."""
    purposes = (value.lower() for name in _PURPOSES for value in fields[name])
    return any(b"prefetch" in purpose or b"preview" in purpose for purpose in purposes)


def is_known_from(origin: str, fields: Fields) -> bool:
    """Return whether a page of `origin`, or the user through the address bar, certainly caused this request.

    Browsers say so (Fetch Metadata, `Sec-Fetch-Site`); an image or another element on a page does not count. For
    other clients, Origin decides or, if absent, Referer (RFC 6454 7, RFC 9110 10.1.3). If in doubt, the result is
    False.
    """
    if is_prefetch(fields):
        return False
    if sites := fields[b"sec-fetch-site"]:
        return sites in _OWN_SITES and all(dest in _ASKING for dest in fields[b"sec-fetch-dest"])
    told = fields[b"origin"] or fields[b"referer"]
    return len(told) == 1 and b"/".join(told[0].split(b"/", 3)[:3]) == origin.encode()


def is_own_form(origin: str, fields: Fields) -> bool:
    """Return whether a form on a page of `origin` certainly sent this; another origin of the same site is foreign.

    Where there is no Fetch Metadata, Origin decides, or Referer if there is no Origin: see `is_known_from`.
    """
    if sites := fields[b"sec-fetch-site"]:
        return sites in _OWN_SITES
    return is_known_from(origin, fields)


def asks_for_stream(fields: Fields) -> bool:
    """Return whether this asks for a response that stays open: a WebSocket or server-sent events."""
    if b"upgrade" in fields:
        return True
    return any(b"text/event-stream" in value for value in fields[b"accept"])


def is_event_source(method: str, fields: Fields) -> bool:
    """Return whether a browser's EventSource sent this (HTML 9.2.2), or a client that behaves like one.

    It accepts nothing else, and no cache may answer. A `fetch` that reads such a stream itself sends no
    Cache-Control unless it is told to, and reads statuses.
    """
    return (
        method == "GET"
        and fields[b"accept"] == [b"text/event-stream"]
        and any(b"no-cache" in value or b"no-store" in value for value in fields[b"cache-control"])
    )


def asks_for_websocket(fields: Fields) -> bool:
    """Return whether this asks for a WebSocket (RFC 6455 4.1); `Connection` may contain other options as well."""
    return (
        b"upgrade" in fields
        and any(value.lower() == b"websocket" for value in fields[b"upgrade"])
        and b"upgrade" in connection_options(fields)
    )


class ToolHeaders:
    """The header lines for a tool. `templates` maps header names to texts such as `Bearer {access_token}`."""

    def __init__(self, templates: Mapping[str, str]) -> None:
        compiled = [
            (name.encode("ascii"), _compile(text), "{assertion}" in text) for name, text in templates.items()
        ]
        self._templates = [(name, render) for name, render, asserts in compiled if not asserts]
        self._asserting = [(name, render) for name, render, asserts in compiled if asserts]
        self._struck = _Struck({normal(name) for name, *_ in compiled})

    def crossing(self, sent: Fields) -> list[Line]:
        """Return the client's own lines that may pass to the tool."""
        struck = self._struck
        crossing = [line for line in sent.lines if not struck[line[0]]]
        if b"connection" in sent and (named := connection_options(sent) - _OPTIONS):
            return [line for line in crossing if line[0].lower() not in named]
        return crossing

    def ours(self, fields: Mapping[str, str]) -> list[Line]:
        """Return the configured lines with `fields` filled in; a line with an empty field is left out.

        Those with an assertion are not among them.
        """
        return _filled(self._templates, fields)

    def asserting(self, assertion: str) -> list[Line]:
        """Return the configured lines with `{assertion}`, which change while all others stay the same."""
        return _filled(self._asserting, {"assertion": assertion})


class _Struck(dict[bytes, bool]):
    """Whether lines with a name are removed, because of `ours` or otherwise; common names are cached."""

    def __init__(self, ours: set[bytes]) -> None:
        super().__init__()
        self._ours = ours

    def __missing__(self, name: bytes) -> bool:
        folded = normal(name)
        ours = folded in _REWRITTEN or folded in self._ours or folded.startswith(_FAMILY)
        result = ours or folded in HOP_BY_HOP or is_believed(folded)
        if len(self) < _REMEMBERED_NAMES and len(name) <= _REMEMBERED_LENGTH:
            self[name] = result
        return result


_Render = Callable[[Mapping[str, str]], bytes]


def _filled(templates: Iterable[tuple[bytes, _Render]], fields: Mapping[str, str]) -> list[Line]:
    return [(name, value) for name, render in templates if (value := render(fields))]


def _compile(template: str) -> _Render:
    """Return a function that fills the template; its result is empty when any field it uses is empty."""
    parts = [(literal, field) for literal, field, _, _ in Formatter().parse(template)]

    def render(fields: Mapping[str, str]) -> bytes:
        text = ""
        for literal, field in parts:
            value = fields.get(field, "") if field else ""
            if field and not value:
                return b""
            text += literal + value
        return one_line(text).encode()

    return render


def one_line(text: str) -> str:
    """Make the text a valid field value (RFC 9110 5.5): controls become spaces, lone surrogates "?"."""
    return _CONTROLS.sub(" ", text).strip().encode(errors="replace").decode()


class TrustedProxies:
    """The front proxies whose X-Forwarded-For is trusted."""

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        self._trusted = trusted

    def chain(self, peer: str, sent: Fields) -> list[str]:
        """Return the addresses from the client's to the nearest peer's; none for a peer on a Unix socket.

        X-Forwarded-For is read from the right, up to the first untrusted address: whoever that is may have forged
        what stands left of it.
        """
        chain = [peer] if peer else []
        if not self._trusted or not self.trusts(peer):
            return chain
        believed = b",".join(sent[b"x-forwarded-for"]).decode("latin-1").rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]
        for hop in reversed([hop.strip() for hop in believed if hop.strip()]):
            if "%" in hop or not _is_address(hop):  # after "%" (RFC 4007 11) any text may follow
                break
            chain.insert(0, hop)
            if not self.trusts(hop):
                break
        return chain

    def trusts(self, address: str) -> bool:
        """Return whether this address is one of the front proxies."""
        if not self._trusted or not _is_address(address):
            return False
        ip = ip_address(address)
        return any(ip in network for network in self._trusted)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
