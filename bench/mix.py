"""What browsers ask for: pages with their assets, one after the other, for several visitors.

Chrome's header lines over HTTP/1.1. Of the 41 requests of a page, the 14 that revalidate what the browser has
(If-None-Match) have lines that no other request of the page has; so has the page itself. Its pictures have the
same lines, and so have its calls of the tool's interface. On the next page, Referer differs in all of them.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

from bench.stage import SITE, Column, sign_in

VISITORS, PAGES = 8, 25
PICTURES, CALLS = 16, 10

BROWSER = (
    "Connection: keep-alive",
    'sec-ch-ua: "Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"',
    "sec-ch-ua-mobile: ?0",
    'sec-ch-ua-platform: "macOS"',
    "User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Safari/537.36",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8",
)
NAVIGATING = (
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-User: ?1",
    "Sec-Fetch-Dest: document",
)
ACCEPTED = {
    "style": "text/css,*/*;q=0.1",
    "script": "*/*",
    "font": "*/*",
    "image": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "empty": "application/json",
}
"""What the browser takes, by what it wants it for (Sec-Fetch-Dest)."""
KINDS = ("style", "style", "style", "style", *("script",) * 8, "font", "font")
"""What the files of SITE are."""


def written(column: Column) -> Path:
    """A file with what VISITORS of the column ask for, each on PAGES. They sign in when it is first wanted."""
    path = column.world.folder / f"mix-{column.name}"
    if not path.exists():
        visitors = [column] * VISITORS
        if column.lines:
            visitors = [replace(column, lines=(asyncio.run(sign_in(column)),)) for _ in range(VISITORS)]
        etags = [_etag(column, name) for name in SITE]
        views = [(visitor, page) for page in range(PAGES) for visitor in visitors]
        path.write_bytes(b"".join(head for view in views for head in page_with_assets(*view, etags)))
    return path


def page_with_assets(visitor: Column, page: int, etags: Sequence[str]) -> Iterator[bytes]:
    """The requests for one page, and for everything on it."""

    def asset(path: str, kind: str, *lines: str) -> bytes:
        mode = "cors" if kind in ("font", "empty") else "no-cors"
        fetch = f"Accept: {ACCEPTED[kind]}", "Sec-Fetch-Site: same-origin", f"Sec-Fetch-Mode: {mode}"
        lines = (*BROWSER, *fetch, f"Sec-Fetch-Dest: {kind}", f"Referer: {visitor.url}/review/{page}", *lines)
        return visitor.head("GET", path, *lines)

    yield visitor.head(
        "GET", f"/review/{page}", *BROWSER, *NAVIGATING, f"Referer: {visitor.url}/review/{(page - 1) % PAGES}"
    )
    for name, kind, etag in zip(SITE, KINDS, etags, strict=True):
        yield asset(f"/{name}", kind, f"If-None-Match: {etag}")
    for number in range(PICTURES):
        yield asset(f"/assets/{page}/{number}.webp", "image")
    for number in range(CALLS):
        yield asset(f"/assets/{page}/comments?after={number}", "empty")


def _etag(column: Column, name: str) -> str:
    """What the upstream calls the file as it is now."""
    with urlopen(f"http://127.0.0.1:{column.world.upstream}/{name}", timeout=10) as answer:
        return str(answer.headers["ETag"])
