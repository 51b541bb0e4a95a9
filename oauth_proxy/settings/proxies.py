"""The proxies that the environment names for requests to Frame.io: HTTPS_PROXY, HTTP_PROXY and NO_PROXY.

No repr and no message shows a proxy's password.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from oauth_proxy.settings.addresses import bracketed, is_loopback, parse_host
from oauth_proxy.settings.problems import Refused

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy: its `url` without credentials, and the user and password to send it, if any."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Proxies:
    """A proxy for https URLs, one for http URLs, and the hosts that are asked `without` any.

    Such a host stands for its subdomains too, with a dot in front or not, and `*` for every host.
    """

    https: Proxy | None = None
    http: Proxy | None = None
    without: tuple[str, ...] = ()

    def of(self, url: str) -> Proxy | None:
        """The proxy to ask for this URL. There is never one for loopback addresses, as in Go and curl."""
        parts = urlsplit(url)
        proxy, host = {"https": self.https, "http": self.http}.get(parts.scheme), parts.hostname or ""
        if proxy is None or is_loopback(host):
            return None
        is_direct = any(each == "*" or f".{host}".endswith(f".{each}") for each in self.without)
        return None if is_direct else proxy


def read_proxies(environ: Mapping[str, str]) -> Proxies:
    """What the variables say. In lower case they come first, as with curl. Raises Refused."""
    names = (name.strip().lower().lstrip(".") for name in _value(environ, "NO_PROXY").split(","))
    return Proxies(_proxy(environ, "HTTPS_PROXY"), _proxy(environ, "HTTP_PROXY"), tuple(filter(None, names)))


def _value(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.lower(), environ.get(name, "")).strip()


def _proxy(environ: Mapping[str, str], name: str) -> Proxy | None:
    text = _value(environ, name)
    if not text:
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        usual, host = _PORTS[parts.scheme], parse_host(parts.hostname or " ")
        port = parts.port or usual
    except (ValueError, KeyError, Refused):
        raise Refused(
            f"the environment variable {name} is no proxy such as http://proxy.example.com:3128 (or https://)"
        ) from None
    user = unquote(parts.username or "")
    if ":" in user:
        raise Refused(f"the environment variable {name} has a user with ':' in it, which no proxy can be told")
    return Proxy(f"{parts.scheme}://{bracketed(host)}:{port}", user, unquote(parts.password or ""))
