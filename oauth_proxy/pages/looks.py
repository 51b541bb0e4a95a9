"""What every page shows of a site beside its name: whom to ask, a logo, a colour and a line of text."""

import base64
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import quote

from oauth_proxy.errors import ConfigurationError

LARGEST_LOGO = 64 * 1024
"""Bytes of a logo's file. Every page carries it, as nobody may load a file from the tool before the login."""

_IMAGES = {
    ".svg": ("image/svg+xml", b""),
    ".png": ("image/png", b"\x89PNG\r\n\x1a\n"),
    ".jpg": ("image/jpeg", b"\xff\xd8\xff"),
    ".jpeg": ("image/jpeg", b"\xff\xd8\xff"),
    ".webp": ("image/webp", b"RIFF"),
}
"""Images by the end of their name: the media type, and the bytes that a file begins with."""


class Contact(NamedTuple):
    """Whom to ask: as it is shown, and the URL that it leads to."""

    shown: str
    url: str

    @classmethod
    def of(cls, written: str) -> Self:
        """The contact for an email address or a URL."""
        return cls(written, written if "://" in written else f"mailto:{quote(written, safe='@')}")


class Accent(NamedTuple):
    """The colour of buttons, and the colour of the text on them, as `#rrggbb`."""

    background: str
    text: str

    @classmethod
    def of(cls, colour: str) -> Self:
        """The accent with black or white text: the better one always has a contrast of 4.5 (WCAG 2.2, AA)."""
        light = _luminance(colour) + 0.05
        return cls(colour, "#000000" if light / 0.05 >= 1.05 / light else "#ffffff")


class Looks(NamedTuple):
    """The parts of a site's looks; none of them is needed. `logo` is a data: URL."""

    contact: Contact | None = None
    logo: str | None = None
    accent: Accent | None = None
    footer: str | None = None


def read_logo(path: Path) -> str:
    """The data: URL of an image file. Raises ConfigurationError if it is too large, or not what its name says."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_LOGO + 1)
    except OSError as error:
        raise ConfigurationError([f"{path}: the logo cannot be read: {error.strerror}"]) from None
    media_type, beginning = _IMAGES.get(path.suffix.lower(), ("", b""))
    if not media_type:
        raise ConfigurationError([f"{path}: a logo is one of {', '.join(_IMAGES)}"])
    if len(content) > LARGEST_LOGO:
        raise ConfigurationError([f"{path}: the logo is larger than {LARGEST_LOGO // 1024} KiB"])
    if not content.startswith(beginning) or (media_type == "image/svg+xml" and b"<svg" not in content):
        raise ConfigurationError([f"{path}: this is not {media_type}, although its name says so"])
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _luminance(colour: str) -> float:
    """The relative luminance of `#rrggbb`, from 0 to 1 (WCAG 2.2)."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
