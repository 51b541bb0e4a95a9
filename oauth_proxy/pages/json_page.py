"""A body that is JSON for a script and a page for a window, where it is not known which of the two reads it.

A service worker may fetch what a window is to show as a script fetches data. The law: the body is valid JSON, as
HTML it is what `show` says and nothing else, and no text of the two ends the other.
"""

import html
import json
from collections.abc import Mapping
from typing import NamedTuple

from oauth_proxy.pages.policy import Needs, content_security_policy, script_text

# The JSON before and after the page must not be seen: text has no size but in <main>.
_STYLE = (
    "body{margin:0;padding:14vh 1.25rem;font-size:0}"
    "h1{margin:0 0 .75rem;font-size:1.625rem;line-height:1.2}"
    "main{max-width:28rem;margin:auto;font:1.0625rem/1.55 system-ui,sans-serif;overflow-wrap:break-word}"
)


def _one_line(name: str) -> str:
    return " ".join(line.strip() for line in script_text(name).splitlines())


LEAVE = _one_line("leaving.js")
"""A script that goes to the login, as the link `way` does, with the window's whole address."""
GO_ON = _one_line("going_on.js")
"""A script that follows the link `way`."""


class Show(NamedTuple):
    """What a window shows: plain texts in the language with this tag, and a link if `url` is not empty."""

    language: str
    direction: str
    title: str
    sentence: str
    label: str = ""
    url: str = ""
    script: str = ""


def body(show: Show, content: Mapping[str, object]) -> bytes:
    """The body, UTF-8. JSON: `content`, and the page as `page`."""
    way = f"<p><a id=way href='{_text(show.url)}'>{_text(show.label)}</a></p>" if show.url else ""
    script = f"<script>{show.script}</script>" if show.script else ""
    page = (
        f"<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<meta name=color-scheme content='light dark'><title>{_text(show.title)}</title><style>{_STYLE}</style>"
        f"<main lang='{_text(show.language)}' dir='{_text(show.direction)}'>"
        f"<h1>{_text(show.title)}</h1><p>{_text(show.sentence)}</p>{way}</main>{script}<!--"
    )
    rest = "".join(f", {json.dumps(name)}: {json.dumps(value)}" for name, value in content.items())
    rest = rest.replace(">", "\\u003e")  # nothing ends the comment
    return f'{{"page": "{page}"{rest}}}\n'.encode(errors="replace")


def policy(show: Show) -> str:
    """The Content-Security-Policy of that page."""
    return content_security_policy([_STYLE], Needs(forms="*", script=show.script))


def _text(text: str) -> str:
    """The text as HTML in which JSON has nothing to escape."""
    return html.escape(" ".join(text.split())).replace("\\", "&#92;")
