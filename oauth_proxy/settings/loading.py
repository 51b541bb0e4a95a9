"""A file becomes Settings, or every problem in it becomes a line."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.settings import problems, source, syntax
from oauth_proxy.settings.addresses import public_url
from oauth_proxy.settings.checks import Reading
from oauth_proxy.settings.model import Settings
from oauth_proxy.settings.refusal import Refused, why

LARGEST_FILE = 1024 * 1024


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """The settings in this YAML file, variables out of `environ`.

    Raises ConfigurationError with a line `file:line:column: sentence` for each problem.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigurationError([f"{path}: the file cannot be read: {why(error)}"]) from None
    if len(content) > LARGEST_FILE:
        raise ConfigurationError([f"{path}: the file is larger than 1MiB, so it is not a configuration"])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        raise ConfigurationError([f"{path}:{line}:{column}: the file is not UTF-8 text"]) from None
    return parse(text, filename=str(path), environ=environ, folder=path.parent)


def parse(text: str, *, filename: str, environ: Mapping[str, str], folder: Path) -> Settings:
    """The settings in this YAML text; relative paths in it begin at `folder`.

    Raises ConfigurationError as `load` does, with `filename` in front of each line.
    """
    try:
        read = source.read(text, environ, folder)
    except syntax.Unreadable as error:
        raise ConfigurationError([f"{filename}:{error.place[0]}:{error.place[1]}: {error.sentence}"]) from None
    reading = Reading(folder.absolute(), _public_url(read.tree.get("public_url")))
    try:
        settings = Settings.model_validate(read.tree, context=reading)
    except ValidationError as error:
        read.problems += problems.found(read, error)
    else:
        if not read.problems:
            return settings
    raise ConfigurationError(problems.in_order(filename, read.problems))


def _public_url(written: source.Tree | None) -> str | None:
    """The public URL that the cookie's attributes depend on, None where it is not a good one."""
    try:
        return public_url(written) if isinstance(written, str) else None
    except Refused:
        return None
