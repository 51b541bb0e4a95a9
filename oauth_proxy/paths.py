"""Parses the request target once, for all decisions, and checks return addresses.

The law: rules are applied to `Target.path` only, and only if `Target.plain` says that no known server would read
the same bytes differently. `Target.raw` is forwarded, byte for byte.
"""

import posixpath
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from oauth_proxy.errors import BadRequest, Misdirected

LONGEST_RETURN = 8192
"""Longest return address in characters. Chromium goes to longer ones, but front proxies refuse them."""

# RFC 3986 pchar without percent-encoding, and without ";", at which some servers cut the path.
_PLAIN = re.compile(r"/[A-Za-z0-9/._~!$&'()*+,:@=-]*")
# Such a path without an empty segment or a dot beside a slash, so that there is nothing to forgive but its case.
_NEAT = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,:@=-]+(?:\.+[A-Za-z0-9_~!$&'()*+,:@=-]+)*)+/?|/")
# Decoded characters that only some servers take for a separator, an end or an escape.
_AMBIGUOUS = re.compile(r"[%\\;?#\x00-\x1f\x7f\ufffd\udc80-\udcff]|//|/ *\. *(?:\. *)?(?:/|\Z)")
_AUTHORITY = re.compile(r"[^/?#]+")
_ENCODED_SEPARATOR = re.compile(r"%(?:2[ef]|5c)", re.IGNORECASE)
# Some servers end a path at NUL, or pass over controls and spaces around a segment.
_DOT_SEGMENT = re.compile(r"[/\\][\x00-\x20]*\.[\x00-\x20]*(?:\.[\x00-\x20]*)?(?:[/\\;?#\x00]|\Z)")
# Two or three bytes for an ASCII character, which RFC 3629 3 forbids and old decoders take.
_OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]")
_HIDDEN = re.compile(r"[\\\x00-\x1f\x7f\ufffd]")
# What some servers drop, take for an end, or decode in another way than UTF-8.
_UNREADABLE = re.compile(r"[\x00-\x1f\x7f\ufffd\udc80-\udcff]|%u", re.IGNORECASE)
_PARAMETER = re.compile(r";[^/\\]*")
_MOST_DECODINGS = 5
_OFF_SITE = re.compile(r"/\s*/")
_INVISIBLE = re.compile(r"[^!-~]")
_UNSAFE_IN_URL = re.compile(r"[^!-\[\]-~]")  # a backslash, or anything but visible ASCII
_AFTER_HOST = re.compile(r"[/?#\\\\]")
_LONGEST_NAMED = 100
_LONGEST_SHOWN = 200
_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_PORT = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_HOST = re.compile(rf"({_LABEL}(?:\.{_LABEL})*)(?::(?:{_PORT}))?")


def named(authority: str) -> str:
    """A host that a client has named, for the log: without user information (RFC 3986 3.2.1) and what follows."""
    return _AFTER_HOST.split(authority.rpartition("@")[2], maxsplit=1)[0][:_LONGEST_NAMED] or "(none)"


class Target(NamedTuple):
    """A request-target (RFC 9112 3.2): `raw` path and `query` as sent, `path` as rules read it."""

    raw: str
    query: str
    path: str
    plain: bool

    @property
    def full(self) -> str:
        """Path and query as sent."""
        return self.raw + self.query

    def climbs(self) -> bool:
        """Whether a server that decodes the path up to twice finds a dot segment in it, or may do so."""
        if self.plain:
            return False
        forms = (unicodedata.normalize("NFKC", form) for form in _forms(self.raw))
        return any(map(_DOT_SEGMENT.search, forms)) or _OVERLONG.search(unquote_to_bytes(self.raw)) is not None


@lru_cache(maxsize=512)
def read_target(sent: str, host: str) -> Target:
    """The target of a request line, given the Host header's value.

    Raises BadRequest for what is neither origin-form nor absolute-form, and Misdirected for an
    absolute-form that names another site (RFC 9112 3.2.2).
    """
    if not sent.startswith("/"):
        scheme, separator, rest = sent.partition("://")
        if not separator or scheme.lower() not in ("http", "https"):
            raise BadRequest("the request-target is neither a path nor an http URL")
        authority = _AUTHORITY.match(rest)
        if authority is None or authority[0].lower() != host.lower():
            raise Misdirected(f"the request line names another host: {named(authority[0] if authority else '')}")
        sent = rest[authority.end() :]
        sent = sent if sent.startswith("/") else "/" + sent
    raw, question, query = sent.partition("?")
    if _PLAIN.fullmatch(raw) and "//" not in raw and "/." not in raw:
        return Target(raw, question + query, raw, plain=True)
    decoded = unquote(raw, errors="replace")
    # Some servers convert full-width dots and slashes (Unicode) to ASCII.
    forms = (decoded, unicodedata.normalize("NFKC", decoded))
    plain = not (any(map(_AMBIGUOUS.search, forms)) or _ENCODED_SEPARATOR.search(raw) or "#" in raw)
    return Target(raw, question + query, _resolve(decoded), plain)


def _resolve(decoded: str) -> str:
    """Resolve dot segments and repeated slashes (RFC 3986 5.2.4); keep a trailing slash."""
    path = posixpath.normpath("/" + decoded.replace("\\", "/").lstrip("/"))
    ends_in_folder = decoded.endswith(("/", "/.", "/.."))
    return path + "/" if ends_in_folder and path != "/" else path


def folded(raw: str) -> frozenset[str]:
    """The path as servers read it that forgive everything, with '/' at its end; empty if it may lead anywhere.

    For rules that nobody may get round by another spelling: it is decoded to the end, without case, parameters,
    and dots or spaces at the end of a segment. Servers do not agree on when a parameter ends, nor on whether what
    stands behind an escaped '?' belongs to the path, so there may be several readings.
    """
    if _NEAT.fullmatch(raw):
        return frozenset({f"{raw.rstrip('/')}/".casefold()})
    forms = _decoded(raw)
    if not forms or _UNREADABLE.search(forms[-1]):
        return frozenset()
    readings = set()
    bare = {forms[-1]} if ";" not in forms[-1] else {_decoded(_PARAMETER.sub("", form))[-1] for form in forms}
    for path in bare | {re.split("[?#]", form, maxsplit=1)[0] for form in bare}:
        segments = [segment.strip(" ") for segment in re.split(r"[/\\]", path)]
        if any(segment and not segment.strip(".") for segment in segments):
            return frozenset()
        found = "/".join(segment.rstrip(". ") for segment in segments if segment)
        readings.add(f"/{found}/".casefold() if found else "/")
    return frozenset(readings)


def _decoded(path: str) -> list[str]:
    """The path as it is, decoded once, and so on to the end; empty if there is no end in sight."""
    forms = [path]
    for _ in range(_MOST_DECODINGS):
        decoded = unicodedata.normalize("NFKC", unquote(forms[-1], errors="replace"))
        if decoded == forms[-1]:
            return forms
        forms.append(decoded)
    return []


class Site:
    """The public address, and the check of return addresses after a login or sign-out.

    `origin` is `scheme://host[:port]`; `domain`, if set, also allows that domain and its subdomains.
    """

    def __init__(self, origin: str, domain: str | None = None) -> None:
        self.origin = origin
        self.secure = origin.startswith("https://")
        parts = urlsplit(origin)
        self.host = parts.netloc.lower()
        # The default port may be written (RFC 9110 4.2.3), but only if our origin has no port.
        default = "" if parts.port else f"{self.host}:{443 if self.secure else 80}"
        self._names = {self.host, default or self.host}
        self._domain = domain.lstrip(".").lower() if domain else None

    def is_ours(self, host: str) -> bool:
        """Whether a Host header's value (RFC 9110 7.2) names this site, or one in its cookie domain."""
        host = host.lower()
        return host in self._names or self._in_domain(host)

    def is_public(self, host: str) -> bool:
        """Whether a Host header's value names the public address itself."""
        return host.lower() in self._names

    def origin_at(self, host: str) -> str:
        """The origin, as browsers write it (RFC 6454 6.2), of pages at one of our hosts."""
        scheme, default = ("https", ":443") if self.secure else ("http", ":80")
        return f"{scheme}://{host.lower().removesuffix(default)}"

    def _in_domain(self, host: str) -> bool:
        found, domain = _HOST.fullmatch(host), self._domain
        if found is None or domain is None:
            return False
        return found[1] == domain or found[1].endswith("." + domain)

    def url(self, path: str) -> str:
        """The absolute URL of a path of this site, for a Location header.

        It is always absolute, so that no form of `path` can name another host.
        """
        return self.origin + quote(path, safe="/?:@!$&'()*+,;=~%#[]-._", errors="surrogateescape")

    def back_to(self, target: Target) -> str:
        """The return address after the sign-in of a visitor who requested `target`."""
        return self.shortened(self.url(target.full), lambda url: len(url) <= LONGEST_RETURN)

    def shortened(self, url: str, fits: Callable[[str], bool]) -> str:
        """The address, or what is left without its fragment or query: the first that fits, else the front page."""
        return next(filter(fits, _shorter(url)), self.url("/"))

    def shown(self, url: str) -> str | None:
        """A return address as people read it: decoded, short, without query; None for the start page."""
        parts = urlsplit(url)
        path = unquote(parts.path)
        if path in ("", "/"):
            return None
        host = "" if parts.netloc.lower() == self.host else parts.netloc
        shown = host + path
        return shown if len(shown) <= _LONGEST_SHOWN else shown[: _LONGEST_SHOWN - 1] + "…"

    def safe_return(self, candidate: str) -> str | None:
        """The absolute return address; None if `candidate` could lead to another site.

        One that is too long loses its fragment, then its query. No server reads a fragment: it stays as it is.
        """
        if len(candidate) > LONGEST_RETURN:
            candidate = next((short for short in _shorter(candidate) if len(short) <= LONGEST_RETURN), "")
        candidate, sharp, fragment = candidate.partition("#")
        path, question, query = candidate.partition("?")
        candidate = path + question + query.replace("\\", "%5C")  # browsers send it as it is (WHATWG URL 4.4)
        if not _reads_one_way(candidate) or _INVISIBLE.search(fragment):
            return None
        url = self._absolute(candidate)
        if url is None or (
            fragment and url.count("/") < 3
        ):  # some software takes `host#@other` for user information
            return None
        return url + sharp + fragment

    def _absolute(self, candidate: str) -> str | None:
        if candidate.startswith("/"):
            return self.url(candidate)
        try:
            parts = urlsplit(candidate)
            host = parts.netloc.lower()
        except ValueError:
            return None
        schemes = ("https",) if self.secure else ("http", "https")
        if parts.scheme in schemes and candidate.startswith(f"{parts.scheme}://") and self.is_ours(host):
            return candidate if parts.path.startswith("/") or not parts.path else None
        return None


def _shorter(url: str) -> tuple[str, str, str]:
    """The address, the address without its fragment, and without fragment and query."""
    bare = url.partition("#")[0]
    return url, bare, bare.partition("?")[0]


def _forms(path: str) -> tuple[str, str, str]:
    """The path as sent, decoded once, and decoded twice."""
    once = unquote_to_bytes(path).decode("utf-8", "replace")
    return path, once, unquote(once)


def _reads_one_way(candidate: str) -> bool:
    """Whether software that decodes it up to twice finds no other host and no hidden character in it."""
    path = candidate.partition("?")[0]
    authority = "" if candidate.startswith("/") else candidate.partition("://")[2].partition("/")[0]
    return (
        not _UNSAFE_IN_URL.search(candidate)
        and "@" not in authority
        and not any(_HIDDEN.search(form) or _OFF_SITE.match(form) for form in _forms(path))
    )
