"""What is wrong with templates, in words for the people who wrote them."""

import traceback
from collections.abc import Iterator
from pathlib import Path

from jinja2 import TemplateNotFound, TemplateSyntaxError


def unreadable(folder: Path) -> list[str]:
    """The problems that prevent reading the templates in `folder`."""
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


def problem(template: str, error: Exception) -> str:
    """One line: the file and line where a template failed, and why."""
    place = next(_template_lines(error), template)
    if isinstance(error, TemplateNotFound):
        return f"{place}: there is no template {error.name}"
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"{place}: {reason}"


def _template_lines(error: Exception) -> Iterator[str]:
    """`file:line` of the template lines in the error's traceback, the innermost first."""
    if isinstance(error, TemplateSyntaxError):
        yield f"{error.filename or error.name}:{error.lineno}"
    # Jinja rewrites tracebacks, so that a template's frame has the template's own file and line.
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith("<") and not frame.filename.endswith(".py"):
            yield f"{frame.filename}:{frame.lineno}"
