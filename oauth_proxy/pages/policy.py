"""The Content-Security-Policy of a page, and the reader that finds what it would refuse."""

import base64
import hashlib
from collections.abc import Iterable
from html.parser import HTMLParser

CANARY = "x-unescaped"
"""Put between < and > into every sample value; a page where it turns into markup does not escape."""

_LOADS = frozenset({"src", "srcset", "data", "poster", "background"})


def content_security_policy(styles: Iterable[str], *, with_form: bool = False) -> str:
    """The policy for a page whose <style> elements hold exactly these texts (CSP Level 3).

    Nothing is loaded, run, framed or submitted; only these styles and data: images are let in. The styles are
    named by their hashes, so the policy is the same for every visitor and needs no secret per answer.

    form-action is 'none', and the pages use links: browsers disagree on whether form-action also holds for
    the redirects that follow a submission, and the way to Frame.io is such a redirect. A link always works.
    A page `with_form` may submit it to this very site, which must not redirect then.
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
    """Reads one rendered page: `styles` are its style sheets, `refused` says what could not work in it."""

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
        """Note an element, and what the policy thinks of it."""
        if tag == "style":
            self.styles.append("")
        if tag in self._unwanted:
            self.refused.append(f"has a <{tag}>, which the Content-Security-Policy of these pages refuses")
        if CANARY in (tag, *(name for name, _ in attrs)):
            self.refused.append("writes a value without escaping it (|safe, autoescape false, missing quotes?)")
        for name, value in attrs:
            self._attribute(tag, name, value or "")

    def handle_data(self, data: str) -> None:
        """Collect the text of a style sheet, which the parser may hand over in parts."""
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
