"""Renders every form of a template once, with sample values, before a visitor gets a page of it.

The law: no value of a visitor becomes markup, and a page contains nothing that its Content-Security-Policy blocks.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.pages.files import TEMPLATE_FAILURES
from oauth_proxy.pages.policy import CANARY, NEEDS, NOTHING, Reader, content_security_policy
from oauth_proxy.pages.troubles import problem
from oauth_proxy.pages.typed import samples
from oauth_proxy.pages.words import Action

if TYPE_CHECKING:
    from oauth_proxy.pages.render import Page, Pages

# Sample values that would break out of an attribute, comment, title or style sheet if they were not escaped.
SAMPLE = f'Sample {CANARY} "--></title></style><{CANARY}>'
_SAMPLE_URL = f'/sample"--></title></style><{CANARY}>'


def rehearsed(pages: "Pages", template: str | None = None) -> dict[str, str]:
    """Render every form of this template, or of all, and return the policy of each by its name.

    Raises ConfigurationError with all that is wrong: it cannot be rendered, does not escape a value, or contains
    what its policy blocks.
    """
    policies, problems = dict[str, str](), list[str]()
    forms_of = _forms(pages)
    for name in [template] if template else forms_of:
        needs, styles = NEEDS.get(name, NOTHING), list[str]()
        for form in forms_of[name]:
            try:
                page = form()
            except TEMPLATE_FAILURES as error:
                problems.append(problem(name, error))
                continue
            reader = Reader(page.body.decode(), needs)
            styles += reader.styles
            problems += [f"{name}: the page {refused}" for refused in reader.refused]
        policies[name] = content_security_policy(styles, needs, pages.ancestors(name))
    if problems:
        raise ConfigurationError(list(dict.fromkeys(problems)))
    return policies


def _forms(pages: "Pages") -> dict[str, list[Callable[[], "Page"]]]:
    """All that each template may have to show, by its name."""
    url, text = _SAMPLE_URL, SAMPLE
    denied = partial(pages.not_allowed, switch_url=url, request_id=text)
    typed = partial(pages.typed, status=503, title=text, sentence=text, request_id=text)
    failed = partial(pages.error, status=503, title=text, sentence=text, request_id=text)
    return {
        "sign_in.html": [partial(pages.sign_in, start_url=url, leads_to=where) for where in (text, None)],
        "signed_in.html": [
            partial(pages.signed_in, email=email, name=name) for email in (text, None) for name in (text, None)
        ],
        "signed_out.html": [partial(pages.signed_out, start_url=url)],
        "sign_out.html": [partial(pages.sign_out, action=url, stay_url=url)],
        "leaving.html": [partial(pages.leaving, start_url=url, whole=whole) for whole in (None, text)],
        "not_allowed.html": [
            partial(denied, email=email, name=name) for email in (text, None) for name in (text, None)
        ],
        "frame.html": [partial(pages.frame, login_url=url, own_url=url)],
        "frame_end.html": [partial(pages.frame_end, own_url=url)],
        "error.html": [
            partial(failed, action=action) for action in (Action(text, url), Action(text, url, again=True), None)
        ],
        "typed.html": [partial(typed, **each) for each in samples(text, url)],
    }
