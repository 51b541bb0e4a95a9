"""Templates in Jinja2: where they are found, and how they are compiled.

The law: whatever a template shows is escaped, and a name that has no value is an error. This module is imported
with the first page, because Jinja2 takes a tenth of a start.
"""

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
    pass_context,
)
from jinja2.runtime import Context

from oauth_proxy.pages.languages import Language

# Errors of templates: Jinja's, and others, as templates compute, look up, read files and include themselves.
TEMPLATE_FAILURES = (
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


def for_visitors(templates: Path | None) -> Environment:
    """The templates of visitors' pages: those of the folder go before ours, which are "ours/…", too.

    `_` in a template is a text in the language of the page.
    """
    ours = PackageLoader("oauth_proxy.pages")
    theirs = [FileSystemLoader(templates)] if templates else []
    environment = _environment(ChoiceLoader([*theirs, ours, PrefixLoader({"ours": ours})]))
    environment.globals["_"] = _said
    return environment


def for_operators() -> Environment:
    """The templates of operators' pages, which nobody can replace."""
    return _environment(PackageLoader("oauth_proxy.pages", "operators"))


def _environment(loader: BaseLoader) -> Environment:
    return Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,  # a changed template is used after a restart, which tests it
    )


@pass_context
def _said(context: Context, text: str) -> str:
    """A text of a template, in the language of the page."""
    language: Language = context["language"]
    return language.say(text)
