"""The files of the pages: our templates, and before them the folder that operators bring.

The law: ours are read while the package is imported, so that all processes of a proxy have those of its version,
whatever becomes of the installation.
"""

from importlib.resources import files
from pathlib import Path

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    DictLoader,
    FileSystemLoader,
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


def _read(folder: str) -> dict[str, str]:
    """The texts of a folder of this package, by their names."""
    return {file.name: file.read_text("utf-8") for file in (files("oauth_proxy.pages") / folder).iterdir()}


_FOR_VISITORS = _read("templates")
FOR_OPERATORS = DictLoader(_read("operators"))


def loader(templates: Path | None) -> BaseLoader:
    """Finds templates: those of the folder go before ours, which are "ours/…", too."""
    ours = DictLoader(_FOR_VISITORS)
    theirs = [FileSystemLoader(templates)] if templates else []
    return ChoiceLoader([*theirs, ours, PrefixLoader({"ours": ours})])
