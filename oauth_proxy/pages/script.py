"""The script for pages of the tool, `/oauth2/session.js`: its text as it is served, and its version."""

import gzip
import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Script(NamedTuple):
    """`body` is UTF-8, `zipped` the same by gzip; `version` is a hash of it, 16 hexadecimal digits."""

    body: bytes
    zipped: bytes
    version: str


@cache
def session_script() -> Script:
    """The script without comments, which are whole lines, and indentation; no text in it spans lines."""
    lines = map(str.strip, files("oauth_proxy.pages").joinpath("session.js").read_text("utf-8").splitlines())
    body = "".join(f"{line}\n" for line in lines if line and not line.startswith("//")).encode()
    return Script(body, gzip.compress(body, mtime=0), hashlib.sha256(body).hexdigest()[:16])
