"""What visitors see of the proxy itself."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from oauth_proxy.settings.emails import parse_email_pattern
from oauth_proxy.settings.fields import File, Folder, FromText, Section
from oauth_proxy.settings.problems import Refused

_COLOUR = r"^#[0-9A-Fa-f]{6}$"
_LONGEST_CONTACT = 200
_ANCESTOR = re.compile(r"https?://(?:\*\.[a-z0-9-]+\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::[0-9]{1,5})?", re.ASCII)


def _parse_line(text: str) -> str:
    if not text.isprintable() or len(text) > 80:
        raise Refused("this is one line of at most 80 characters")
    return text


def _parse_contact(text: str) -> str:
    """An email address, or an http(s) URL."""
    if len(text) > _LONGEST_CONTACT or not text.isprintable() or " " in text:
        raise Refused(f"a contact is one email address or URL, of at most {_LONGEST_CONTACT} characters")
    if "://" in text:
        if urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).netloc:
            raise Refused("a contact is an email address, or a URL such as https://help.example.com/review")
        return text
    if "@" not in text:
        raise Refused("a contact is an email address, or a URL such as https://help.example.com/review")
    parse_email_pattern(text)
    if "*" in text:
        raise Refused("a contact is one mailbox")
    return text


def _parse_ancestor(text: str) -> str:
    """An origin, whose host may begin with `*.` (CSP Level 3, host-source): never a scheme alone, and not `*`."""
    found = _ANCESTOR.fullmatch(text.lower().removesuffix("/"))
    if found is None:
        raise Refused(
            "a site that may show the tool in a frame is written as https://portal.example.com, "
            "https://*.example.com or with a port"
        )
    return found[0]


def _parse_colour(text: str) -> str:
    if not re.fullmatch(_COLOUR, text, re.ASCII):
        raise Refused("a colour is written as #rrggbb, such as #0b6e4f, in quotes as # begins a comment")
    return text.lower()


class Pages(Section):
    """The few pages that visitors see of the proxy itself."""

    name: Annotated[str, FromText(_parse_line)] | None = None
    """What the proxy's own pages call your tool; by default the host of public_url."""
    contact: Annotated[str, FromText(_parse_contact)] | None = None
    """An email address, or the URL of a page: where visitors are told to ask for help."""
    logo: File | None = None
    """An image above the name: SVG, PNG, JPEG or WebP, at most 64 KiB."""
    accent: Annotated[str, FromText(_parse_colour, schema={"pattern": _COLOUR})] | None = None
    """The colour of buttons, as "#rrggbb"; violet by default. The text on them becomes black or white, whichever
    is easier to read."""
    footer: Annotated[str, FromText(_parse_line)] | None = None
    """A line of text below every page."""
    frame_ancestors: tuple[Annotated[str, FromText(_parse_ancestor)], ...] = ()
    """Sites that show the tool in a frame, as https://portal.example.com or https://*.example.com. There our pages
    may be shown too, and the login opens in a window of its own."""
    templates: Folder | None = None
    """A folder with Jinja2 templates that replace ours of the same name, and with further languages."""
