"""The base classes: a status, a text for the visitor, and a text for the log."""

import errno
import re
from collections.abc import Iterable
from pathlib import Path


class ConfigurationError(Exception):
    """The configuration cannot be used; `problems` has one sentence for each problem.

    `files` are those that it names, as far as is known: a change of one may mend it.
    """

    def __init__(self, problems: list[str], files: Iterable[Path] = ()) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.files = frozenset(files)


class MayPass(ConfigurationError):
    """It cannot be used now: a later attempt may work."""

    @staticmethod
    def fits(error: OSError) -> bool:
        """Whether a disk is full or fails, or too many files are open: no configuration has to be changed."""
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE)


class AddressUnavailable(MayPass):
    """An address is in use by another process."""


class ProxyError(Exception):
    """A request that gets a response of our own instead of the tool's."""

    status = 500
    title = "Something went wrong"
    sentence = "This page could not be shown because of a fault on our side."
    retry_after: int | None = None
    """Seconds after which a retry makes sense (RFC 9110 10.2.3)."""
    challenge: str | None = None
    """The WWW-Authenticate challenge (RFC 9110 11.6.1)."""

    def __init__(self, cause: str, *, retry_after: int | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.retry_after = retry_after or self.retry_after

    @classmethod
    def kind(cls) -> str:
        """The name of this kind of failure for programs, such as `sign_in_required`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    @property
    def name(self) -> str:
        """The failure's name for programs: its `kind`."""
        return self.kind()
