"""The Content-Security-Policy of a page, and a parser that finds what the policy would block."""

import base64
import hashlib
from collections.abc import Iterable
from html.parser import HTMLParser

CANARY = "x-unescaped"
"""Stands between < and > in every sample value. If it becomes markup, the page does not escape values."""

_LOADS = frozenset({"src", "srcset", "data", "poster", "background"})


def content_security_policy(styles: Iterable[str], *, with_form: bool = False) -> str:
    """The policy for a page whose <style> elements hold exactly these texts (CSP Level 3).

    It blocks scripts, frames, forms and all loading, except these styles and data: images. The styles are named by
    hash, so the policy is the same for every visitor and needs no nonce per response.

    form-action is 'none', and the pages use links, because a link always works: browsers disagree on whether
    form-action also applies to redirects after a submission, and a login redirects to Frame.io. A page `with_form`
    may submit to this site, which must not redirect then.
    """
    hashes = sorted({f"'sha256-{_sha256(style)}'" for style in styles})
    return "; ".join(
        (
            "default-src 'none'",
            " ".join(["style-src", *(hashes or ["'none'"])]),
            "img-src data:",
            "base-uri 'none'",
            "form-action 'self'" if with_form else "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


class Reader(HTMLParser):
    """Parses a rendered page: `styles` are its style sheets; `refused` lists what the policy would block."""

    def __init__(self, html: str, *, with_form: bool = False) -> None:
        super().__init__()
        self._unwanted = ("script",) if with_form else ("script", "form")
        self.styles: list[str] = []
        self.refused: list[str] = []
        self.feed(html)
        self.close()
        if any(CANARY in style for style in self.styles):
            self.refused.append("writes a value into a <style>, which the policy knows by its hash only")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Check an element against the policy."""
        if tag == "style":
            self.styles.append("")
        if tag in self._unwanted:
            self.refused.append(f"has a <{tag}>, which the Content-Security-Policy of these pages refuses")
        if CANARY in (tag, *(name for name, _ in attrs)):
            self.refused.append("writes a value without escaping it (|safe, autoescape false, missing quotes?)")
        for name, value in attrs:
            self._attribute(tag, name, value or "")

    def handle_data(self, data: str) -> None:
        """Collect the text of a style sheet; the parser may deliver it in parts."""
        if self.cdata_elem == "style":
            self.styles[-1] += data

    def _attribute(self, tag: str, name: str, value: str) -> None:
        if name == "style" or name.startswith("on"):
            self.refused.append(
                f"has the attribute {name}, which the Content-Security-Policy of these pages refuses"
            )
        loads = name in _LOADS or (tag == "link" and name == "href")
        if loads and not value.startswith("data:"):
            self.refused.append(f"loads {value!r}; only data: images are let in")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
