"""Header lines on their way to the tool: what crosses, what is struck, what we write.

The law: hop-by-hop lines and lines named in `Connection` are struck first, ours are written after, so no visitor
can have one of ours removed or forged. Lines are pairs of bytes in order, never a mapping: repeated names stay.
"""

import re
from collections.abc import Callable, Mapping, Sequence
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
"""RFC 9110 7.6.1, and the older names in its spirit."""

# What the data path frames, the cookie room rewrites or this room writes anew.
_REWRITTEN = frozenset({b"host", b"cookie", b"content-length", b"expect", b"x-request-id"})
# Whether one of our names is set or not, nobody else may say anything under it.
_FAMILY = b"x-oauth-proxy-"
# What Connection names by itself, without a line of that name being meant.
_OPTIONS = frozenset({b"close", b"keep-alive", b"upgrade"})

_PURPOSES = (b"sec-purpose", b"purpose", b"x-purpose", b"x-moz")
_OWN_SITES = ([b"same-origin"], [b"none"])
_ASKING = (b"document", b"empty")

# Frame.io's developer tokens are short, Adobe's access tokens a kilobyte or more.
_TOKEN = re.compile(rb"bearer +([A-Za-z0-9._~+/-]{1,8192}={0,8})", re.IGNORECASE)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")
_PUNCTUATION = re.compile(rb"[^a-z0-9]")
_MOST_HOPS = 32
"""Of X-Forwarded-For, counted from the right: a trusted front's own line may go on with what a stranger sent."""
_REMEMBERED_NAMES, _REMEMBERED_LENGTH = 1024, 64


def normal(name: bytes) -> bytes:
    """The name as a CGI-style tool reads it: case is lost there, and the difference of `-`, `_` and (PHP) `.`."""
    return _PUNCTUATION.sub(b"-", name.lower())


class Fields(dict[bytes, list[bytes]]):
    """A request's header lines, read once: by name in lower case, every value that was sent, in order.

    A name that was not sent has no values. `lines` are as they were sent, and of `size` bytes, names and values.
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
    """What the `Connection` lines name, in lower case (RFC 9110 7.6.1)."""
    return set(map(bytes.strip, b",".join(fields[b"connection"]).lower().split(b",")))


def brings_token(fields: Fields) -> bool:
    """Whether the request has bearer credentials of its own (RFC 9110 11.4), well formed or not."""
    return any(value.lower().split(None, 1)[:1] == [b"bearer"] for value in fields[b"authorization"])


def bearer_token(fields: Fields) -> str:
    """The request's own token (RFC 6750 2.1).

    Raises TokenMalformed for bytes a token cannot have, and for several credentials: readers would differ on whose
    the request is.
    """
    sent = fields[b"authorization"]
    token = _TOKEN.fullmatch(sent[0]) if len(sent) == 1 else None
    if token is None:
        raise TokenMalformed(f"{len(sent)} Authorization lines, which are not one bearer token")
    return token[1].decode("ascii")


def is_navigation(method: str, fields: Fields) -> bool:
    """Whether a person follows a link here, so that a login or a page makes sense as the answer.

    Browsers say so (Fetch Metadata, `Sec-Fetch-Mode`); of others we go by what they accept. A prefetch is not one:
    nobody is looking.
    """
    if method != "GET" or b"upgrade" in fields:
        return False
    if is_prefetch(fields):
        return False
    if modes := fields[b"sec-fetch-mode"]:
        return modes == [b"navigate"]
    return any(b"text/html" in accepted for accepted in fields[b"accept"]) and b"x-requested-with" not in fields


def is_prefetch(fields: Fields) -> bool:
    """Whether a browser asks for this in advance, so that nobody has wanted it yet (Fetch, `Sec-Purpose`)."""
    purposes = (value.lower() for name in _PURPOSES for value in fields[name])
    return any(b"prefetch" in purpose or b"preview" in purpose for purpose in purposes)


def is_known_from(origin: str, fields: Fields) -> bool:
    """Whether a page of `origin`, or the visitor by the address bar, is known to have asked for this.

    Browsers say so (Fetch Metadata, `Sec-Fetch-Site`); what a page only shows, such as an image, has not asked. Of
    others the Origin or, without one, the Referer tells (RFC 6454 7, RFC 9110 10.1.3). What is not known is a no.
    """
    if is_prefetch(fields):
        return False
    if sites := fields[b"sec-fetch-site"]:
        return sites in _OWN_SITES and all(dest in _ASKING for dest in fields[b"sec-fetch-dest"])
    told = fields[b"origin"] or fields[b"referer"]
    return len(told) == 1 and b"/".join(told[0].split(b"/", 3)[:3]) == origin.encode()


def asks_for_stream(fields: Fields) -> bool:
    """Whether this asks for a connection that stays open: a WebSocket, or events as they come."""
    if b"upgrade" in fields:
        return True
    return any(b"text/event-stream" in value for value in fields[b"accept"])


def asks_for_websocket(fields: Fields) -> bool:
    """Whether this asks for a WebSocket (RFC 6455 4.1), however its `Connection` line is filled otherwise."""
    return (
        b"upgrade" in fields
        and any(value.lower() == b"websocket" for value in fields[b"upgrade"])
        and b"upgrade" in connection_options(fields)
    )


class ToolHeaders:
    """The lines a tool receives; `templates` maps header names to texts such as `Bearer {access_token}`."""

    def __init__(self, templates: Mapping[str, str]) -> None:
        self._templates = [(name.encode("ascii"), _compile(text)) for name, text in templates.items()]
        self._struck = _Struck({normal(name) for name, _ in self._templates})

    def crossing(self, sent: Fields) -> list[Line]:
        """The visitor's own lines that may reach the tool."""
        struck = self._struck
        crossing = [line for line in sent.lines if not struck[line[0]]]
        if b"connection" in sent and (named := connection_options(sent) - _OPTIONS):
            return [line for line in crossing if line[0].lower() not in named]
        return crossing

    def ours(self, fields: Mapping[str, str]) -> list[Line]:
        """The configured lines with `fields` filled in; a line that has nothing to say is left out."""
        lines = []
        for name, render in self._templates:
            value = render(fields)
            if value:
                lines.append((name, value))
        return lines


class _Struck(dict[bytes, bool]):
    """Whether lines of a name are struck, `ours` among them; what most visitors send is found out once."""

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


def _compile(template: str) -> Callable[[Mapping[str, str]], bytes]:
    """A function that fills the template; its result is empty when any field it names is."""
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
    """The text as a field value can hold it (RFC 9110 5.5): controls become spaces, half characters "?"."""
    return _CONTROLS.sub(" ", text).strip().encode(errors="replace").decode()


class TrustedProxies:
    """Who may speak for somebody else: the front proxies whose X-Forwarded-For is believed."""

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        self._trusted = trusted

    def chain(self, peer: str, sent: Fields) -> list[str]:
        """Addresses from the visitor's to the nearest peer's; none for a peer on a Unix socket.

        X-Forwarded-For is read from the right: what stands left of the first untrusted address is hearsay.
        """
        chain = [peer] if peer else []
        if not self.trusts(peer):
            return chain
        believed = b",".join(sent[b"x-forwarded-for"]).decode("latin-1").rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]
        for hop in reversed([hop.strip() for hop in believed if hop.strip()]):
            if "%" in hop or not _is_address(hop):  # behind "%" (RFC 4007 11) anything may stand
                break
            chain.insert(0, hop)
            if not self.trusts(hop):
                break
        return chain

    def trusts(self, address: str) -> bool:
        """Whether this address is one of the front proxies."""
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
