"""What a browser does with a response: whether a window shows it, and whether a service worker asked for it."""

import re

from oauth_proxy.headers import Fields

_REFETCHING = ([b"cors"], [b"same-origin"])
_OF_WORKER = re.compile(rb"[^?#]*(?:\.[cm]?[jt]s|/sw|/service-?worker)(?:\?.*)?", re.IGNORECASE)


def shows_document(fields: Fields) -> bool:
    """Return whether a browser with Fetch Metadata shows the response to this navigation in a window, not a frame.

    A service worker that passes a navigation on unchanged says `empty` (seen in Chromium).
    """
    return fields[b"sec-fetch-mode"] == [b"navigate"] and fields[b"sec-fetch-dest"] in ([b"document"], [b"empty"])


def is_refetched(method: str, fields: Fields) -> bool:
    """Return whether a service worker may ask for what a window will show (seen in Chromium).

    `fetch(request)` keeps the navigation's mode, but not its destination. `fetch(request, init)` keeps the fields,
    but not the mode. `fetch(url)` keeps nothing; its Referer is the worker's
    script, which tells it from a page's fetch. There may also be no Referer.
    """
    if fields[b"sec-fetch-dest"] != [b"empty"] or method not in ("GET", "POST"):
        return False
    if fields[b"sec-fetch-mode"] == [b"navigate"]:
        return True
    if fields[b"sec-fetch-mode"] not in _REFETCHING or fields[b"sec-fetch-site"] != [b"same-origin"]:
        return False
    if b"upgrade-insecure-requests" in fields:  # browsers send it with navigations only
        return True
    is_plain = method == "GET" and fields[b"accept"] == [b"*/*"] and b"x-requested-with" not in fields
    return is_plain and all(map(_OF_WORKER.fullmatch, fields[b"referer"]))
