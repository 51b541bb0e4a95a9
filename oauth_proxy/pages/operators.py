"""Renders the pages for operators: the status page, and what can be done there.

The law: their Content-Security-Policy allows the one style sheet of their frame and no script. Forms
go to this site.
"""

from dataclasses import replace
from functools import cached_property
from typing import Any

from jinja2 import Environment, StrictUndefined

from oauth_proxy.pages.files import FOR_OPERATORS
from oauth_proxy.pages.policy import Needs, Reader, content_security_policy
from oauth_proxy.pages.render import Page


class OperatorPages:
    """The pages of the proxy of one site, whose `name` is on top. Nobody can replace their templates."""

    def __init__(self, *, name: str) -> None:
        self._environment = Environment(
            loader=FOR_OPERATORS,
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals["site"] = name

    @cached_property
    def _policy(self) -> str:
        frame = self._environment.get_template("frame.html").render()
        needs = Needs(forms="'self'")
        return content_security_policy(Reader(frame, needs).styles, needs)

    def status(self, *, refresh: int | None, **values: Any) -> Page:
        """The status page; the first lines of status.html say which values it has.

        The browser asks for it again after so many seconds; with None it does not.
        """
        return _again(self._page("status.html", 200, refresh=refresh, **values), refresh)

    def people(self, **values: Any) -> Page:
        """Everybody who is signed in."""
        return self._page("people.html", 200, **values)

    def settings(self, *, text: str) -> Page:
        """The settings in effect, as YAML without secrets."""
        return self._page("settings.html", 200, text=text)

    def ask(self, *, command: str, subject: str | None, title: str, label: str, form: str) -> Page:
        """The question whether to do something; the button labelled so sends `form`."""
        values = {"command": command, "subject": subject, "title": title, "label": label, "form": form}
        return self._page("ask.html", 200, **values)

    def told(
        self, status: int, title: str, sentence: str, *, lines: list[str] | None = None, refresh: int | None = None
    ) -> Page:
        """A sentence, and perhaps a list of lines below it. `refresh` is as for the status page."""
        page = self._page("told.html", status, title=title, sentence=sentence, lines=lines or [])
        return _again(page, refresh)

    def _page(self, template: str, status: int, /, **values: Any) -> Page:
        text = self._environment.get_template(template).render(values)
        headers = (
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", self._policy),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),  # for browsers without frame-ancestors (RFC 7034)
            # Another site that opens this page gets no hold of its window, and none of its bytes (Fetch 3.7).
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Referrer-Policy", "same-origin"),  # with `no-referrer` a form's Origin is "null" (Fetch 3.2)
        )
        # A profile may contain a lone surrogate, which UTF-8 cannot encode: it becomes "?".
        return Page(status, text.encode(errors="replace"), headers)


def _again(page: Page, seconds: int | None) -> Page:
    """The page as the browser asks for it again (HTML, 7.5.1); an element in it would do the same."""
    return replace(page, headers=(*page.headers, ("Refresh", f"{seconds};url=/"))) if seconds else page
