"""The files that browsers and crawlers fetch without cookies, by names that are the same at every site."""

from collections.abc import Iterable, Iterator

from oauth_proxy.settings.access import PublicRule

_MANIFESTS = ("manifest.json", "manifest.webmanifest", "site.webmanifest")
"""Fetched without cookies unless the page says crossorigin="use-credentials" (Web Application Manifest 5.1)."""
_SIZES = (57, 60, 72, 76, 114, 120, 144, 152, 167, 180)
"""Pixels of the sides of touch icons; Apple's devices ask for the one they need."""
_OF_SITES = (
    "favicon.ico",
    "robots.txt",
    "browserconfig.xml",
    *(
        f"apple-touch-icon{size}{kind}.png"
        for size in ("", *(f"-{pixels}x{pixels}" for pixels in _SIZES))
        for kind in ("", "-precomposed")
    ),
)
"""Asked for at the root of a host, whether a page names them or not (RFC 9309 2.3 for robots.txt)."""


def asset_rules(prefixes: Iterable[str]) -> Iterator[PublicRule]:
    """A rule for each of these files: at the root of the site, and manifests at the root of each tool too.

    No WebSocket is meant: many tools accept one at any path.
    """
    reading = frozenset({"GET", "HEAD"})
    for name in (*_OF_SITES, *_MANIFESTS):
        yield PublicRule(reading, f"/{name}", sockets=False)
    for prefix in prefixes:
        if prefix != "/":
            yield from (PublicRule(reading, f"{prefix}{name}", sockets=False) for name in _MANIFESTS)
