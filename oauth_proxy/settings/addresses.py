"""Where things are: listeners, the public URL, the tool's and Frame.io's addresses.

The law: an address is read in one way or refused. No user information, no query, no fragment, no escapes.
"""

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from oauth_proxy.settings.problems import Refused

Network = IPv4Network | IPv6Network

OWNER_ONLY = 0o600

LOOPBACK = ("localhost", "127.0.0.1", "::1")

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[^\s/?#@:\[\]\\%]+)(?::(?P<port>[0-9]{1,5}))?(?P<path>/.*)?",
    re.IGNORECASE,
)
_UNIX = re.compile(r"unix:(?P<socket>/[^:\x00]*)(?::(?P<base>.*))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9/._~!$&'()*+,:@=-]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST_SOCKET = 107
"""Bytes of a socket's path that every Unix accepts (sun_path)."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen: `path` of a Unix socket, else `host` (no brackets) and `port` (0 takes a free one).

    `mode` and `group` say who may connect to the socket: by default this process's user alone.
    """

    host: str = ""
    port: int = 0
    path: str | None = None
    mode: int = field(default=OWNER_ONLY, compare=False)
    group: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"{bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """Where an upstream is: `socket` (scheme `unix`), else `host` (no brackets) and `port`.

    `base` takes the place of the upstream's prefix: empty, or like `/base`, never with a slash at its end.
    """

    scheme: str
    host: str = ""
    port: int = 0
    socket: str | None = None
    base: str = ""

    @property
    def authority(self) -> str:
        """The value of a Host header that names this address (RFC 9110 7.2)."""
        if self.socket:
            return "localhost"
        default = self.port == _DEFAULT_PORTS[self.scheme]
        return bracketed(self.host) + ("" if default else f":{self.port}")

    def __str__(self) -> str:
        if self.socket:
            return f"unix:{self.socket}" + (f":{self.base}" if self.base else "")
        return f"{self.scheme}://{self.authority}{self.base}"


def listen(text: str) -> Listen:
    """The listener in `127.0.0.1:4180`, `[::1]:4180` or `unix:/run/oauth-proxy.sock`; else Refused."""
    if text.startswith("unix:"):
        return Listen(path=_socket(text.removeprefix("unix:")))
    host, colon, port = text.rpartition(":")
    if not colon and re.fullmatch(r"[0-9]{1,5}", text):
        raise Refused("a listener is host:port or unix:/path", f"127.0.0.1:{text}")
    if not host and colon:
        raise Refused("a listener names its host: 127.0.0.1 for this machine, 0.0.0.0 for all", f"127.0.0.1{text}")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise Refused("a listener is host:port or unix:/path, with a port from 0 to 65535")
    if ":" in host and not re.fullmatch(r"\[[^\[\]]*\]", host):
        raise Refused("an IPv6 address stands in brackets", f"[{host}]:{port}")
    return Listen(_host(host), int(port))


def local(where: Listen) -> Listen:
    """The listener; Refused where anything outside this machine reaches it."""
    if not where.path and not is_loopback(where.host):
        raise Refused(
            "the tool API answers on this machine only: unix:/path, or a port of 127.0.0.1",
            f"127.0.0.1:{where.port}" if is_ip(where.host) else None,
        )
    return where


def address(text: str) -> Address:
    """The upstream in `http://host:3000/base`, `https://host` or `unix:/path.sock:/base`; else Refused."""
    if text.startswith("unix:"):
        matched = _UNIX.fullmatch(text)
        if not matched:
            raise Refused("a Unix socket is written unix:/path.sock or unix:/path.sock:/base")
        return Address("unix", socket=_socket(matched["socket"]), base=_base(matched["base"] or ""))
    return _http(text)


def url(text: str) -> str:
    """An http or https URL as text without a slash at its end; else Refused."""
    return str(_http(text))


def public_url(text: str) -> str:
    """The origin visitors type: lower case, no default port, no slash at its end; else Refused."""
    site = _http(text)
    origin = f"{site.scheme}://{site.authority}"
    if site.base:
        raise Refused("the public URL has no path: the tool and /oauth2/ share one host", origin)
    if site.scheme == "http" and site.host not in LOOPBACK:
        raise Refused(
            "the public URL must be https: over http, sign-in cookies can be read on the way; "
            "only localhost, 127.0.0.1 and [::1] may use http",
            f"https://{site.authority}",
        )
    return origin


def network(text: str) -> Network:
    """An address or a CIDR range, such as 10.0.0.7 or 10.0.0.0/8; else Refused."""
    try:
        return ip_network(text)
    except ValueError:
        try:
            meant: str | None = str(ip_network(text, strict=False))
        except ValueError:
            meant = None
    raise Refused("an IP address or a CIDR range is wanted, such as 10.0.0.7 or 10.0.0.0/8", meant)


def plain_path(text: str) -> str:
    """A path that every server reads alike (RFC 3986 pchar, no escapes, no dot segments); else Refused."""
    if not text.startswith("/"):
        raise Refused("a path begins with '/'", None if " " in text else f"/{text}")
    if "//" in text or re.search(r"/\.\.?(/|$)", text):
        raise Refused("a path has no '//', '/./' or '/../' in it")
    if not _PLAIN_PATH.fullmatch(text):
        raise Refused("a path is written plainly: letters, digits and -._~!$&'()*+,:@= without escapes")
    return text


def domain(text: str) -> str:
    """A domain name in lower case, its non-ASCII labels as A-labels (RFC 5890); else Refused.

    A label that the mapping would change into another name (RFC 5894: ß, final sigma, joiners, wide letters)
    is refused, because two mailboxes' domains would become one.
    """
    folded = text.lower() if len(text) <= 253 else ""
    try:
        name = folded if folded.isascii() else folded.encode("idna").decode("ascii")
        mapped = folded if folded.isascii() else name.encode("ascii").decode("idna")
        lossless = mapped == folded and folded.upper() == text.upper()
    except UnicodeError:
        name, lossless = "", False
    if not lossless or len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise Refused("a domain name is wanted, such as studio.example.com")
    return name


def is_ip(host: str) -> bool:
    """Whether this host is an address and not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether this host is this machine, as seen from it alone."""
    return host in LOOPBACK or (is_ip(host) and ip_address(host).is_loopback)


def bracketed(host: str) -> str:
    """The host as it stands before a port (RFC 3986 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def _http(text: str) -> Address:
    matched = _URL.fullmatch(text)
    if not matched:
        raise _why_not_a_url(text)
    scheme, path = matched["scheme"].lower(), matched["path"] or "/"
    port = int(matched["port"] or _DEFAULT_PORTS[scheme])
    if not 0 < port <= 65535:
        raise Refused("a port is a number from 1 to 65535")
    return Address(scheme, _host(matched["host"]), port, base=_base(path))


def _why_not_a_url(text: str) -> Refused:
    if re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE) and not re.match("https?://", text, re.IGNORECASE):
        return Refused("a URL here begins with http:// or https://")
    if not re.match("https?:", text, re.IGNORECASE):
        return Refused("a URL begins with http:// or https://", _with_scheme(text))
    if "@" in text:
        return Refused("a URL here has no user name or password in it")
    return Refused("this is not a URL such as https://host or http://host:3000")


def _with_scheme(text: str) -> str | None:
    """The URL that a host, perhaps with a port, stands for; None for what looks like neither."""
    if not re.search(r"[.:]|^localhost$", text):
        return None
    meant = f"http{'' if ':' in text else 's'}://{text}"
    try:
        _http(meant)
    except Refused:
        return None
    return meant


def _host(text: str) -> str:
    """A name in lower case or an address without brackets; else Refused."""
    bare = text[1:-1] if text.startswith("[") else text
    if is_ip(bare):
        return str(ip_address(bare))
    if bare != text:
        raise Refused("brackets hold an IPv6 address, such as [::1]")
    return domain(text)


def _base(path: str) -> str:
    if "?" in path or "#" in path:
        raise Refused("a URL here has no query and no fragment")
    return plain_path(path).rstrip("/") if path else ""


def _socket(path: str) -> str:
    if not path.startswith("/") or path.endswith("/") or len(path.encode()) > _LONGEST_SOCKET:
        raise Refused(f"a Unix socket is written unix:/path.sock, with at most {_LONGEST_SOCKET} bytes of path")
    return path
