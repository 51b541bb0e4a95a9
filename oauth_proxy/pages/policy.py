"""The Content-Security-Policy of a page, and a parser that finds what the policy would block."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from importlib.resources import files
from typing import NamedTuple

CANARY = "x-unescaped"
"""Stands between < and > in every sample value. If it becomes markup, the page does not escape values."""

_LOADS = frozenset({"src", "srcset", "data", "poster", "background"})


class Needs(NamedTuple):
    """What a page does beside showing text.

    Attributes:
        forms: where its forms may lead: nowhere ("'none'"), to this site ("'self'"), or anywhere ("*"). Most pages
            use links, because a link always works: browsers disagree on whether form-action also applies to
            redirects after a submission, and a login redirects to Frame.io. So a form that is limited to this site
            must not be answered by a redirect to another.
        script: the text of its one script; empty if it has none.
        frames: whether it shows another page of this site in a frame, where others may frame it.
    """

    forms: str = "'none'"
    script: str = ""
    frames: bool = False


NOTHING = Needs()


def script_text(name: str) -> str:
    """The text that a template's `{% include "name" %}` puts into its <script>; templates cannot change it."""
    return (files("oauth_proxy.pages") / "templates" / name).read_text("utf-8").removesuffix("\n")


NEEDS = {
    "sign_out.html": Needs(forms="'self'"),
    "signed_in.html": Needs(script=script_text("signed_in.js")),
    # The tool may answer the form by a redirect to another site, to which form-action applies too in Chromium.
    "typed.html": Needs(forms="*", script=script_text("typed.js"), frames=True),
    "leaving.html": Needs(forms="*", script=script_text("leaving.js")),  # the form is redirected to Frame.io
    "error.html": Needs(script=script_text("again.js")),
    "frame.html": Needs(script=script_text("frame.js")),
    "frame_end.html": Needs(script=script_text("frame_end.js")),
}
"""What pages do beside showing text."""
FRAMED = frozenset(
    {
        *("frame.html", "error.html", "not_allowed.html", "sign_in.html", "signed_in.html", "signed_out.html"),
        "typed.html",
    }
)
"""Pages that explain, and whose links lead to another page that does: none that acts by a click, but for the one
that gives back what was typed into a form in the same frame. To send that again is what the visitor wanted there.
"""


def content_security_policy(styles: Iterable[str], needs: Needs = NOTHING, ancestors: Sequence[str] = ()) -> str:
    """The policy for a page whose <style> elements hold exactly these texts (CSP Level 3).

    Pages of `ancestors` may show it in a frame, and then pages of this site, too, as they may be between the two.

    It blocks frames, scripts and forms beyond what the page needs, and all loading except these styles and data:
    images. Styles and the script are named by hash, so the policy is the same for every visitor and needs no nonce
    per response.
    """
    scripts = [f"script-src 'sha256-{_sha256(needs.script)}'"] if needs.script else []
    hashes = sorted({f"'sha256-{_sha256(style)}'" for style in styles})
    return "; ".join(
        (
            "default-src 'none'",
            *scripts,
            *(["frame-src 'self'"] if needs.frames and ancestors else []),
            " ".join(["style-src", *(hashes or ["'none'"])]),
            "img-src data:",
            "base-uri 'none'",
            f"form-action {needs.forms}",
            " ".join(["frame-ancestors", *(["'self'", *ancestors] if ancestors else ["'none'"])]),
        )
    )


def page_headers(
    policy: str, language: str, referrer: str, *, frames: bool = False
) -> tuple[tuple[str, str], ...]:
    """The header fields of a page; `frames` says that its policy lets others show it in a frame."""
    return (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", policy),
        ("X-Content-Type-Options", "nosniff"),
        *([] if frames else [("X-Frame-Options", "DENY")]),  # for browsers without frame-ancestors (RFC 7034)
        ("Content-Language", language),
        ("Referrer-Policy", referrer),
    )


class Reader(HTMLParser):
    """Parses a rendered page: `styles` are its style sheets; `refused` lists what the policy would block."""

    def __init__(self, html: str, needs: Needs = NOTHING) -> None:
        super().__init__()
        self._needs = needs
        self.styles: list[str] = []
        self.scripts: list[str] = []
        self.refused: list[str] = []
        self.feed(html)
        self.close()
        if any(script != needs.script for script in self.scripts):
            self.refused.append("has a <script> of its own, which the Content-Security-Policy refuses")
        if any(CANARY in style for style in self.styles):
            self.refused.append("writes a value into a <style>, which the policy knows by its hash only")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Check an element against the policy."""
        if tag == "style":
            self.styles.append("")
        if tag == "script":
            self.scripts.append("")
        if tag == "form" and self._needs.forms == NOTHING.forms:
            self.refused.append("has a <form>, which the Content-Security-Policy of these pages refuses")
        if CANARY in (tag, *(name for name, _ in attrs)):
            self.refused.append("writes a value without escaping it (|safe, autoescape false, missing quotes?)")
        for name, value in attrs:
            self._attribute(tag, name, value or "")

    def handle_data(self, data: str) -> None:
        """Collect the text of a style sheet or script; the parser may deliver it in parts."""
        if self.cdata_elem == "style":
            self.styles[-1] += data
        if self.cdata_elem == "script":
            self.scripts[-1] += data

    def _attribute(self, tag: str, name: str, value: str) -> None:
        if name == "style" or name.startswith("on"):
            self.refused.append(
                f"has the attribute {name}, which the Content-Security-Policy of these pages refuses"
            )
        loads = name in _LOADS or (tag == "link" and name == "href")
        is_frame = self._needs.frames and (tag, name) == ("iframe", "src")
        if loads and not is_frame and not value.startswith("data:"):
            self.refused.append(f"loads {value!r}; only data: images are let in")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
