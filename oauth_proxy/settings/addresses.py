"""URLs, hosts, networks and paths: the public URL, and the addresses of upstreams and of Frame.io.

What two programs could read in different ways is refused: user information, query, fragment, percent-encoding.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, TypeVar

from oauth_proxy.settings.fields import FromText
from oauth_proxy.settings.problems import Refused

T = TypeVar("T")

OUR_ROUTES = "/oauth2/"
"""The path prefix of the proxy's own routes."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[^\s/?#@:\[\]\\%]+)(?::(?P<port>[0-9]{1,5}))?(?P<path>/.*)?",
    re.IGNORECASE,
)
_UNIX = re.compile(r"unix:(?P<socket>/[^:\x00]*)(?::(?P<base>.*))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9/._~!$&'()*+,:@=-]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST_SOCKET = 107
"""The most bytes of a socket's path that every Unix accepts (sun_path)."""


@dataclass(frozen=True, slots=True)
class UpstreamUrl:
    """Where an upstream is: `socket` (scheme `unix`), else `host` (no brackets) and `port`.

    `base` replaces the path prefix of the upstream: empty, or like `/base`, without a slash at its end.
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


def parse_upstream_url(text: str) -> UpstreamUrl:
    """`http://host:3000/base`, `https://host` or `unix:/path.sock:/base`."""
    if text.startswith("unix:"):
        match = _UNIX.fullmatch(text)
        if not match:
            raise Refused("a Unix socket is written unix:/path.sock or unix:/path.sock:/base")
        return UpstreamUrl(
            "unix", socket=parse_socket_path(match["socket"]), base=_parse_base(match["base"] or "")
        )
    if text.startswith("/"):
        raise Refused("a URL begins with http:// or https://, and a Unix socket with unix:", f"unix:{text}")
    return _parse_http(text)


def parse_url(text: str) -> str:
    """An http or https URL, without a slash at its end."""
    return str(_parse_http(text))


def parse_public_url(text: str) -> str:
    """The origin that visitors type, in lower case, without a default port and without a slash at its end."""
    site = _parse_http(text)
    origin = f"{site.scheme}://{site.authority}"
    if site.base:
        raise Refused("the public URL has no path: the tool and /oauth2/ share one host", origin)
    if site.scheme == "http" and site.host not in _LOOPBACK:
        raise Refused(
            "the public URL must be https: over http, sign-in cookies can be read on the way; "
            "only localhost, 127.0.0.1 and [::1] may use http",
            f"https://{site.authority}",
        )
    return origin


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """An IP address or a CIDR range, such as 10.0.0.7 or 10.0.0.0/8."""
    try:
        return ip_network(text)
    except ValueError:
        try:
            suggestion: str | None = str(ip_network(text, strict=False))
        except ValueError:
            suggestion = None
    raise Refused("an IP address or a CIDR range is wanted, such as 10.0.0.7 or 10.0.0.0/8", suggestion)


def parse_plain_path(text: str) -> str:
    """A path that every server reads in the same way (RFC 3986 pchar, no percent-encoding, no dot segments)."""
    if not text.startswith("/"):
        raise Refused("a path begins with '/'", None if " " in text else f"/{text}")
    if "//" in text or re.search(r"/\.\.?(/|$)", text):
        raise Refused("a path has no '//', '/./' or '/../' in it")
    if not _PLAIN_PATH.fullmatch(text):
        raise Refused("a path is written plainly: letters, digits and -._~!$&'()*+,:@= without escapes")
    return text


def parse_path_prefix(text: str) -> str:
    """The path prefix of an upstream: `/`, or like `/render/`."""
    if text.startswith("/") and not text.endswith("/"):
        raise Refused("a path prefix ends with '/'", f"{text}/")
    path = parse_plain_path(text)
    if path.startswith(OUR_ROUTES):
        raise Refused(f"{OUR_ROUTES} belongs to the proxy and cannot have an upstream")
    return path


def parse_webhook_path(text: str) -> str:
    """The one path of a webhook."""
    path = parse_plain_path(text)
    if "*" in path:
        raise Refused("a webhook has one path, without '*'")
    if path.startswith(OUR_ROUTES):
        raise Refused(f"{OUR_ROUTES} belongs to the proxy and takes no webhook")
    return path


def require_different_paths(webhooks: Mapping[str, T]) -> Mapping[str, T]:
    """Refused if two paths differ only in case or in a slash at the end, which many tools ignore."""
    folded = [path.lower().rstrip("/") for path in webhooks]
    if len(set(folded)) < len(folded):
        raise Refused("to many tools two of these paths are one: they ignore case, or a slash at the end")
    return webhooks


def parse_host(text: str) -> str:
    """A domain name in lower case, or an IP address without brackets."""
    bare = text[1:-1] if text.startswith("[") else text
    if is_ip(bare):
        return str(ip_address(bare))
    if bare != text:
        raise Refused("brackets hold an IPv6 address, such as [::1]")
    return parse_domain(text)


def parse_domain(text: str) -> str:
    """A domain name in lower case, its non-ASCII labels as A-labels (RFC 5890).

    A label that IDNA's mapping would change into another name (RFC 5894: ß, final sigma, joiners, wide letters)
    is refused, because two different domains would then be one.
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
    """Whether this host is an IP address and not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether this host is a loopback address, which no other machine reaches."""
    return host in _LOOPBACK or (is_ip(host) and ip_address(host).is_loopback)


def bracketed(host: str) -> str:
    """The host as a URL has it: an IPv6 address in brackets (RFC 3986 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def parse_socket_path(path: str) -> str:
    """The absolute path of a Unix socket."""
    if not path.startswith("/") or path.endswith("/") or len(path.encode()) > _LONGEST_SOCKET:
        raise Refused(f"a Unix socket is written unix:/path.sock, with at most {_LONGEST_SOCKET} bytes of path")
    return path


def _parse_http(text: str) -> UpstreamUrl:
    match = _URL.fullmatch(text)
    if not match:
        raise _refused_url(text)
    scheme, path = match["scheme"].lower(), match["path"] or "/"
    port = int(match["port"] or _DEFAULT_PORTS[scheme])
    if not 0 < port <= 65535:
        raise Refused("a port is a number from 1 to 65535")
    return UpstreamUrl(scheme, parse_host(match["host"]), port, base=_parse_base(path))


def _refused_url(text: str) -> Refused:
    if re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE) and not re.match("https?://", text, re.IGNORECASE):
        websocket = re.sub("^ws(s?)://", r"http\1://", text) if re.match("wss?://[^@]*$", text) else None
        return Refused("a URL here begins with http:// or https://", websocket)
    if not re.match("https?:", text, re.IGNORECASE):
        return Refused("a URL begins with http:// or https://", _with_scheme(text))
    if "@" in text:
        return Refused("a URL here has no user name or password in it")
    return Refused("this is not a URL such as https://host or http://host:3000")


def _with_scheme(text: str) -> str | None:
    """The URL of a text that is a host or host:port; None if it is neither."""
    if not re.search(r"[.:]|^localhost$", text):
        return None
    url = f"http{'' if ':' in text else 's'}://{text}"
    try:
        _parse_http(url)
    except Refused:
        return None
    return url


def _parse_base(path: str) -> str:
    if "?" in path or "#" in path:
        raise Refused("a URL here has no query and no fragment")
    return parse_plain_path(path).rstrip("/") if path else ""


Url = Annotated[str, FromText(parse_url, schema={"title": "URL", "pattern": "^https?://"})]
Network = Annotated[IPv4Network | IPv6Network, FromText(parse_network, schema={"title": "address or range"})]
