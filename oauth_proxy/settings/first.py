"""A first file, with the answers that are known; what is wrong with an answer is told as `check` tells it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.settings.documents import template
from oauth_proxy.settings.loading import parse

_APP = {"FRAMEIO_CLIENT_ID": "an-id", "FRAMEIO_CLIENT_SECRET": "a-secret"}
"""Variables that the file names, which may be set later."""
_BY_VARIABLE = "  client_secret: ${FRAMEIO_CLIENT_SECRET}\n"
_RULES = ("account", "team", "emails_file", "group", "email")
_PLACES = {
    "public_url:": "--public-url",
    "listen:": "--listen",
    "client_id:": "--client-id",
    "client_secret_file:": "--client-secret-file",
    "store:": "--store",
    "upstreams:": "--upstream",
    "allow:": "--allow",
}
"""By which option a value was given, by the key above it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What is known of a first file; None or an empty tuple leaves what the template has.

    Texts are as the file has them. An upstream is a URL, or PATH=URL; whom to `allow` is `everyone`, an email
    pattern, or a rule as key:value. With `pkce`, the app has no secret.
    """

    public_url: str | None = None
    listen: str | None = None
    upstreams: tuple[str, ...] = ()
    client_id: str | None = None
    client_secret_file: str | None = None
    pkce: bool = False
    allow: tuple[str, ...] = ()
    store: str | None = None


def first_file(
    api: Literal["v2", "v4"], secret: str, answers: Answers, file: Path, environ: Mapping[str, str]
) -> str:
    """The text of a first file that will lie at `file`.

    Raises ConfigurationError with a line `option: message (did you mean …?)` for each answer that cannot be used.
    """
    text = template(api, secret)
    for old, new in _changes(answers):
        if text.count(old) != 1:
            raise LookupError(f"the template has no line {old!r}")
        text = text.replace(old, new)
    try:
        parse(text, filename="", environ={**_APP, **environ}, folder=file.parent)
    except ConfigurationError as error:
        raise ConfigurationError([_at_option(text, each) for each in error.problems]) from None
    return text


def _changes(answers: Answers) -> list[tuple[str, str]]:
    """The lines of the template to replace, and what takes their place."""
    changes: list[tuple[str, str]] = []
    if answers.public_url is not None:
        changes.append(("public_url: https://review.example.com\n", f"public_url: {_text(answers.public_url)}\n"))
    if answers.listen is not None:
        changes.append(("#listen: 127.0.0.1:4180\n", f"listen: {_text(answers.listen)}\n"))
    if answers.client_id is not None:
        changes.append(("client_id: ${FRAMEIO_CLIENT_ID}\n", f"client_id: {_text(answers.client_id)}\n"))
    if answers.client_secret_file is not None:
        changes.append((_BY_VARIABLE, f"  client_secret_file: {_text(answers.client_secret_file)}\n"))
    elif answers.pkce:
        changes.append((_BY_VARIABLE, f"  #{_BY_VARIABLE.lstrip()}"))
    if answers.store is not None:
        changes.append(("  #store: cookie\n", f"  store: {_text(answers.store)}\n"))
    if answers.upstreams:
        changes.append(("  /: http://127.0.0.1:3000\n", "".join(map(_upstream, answers.upstreams))))
    if answers.allow:
        rules = "".join(f"    - {_rule(each)}\n" for each in answers.allow)
        changes.append(('    - email: "*@example.com"\n', rules))
    return changes


def _text(text: str) -> str:
    """The text in YAML: plain where that is surely the same, else between quotes, as in JSON."""
    plain = re.fullmatch(r"/|[A-Za-z0-9/$][A-Za-z0-9/._:${}+@-]*[A-Za-z0-9/_}]", text)
    return text if plain else json.dumps(text, ensure_ascii=False)


def _upstream(text: str) -> str:
    path, equals, url = text.partition("=") if text.startswith("/") else ("/", "=", text)
    return f"  {_text(path)}: {_text(url)}\n" if equals else f"  /: {_text(text)}\n"


def _rule(text: str) -> str:
    key, colon, value = text.partition(":")
    if colon and key in _RULES:
        return f"{key}: {_text(value.strip())}"
    return f"email: {json.dumps(text)}" if "@" in text and ":" not in text else _text(text)


def _at_option(text: str, problem: str) -> str:
    """The problem with the option in front that its line was made from."""
    _, line, _, message = problem.split(":", 3)
    for above in reversed(text.splitlines()[: int(line)]):
        key = above.split(maxsplit=1)[0] if above.strip() else ""
        if key in _PLACES:
            return f"{_PLACES[key]}:{message}"
    return f"the file would not be good:{message}"
