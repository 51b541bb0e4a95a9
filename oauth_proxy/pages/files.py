"""The files of the pages: our templates, and before them the folder that operators bring."""

from pathlib import Path

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    FileSystemLoader,
    PackageLoader,
    PrefixLoader,
    TemplateError,
)

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


def loader(templates: Path | None) -> BaseLoader:
    """Finds templates: those of the folder go before ours, which are "ours/…", too."""
    ours = PackageLoader("oauth_proxy.pages")
    theirs = [FileSystemLoader(templates)] if templates else []
    return ChoiceLoader([*theirs, ours, PrefixLoader({"ours": ours})])
