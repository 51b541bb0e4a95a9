"""Removes from a tool's response what only we may send, and keeps a response with our cookie out of shared caches.

The law: our mark and our cookies come from us alone, and a response with one of our cookies is for its user alone.
"""

import re
from collections.abc import Iterator

from oauth_proxy.cookies import Cookies
from oauth_proxy.responses import MARK
from oauth_proxy.upstream.head import Head

_MARK = MARK.lower().encode()
# Some caches obey these fields before Cache-Control (RFC 9213 2).
_TARGETED = re.compile(
    rb"(?:[a-z0-9-]+-)?cdn-cache-control|surrogate-control|edge-control|x-accel-expires|x-litespeed-cache-control"
)
_SHARING = frozenset({b"", b"public", b"private", b"s-maxage"})
_QUOTED = re.compile(rb'"[^"]*"?')


class Claims:
    """Removes lines of a tool's response that look like ours: the mark, and cookies with our prefix."""

    def __init__(self, cookies: Cookies) -> None:
        self._cookies = cookies
        self._family = cookies.family.lower()

    def strike(self, head: Head) -> None:
        """Remove such lines from the head."""
        if not head.has_claims:
            return
        block = head.block.lower()
        if _MARK in block or self._family in block:
            head.keep([line for line in head.lines if not self._is_ours(line)])

    def _is_ours(self, line: bytes) -> bool:
        name, _, value = line.partition(b":")
        if name.lower() != b"set-cookie":
            return name.lower() == _MARK
        # A browser sends `=name=value` back as `name=value` (RFC 6265bis 5.8.3).
        return self._cookies.is_ours(re.split(b"[=;]", value.lstrip(b" \t="), maxsplit=1)[0].strip(b" \t"))


def for_one_visitor(head: Head) -> None:
    """Keep the response out of shared caches (RFC 9111 5.2.2.7); a browser may still cache it as the tool allows.

    Set-Cookie alone does not prevent caching (RFC 9111 7.3), and without Cache-Control a cache may guess how long
    a response is fresh (4.2.2). A 304 needs this too: it updates the response that a cache has stored (4.3.4).
    """
    kept: list[bytes] = []
    directives: list[bytes] = []
    for line in head.lines:
        name, _, value = line.partition(b":")
        folded = name.lower()
        if folded == b"cache-control":
            directives += _unshared(value)
        elif not _TARGETED.fullmatch(folded):
            kept.append(line)
    head.keep([*kept, b"Cache-Control: " + b", ".join([*directives, b"private"])])


def _unshared(value: bytes) -> Iterator[bytes]:
    """Yield the directives not for shared caches. Without its field names, one holds for all fields."""
    for directive in _QUOTED.sub(b"", value).split(b","):
        name, _, argument = (part.strip(b" \t").lower() for part in directive.partition(b"="))
        if name not in _SHARING:
            yield name + b"=" + argument if argument else name
