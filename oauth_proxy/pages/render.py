"""Templates and values in, pages out.

The law: every template is rendered once before the first visitor comes. A template that cannot be rendered
stops the start, and the styles found then are the only ones the Content-Security-Policy lets in, so nothing
a visitor sends can add to them.
"""

import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
)

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.pages.policy import CANARY, Reader, content_security_policy

# What may be linked to: a path of this site or an absolute web address. Browsers drop tabs and line breaks
# inside a URL and read a backslash as a slash (WHATWG URL 4.4), so neither may stand in one.
_WEB_ADDRESS = re.compile(r"(?:https?://|/(?!/))[^\x00-\x20\x7f\\]*", re.IGNORECASE)

# What a template can raise besides Jinja's own errors: it computes, looks up, reads files, includes itself.
_TEMPLATE_FAILURES = (
    TemplateError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)

_WITH_FORM = "sign_out.html"

# Values that would leave an attribute, a comment, a title or a style sheet if a template let them.
_SAMPLE = f'Sample {CANARY} "--></title></style><{CANARY}>'
_SAMPLE_URL = f'/sample"--></title></style><{CANARY}>'


@dataclass(frozen=True, slots=True)
class Page:
    """An answer for a browser: `body` is UTF-8 HTML; `headers` lack only what every answer of ours carries."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


class Pages:
    """The pages of one site, under the name visitors know it by.

    Args:
        name: the name of the site, shown on top of every page.
        templates: a folder whose files replace ours of the same name (base.html, sign_in.html,
            signed_out.html, sign_out.html, not_allowed.html, error.html). They may extend or include ours as
            "ours/…", and bring files of their own. Read once, now.

    Raises:
        ConfigurationError: the folder is not there, or a template in it cannot be compiled, fails with sample
            values, writes a value unescaped, or holds what the Content-Security-Policy refuses.
    """

    def __init__(self, *, name: str, templates: Path | None = None) -> None:
        if templates is not None and (problems := _unreadable(templates)):
            raise ConfigurationError(problems)
        self._environment = Environment(
            loader=_loader(templates),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,  # an edit counts after a restart, when it is rehearsed
        )
        self._environment.globals["site"] = name
        self._policies: dict[str, str] = {}
        self._rehearse()

    def sign_in(self, *, start_url: str) -> Page:
        """The page that offers to sign in, 200; `start_url` begins a login."""
        return self._page("sign_in.html", 200, start_url=_link(start_url))

    def signed_out(self, *, start_url: str) -> Page:
        """The page after sign-out, 200; `start_url` begins a new login."""
        return self._page("signed_out.html", 200, start_url=_link(start_url))

    def sign_out(self, *, action: str) -> Page:
        """The question whether to sign out, 200; its form posts to `action`, a path of this site."""
        return self._page(_WITH_FORM, 200, action=_link(action))

    def not_allowed(self, *, email: str | None, name: str | None, switch_url: str, request_id: str) -> Page:
        """The page for somebody who is signed in but may not enter, 403.

        It says as whom they are signed in, as far as that is known; `switch_url` lets them sign in as
        somebody else.
        """
        return self._page(
            "not_allowed.html",
            403,
            email=email,
            name=name,
            switch_url=_link(switch_url),
            request_id=request_id,
        )

    def error(
        self, *, status: int, title: str, sentence: str, action: tuple[str, str] | None, request_id: str
    ) -> Page:
        """The page for a failure, answered with `status`.

        `action` is the label and URL of the way on, or None where there is none. `request_id` is what the
        visitor can tell the people who read the log.
        """
        way_on = {"label": action[0], "url": _link(action[1])} if action else None
        return self._page(
            "error.html",
            status,
            status=status,
            title=title,
            sentence=sentence,
            action=way_on,
            request_id=request_id,
        )

    def _page(self, template: str, status: int, /, **values: object) -> Page:
        text = self._environment.get_template(template).render(values)
        headers = (
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", self._policies.get(template, "")),  # empty in its own rehearsal only
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),  # frame-ancestors, for browsers that do not know it (RFC 7034)
            # Under `no-referrer` a form's Origin would be "null" (Fetch 3.2), as another site's may be.
            ("Referrer-Policy", "same-origin" if template == _WITH_FORM else "no-referrer"),
        )
        # A profile may hold half a surrogate pair (JSON allows it), which UTF-8 cannot: shown as "?".
        return Page(status, text.encode(errors="replace"), headers)

    def _rehearse(self) -> None:
        """Render each template in each of its forms; what it needs becomes its policy, what fails is told."""
        problems: list[str] = []
        for template, forms in self._forms().items():
            styles: list[str] = []
            for form in forms:
                try:
                    page = form()
                except _TEMPLATE_FAILURES as error:
                    problems.append(_problem(template, error))
                    continue
                reader = Reader(page.body.decode(), with_form=template == _WITH_FORM)
                styles += reader.styles
                problems += [f"{template}: the page {refused}" for refused in reader.refused]
            self._policies[template] = content_security_policy(styles, with_form=template == _WITH_FORM)
        if problems:
            raise ConfigurationError(list(dict.fromkeys(problems)))

    def _forms(self) -> dict[str, list[Callable[[], Page]]]:
        url, text = _SAMPLE_URL, _SAMPLE
        denied = partial(self.not_allowed, switch_url=url, request_id=text)
        failed = partial(self.error, status=503, title=text, sentence=text, request_id=text)
        return {
            "sign_in.html": [partial(self.sign_in, start_url=url)],
            "signed_out.html": [partial(self.signed_out, start_url=url)],
            _WITH_FORM: [partial(self.sign_out, action=url)],
            "not_allowed.html": [
                partial(denied, email=email, name=name) for email in (text, None) for name in (text, None)
            ],
            "error.html": [partial(failed, action=action) for action in ((text, url), None)],
        }


def _loader(templates: Path | None) -> BaseLoader:
    ours = PackageLoader("oauth_proxy.pages")
    theirs = [FileSystemLoader(templates)] if templates else []
    return ChoiceLoader([*theirs, ours, PrefixLoader({"ours": ours})])


def _unreadable(folder: Path) -> list[str]:
    """What keeps the templates in `folder` from being read at all."""
    if not folder.is_dir():
        return [f"{folder}: there is no such folder of page templates"]
    problems = []
    for path in sorted(folder.glob("*.html")):
        try:
            path.read_text("utf-8")
        except UnicodeDecodeError as error:
            problems.append(f"{path}: not UTF-8: {error.reason} at byte {error.start}")
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
    return problems


def _link(url: str) -> str:
    """`url` if it leads to a web page, else the front door: a link never runs a script."""
    return url if _WEB_ADDRESS.fullmatch(url) else "/"


def _problem(template: str, error: Exception) -> str:
    """Where in which file a template failed, and why, in one line."""
    place = next(_template_lines(error), template)
    if isinstance(error, TemplateNotFound):
        return f"{place}: there is no template {error.name}"
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"{place}: {reason}"


def _template_lines(error: Exception) -> Iterator[str]:
    """`file:line` of the template lines the error came through, the innermost first."""
    if isinstance(error, TemplateSyntaxError):
        yield f"{error.filename or error.name}:{error.lineno}"
    # Jinja rewrites tracebacks so that a frame of a template names the template's own file and line.
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith("<") and not frame.filename.endswith(".py"):
            yield f"{frame.filename}:{frame.lineno}"
