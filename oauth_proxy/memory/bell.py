"""Tells the workers of one proxy at once that one of them has published an end.

The law: a worker that decides about a request after another has rung reads the other's ends first. So a sign-out
at one worker holds at every other before its response is sent.
"""

import secrets
from mmap import mmap

_SIZE = 8


class Bell:
    """Eight bytes of memory that forked processes share. Create it before the fork."""

    def __init__(self) -> None:
        self._shared = mmap(-1, _SIZE)

    def ring(self) -> None:
        """Tell all workers. Call this when what they shall read is published.

        The bytes are random, so that no two rings look the same and no worker has to count under a lock.
        """
        self._shared[:] = secrets.token_bytes(_SIZE)

    def heard(self) -> bytes:
        """What was rung last. If it differs from what the caller saw before, there is something to read."""
        return self._shared[:]
