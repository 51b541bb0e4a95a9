"""The parts of a valid file, and functions that read a file or return its problems."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.settings import Settings, parse

KEY = base64.b64encode(hashlib.sha256(b"a session secret for tests").digest()).decode("ascii")

HOST = "review.example.com"
"""Of the site in the files below."""

SITE = f"https://{HOST}"
"""Its public URL."""

ACCOUNT = "2f1c7d0e-5b7a-4a52-9d3c-1f6d5c1f4b20"
"""The id of an account or a team, as Frame.io writes one."""

TOOL_API = "tool_api: {listen: unix:/run/tool.sock}"

PARTS = {
    "public_url": f"public_url: {SITE}",
    "frameio": "frameio: {api: v4, client_id: an-app}",
    "session": f"session: {{secret: {KEY}}}",
    "upstreams": "upstreams: {/: http://127.0.0.1:3000}",
    "access": "access: {allow: [everyone]}",
}

QUIET = {
    "frameio": "frameio: {api: v4, client_id: a, client_secret: b}",
    "access": 'access: {allow: [{email: "*@example.com"}]}',
}
"""Parts on which `check` has no note."""


def file(**parts: str) -> str:
    """A good file in which these top-level keys (whole pieces of YAML) take the place of the good ones."""
    return "\n".join({**PARTS, **parts}.values()) + "\n"


def read(text: str, environ: Mapping[str, str] | None = None, folder: Path = Path("/nowhere")) -> Settings:
    """The settings in this text."""
    return parse(text, filename="proxy.yaml", environ=environ or {}, folder=folder)


def problems(text: str, environ: Mapping[str, str] | None = None, folder: Path = Path("/nowhere")) -> list[str]:
    """Every problem of this text, without the file's name in front."""
    with pytest.raises(ConfigurationError) as caught:
        read(text, environ, folder)
    assert all(each.startswith("proxy.yaml:") for each in caught.value.problems)
    return [each.removeprefix("proxy.yaml:") for each in caught.value.problems]


def problem(**parts: str) -> str:
    """The one problem of an otherwise good file, without its position."""
    [only] = problems(file(**parts))
    return only.split(": ", 1)[1]
