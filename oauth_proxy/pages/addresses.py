"""Addresses as pages link and show them."""

import re

# Allowed link targets: a path of this site or an absolute web address. Browsers drop tabs and line breaks in a URL
# and read a backslash as a slash (WHATWG URL 4.4), so these are not allowed.
_WEB_ADDRESS = re.compile(r"(?:https?://|/(?!/))[^\x00-\x20\x7f\\]*", re.IGNORECASE)

_PARTS = re.compile(r"[^./@?&=]*[./@?&=]|[^./@?&=]+")


def parts(text: str) -> list[str]:
    """A host, path or email address in parts after which a line may end."""
    return _PARTS.findall(text)


def link(url: str) -> str:
    """`url` if it is a web address, else "/", so that a link never runs a script."""
    return url if _WEB_ADDRESS.fullmatch(url) else "/"
