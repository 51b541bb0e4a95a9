"""What was found about one thing: whether it is well, what that means, and what to do where it is not."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from oauth_proxy.quotes import of_system, quoted

DEADLINE = 20.0
"""Seconds for one check, after which it counts as failed; all of them run at the same time."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the answer: `means` is a sentence about the `subject`; `advice` is empty where all is well."""

    subject: str
    is_well: bool
    means: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """Something to find out. `subject` says what is waited for."""

    subject: str
    find: Callable[[], Awaitable[Sequence[Finding]]]


def well(subject: str, means: str) -> list[Finding]:
    """One finding, of something that works."""
    return [Finding(subject, True, means)]


def wrong(subject: str, means: str, advice: str) -> list[Finding]:
    """One finding, of something that has to be mended."""
    return [Finding(subject, False, means, advice)]


def said(error: BaseException) -> str:
    """What an error of the system or of a library says, in one printable line."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = str(getattr(error, "strerror", None) or error)
    if text.startswith("Connect call failed"):
        text = of_system(error)
    text = text.rstrip(".")  # a full stop follows
    return quoted(text)[1:-1] if text else type(error).__name__
