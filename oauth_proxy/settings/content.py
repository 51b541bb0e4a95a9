"""Reads the files that a configuration names: at most so many bytes, and no wait without an end."""

import os
import select
import stat
import time
from pathlib import Path

PATIENCE = 5.0
"""Seconds in which a pipe or a terminal has to give something."""
_PIECE = 64 * 1024


def content(path: Path, most: int) -> bytes:
    """The first `most` bytes of a file, or of a pipe, such as a shell makes of `<(…)`.

    Raises OSError, which is a TimeoutError for a pipe in which nothing comes in time.
    """
    # Without O_NONBLOCK, opening a pipe waits until somebody opens its other end.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        waits = not stat.S_ISREG(os.fstat(descriptor).st_mode)
        until = time.monotonic() + PATIENCE
        pieces = b""
        while len(pieces) < most:
            if waits and not _is_readable(descriptor, until - time.monotonic()):
                raise TimeoutError(None, f"its end has not come out of this pipe within {PATIENCE:g} s", str(path))
            piece = os.read(descriptor, min(_PIECE, most - len(pieces)))
            if not piece:
                break
            pieces += piece
        return pieces
    finally:
        os.close(descriptor)


def _is_readable(descriptor: int, patience: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(1000 * max(0.0, patience)))


def is_pipe(path: Path) -> bool:
    """Whether a pipe is there, which gives its content once. Raises OSError."""
    return stat.S_ISFIFO(path.stat().st_mode)
