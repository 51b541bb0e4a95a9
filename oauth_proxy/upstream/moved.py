"""Rewrites the addresses in the heads of a tool that does not know its own prefix (`rewrite: true`).

The law: what leads elsewhere is not touched, and neither is what is right already, so that a tool which knows its
prefix loses nothing. What is rewritten begins with this site's origin: no path of a tool's becomes another host.
"""

import re
from typing import NamedTuple

from oauth_proxy.paths import Site
from oauth_proxy.settings import OUR_ROUTES
from oauth_proxy.upstream.head import Head

_LINES = re.compile(rb"\n(?:location|content-location|refresh|set-cookie):", re.IGNORECASE)
# RFC 3986 3.2, and what browsers take for it: a backslash counts as a slash (WHATWG URL 4.4).
_ABSOLUTE = re.compile(rb"(?:([a-z][a-z0-9+.-]*):)?[/\\]{2}([^/\\?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_REFRESH = re.compile(
    rb"([\t ]*[0-9.]+[\t ]*[;,\t ][\t ]*(?:url[\t ]*=[\t ]*)?[\"']?)([^\"']*)(.*)", re.IGNORECASE | re.DOTALL
)
_DEFAULT_PORT = re.compile(rb":(?:80|443)?\Z")
_ENDS = (b"", b"/", b"?", b"#")
_OURS = OUR_ROUTES.encode("ascii")
"""Is not rewritten: a tool that leads its visitors to the sign-out means ours."""


class Place(NamedTuple):
    """Where a tool is: `inner` is what its own paths begin with, and visitors see `outer` instead.

    Both are without a slash at the end. `authority` is that of the tool's own URL.
    """

    outer: bytes
    inner: bytes
    authority: bytes


class Moved:
    """Rewrites for one tool at this site."""

    def __init__(self, place: Place, site: Site) -> None:
        self._outer, self._inner, authority = place
        self._authority = _bare(authority)
        self._domain = self._authority.rpartition(b":")[0] or self._authority
        self._site = site

    def rewrite(self, head: Head, host: str) -> None:
        """Rewrite the lines that lead to the tool; `host` is the Host that the visitor has asked."""
        if _LINES.search(head.block) is None:
            return
        head.keep([self._line(line, host) for line in head.lines])

    def _line(self, line: bytes, host: str) -> bytes:
        name, _, value = line.partition(b":")
        match name.lower():
            case b"location" | b"content-location":
                rewritten = self._reference(value.strip(b" \t"), host)
            case b"refresh" if found := _REFRESH.fullmatch(value):
                rewritten = found[1].lstrip(b" \t") + self._reference(found[2], host) + found[3]
            case b"set-cookie":
                rewritten = self._cookie(value.strip(b" \t"), host)
            case _:
                return line
        return name + b": " + rewritten

    def _reference(self, reference: bytes, host: str) -> bytes:
        """The reference (RFC 3986 4.1) as it is right for visitors. One that is relative to a path is already."""
        absolute, path = _ABSOLUTE.match(reference), reference
        if absolute is not None:
            scheme, authority, path = absolute.groups()
            if (scheme or b"http").lower() not in (b"http", b"https"):
                return reference
            if _bare(authority) not in (self._authority, _bare(host.encode("latin-1"))):
                return reference
            path = path if path.startswith(b"/") else b"/" + path
        seen = self._seen(path)
        if seen is None or seen == reference:
            return reference
        return self._site.origin_at(host).encode("latin-1") + seen

    def _seen(self, path: bytes) -> bytes | None:
        """The tool's path as visitors see it; None if they do not see it, or if it is no path from the root."""
        outer, inner = self._outer, self._inner
        if not path.startswith(b"/"):
            return None
        if path.startswith(_OURS):
            return path
        is_right = _lies_below(path, outer)
        if not _lies_below(path, inner) or (is_right and len(outer) >= len(inner)):
            return path if is_right else None
        rest = path[len(inner) :]
        return outer + (rest if rest.startswith(b"/") else b"/" + rest)

    def _cookie(self, cookie: bytes, host: str) -> bytes:
        """The cookie with its path below the prefix, and without the tool's own name as its domain (RFC 6265 5.2).

        A browser takes a cookie whose name begins with `__Host-` for the whole site or not at all.
        """
        pair, *attributes = cookie.split(b";")
        if pair.lstrip(b" \t=").lower().startswith(b"__host-"):
            return cookie
        kept = [pair]
        for attribute in attributes:
            name, equals, value = attribute.partition(b"=")
            folded, value = name.strip(b" \t").lower(), value.strip(b" \t")
            if folded == b"path" and value.startswith(b"/"):
                attribute = name + equals + (self._seen(value) or value)
            if folded != b"domain" or not self._is_inner_name(value.lstrip(b".").lower(), host):
                kept.append(attribute)
        return b";".join(kept)

    def _is_inner_name(self, domain: bytes, host: str) -> bool:
        """Whether this names the tool's machine, so that no browser would take the cookie from us."""
        asked = host.lower().encode("latin-1").partition(b":")[0]
        return domain == self._domain and asked != domain and not asked.endswith(b"." + domain)


def _bare(authority: bytes) -> bytes:
    """The authority in lower case, without a default port: tools often take https for http."""
    return _DEFAULT_PORT.sub(b"", authority.lower())


def _lies_below(path: bytes, folder: bytes) -> bool:
    return path.startswith(folder) and path[len(folder) : len(folder) + 1] in _ENDS
