"""Why we end what is open: the code and the words that a WebSocket's Close frame carries (RFC 6455 7.4).

Whoever ends an exchange cancels its task with an Ending as the message; what has no use for it is just cancelled.
"""

from asyncio import CancelledError
from typing import NamedTuple


class Ending(NamedTuple):
    """A status code, and a reason of at most 123 bytes that a page's script can read."""

    code: int
    reason: str


STOPPING = Ending(1001, "going away")
SESSION_OVER = Ending(4401, "session ended")
"""4000 to 4999 are for private use; the last three digits are those of HTTP."""

GONE = "the client went away"
"""The cause in the log when it was not us who ended it."""


def ending_of(cancelled: CancelledError) -> Ending | None:
    """Return the Ending that a task was cancelled with, or None."""
    found = cancelled.args[0] if cancelled.args else None
    return found if isinstance(found, Ending) else None
