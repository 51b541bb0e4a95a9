"""What a tool's answer may not say: that it is ours, or that anybody else may keep a cookie of ours.

The law: our mark and our cookies come from us alone, and an answer with one of our cookies is its visitor's alone.
"""

import re
from collections.abc import Iterator

from oauth_proxy.cookies import Cookies
from oauth_proxy.responses import MARK
from oauth_proxy.upstream.head import Head

_MARK = MARK.lower().encode()
# Some caches heed these before Cache-Control (RFC 9213 2).
_TARGETED = re.compile(
    rb"(?:[a-z0-9-]+-)?cdn-cache-control|surrogate-control|edge-control|x-accel-expires|x-litespeed-cache-control"
)
_SHARING = frozenset({b"", b"public", b"private", b"s-maxage"})
_QUOTED = re.compile(rb'"[^"]*"?')


class Claims:
    """Strikes out of a tool's answer what would pass for ours: the mark, and cookies of our family."""

    def __init__(self, cookies: Cookies) -> None:
        self._cookies = cookies
        self._family = cookies.family.lower()

    def strike(self, head: Head) -> None:
        """Take such lines out of the head."""
        block = head.block.lower()
        if _MARK in block or (self._family in block and b"set-cookie" in block):
            head.keep([line for line in head.lines if not self._is_ours(line)])

    def _is_ours(self, line: bytes) -> bool:
        name, _, value = line.partition(b":")
        if name.lower() != b"set-cookie":
            return name.lower() == _MARK
        # A browser sends `=name=value` back as `name=value` (RFC 6265bis 5.8.3).
        return self._cookies.is_ours(re.split(b"[=;]", value.lstrip(b" \t="), maxsplit=1)[0].strip(b" \t"))


def for_one_visitor(head: Head) -> None:
    """Keep the answer out of shared caches (RFC 9111 5.2.2.7); a browser may still keep it as the tool says.

    Set-Cookie alone keeps it out of none (RFC 9111 7.3), and without Cache-Control a cache may guess how long an
    answer is fresh (4.2.2). A 304 says so too, of the answer that a cache has already (4.3.4).
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
    """The directives that say nothing about shared caches; a list of fields in one makes it hold for all."""
    for directive in _QUOTED.sub(b"", value).split(b","):
        name, _, argument = (part.strip(b" \t").lower() for part in directive.partition(b"="))
        if name not in _SHARING:
            yield name + b"=" + argument if argument else name
