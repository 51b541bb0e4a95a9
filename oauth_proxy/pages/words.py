"""What the pages say beside the texts of their templates. All of it is translated."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from oauth_proxy.errors import ProxyError


class Label(StrEnum):
    """What a link says by which to continue."""

    GO_TO = "Go to %(host)s"
    GO_TO_START = "Go to the start page"
    OPEN_SITE = "Open this site"
    SIGN_IN = "Sign in"
    SIGN_IN_AGAIN = "Sign in again"
    TRY_AGAIN = "Try again"


def texts() -> set[str]:
    """What the pages say beside the texts of their templates: labels, and the words of every failure."""
    found: set[str] = {label.value for label in Label}
    failures: list[type[ProxyError]] = [ProxyError]
    for failure in failures:
        found |= {failure.title, failure.sentence}
        failures += failure.__subclasses__()
    return found


class Action(NamedTuple):
    """A link by which to continue; `again` says that it is the address which just failed.

    Its label is translated, and then filled with `words` (`%(host)s`).
    """

    label: str
    url: str
    again: bool = False
    words: Mapping[str, str] | None = None
