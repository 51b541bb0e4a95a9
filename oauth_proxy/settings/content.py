"""Reads the files that a configuration names: at most so many bytes, and no wait without an end."""

import codecs
import os
import select
import stat
import time
from pathlib import Path

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.settings.problems import reason

PATIENCE = 5.0
"""Seconds in which a pipe or a terminal has to give something."""
_LARGEST = 1024 * 1024
_USUAL_NAMES = ("oauth-proxy.yaml", "proxy.yaml", "config.yaml")
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


def text_of(path: Path) -> str:
    """The text of a configuration file. Raises ConfigurationError with the one thing that is wrong with it."""
    try:
        written = content(path, _LARGEST + 1)
    except IsADirectoryError:
        inside = next((path / name for name in _USUAL_NAMES if (path / name).is_file()), None)
        meant = f" (did you mean {inside}?)" if inside else ""
        raise ConfigurationError([f"{path}: this is a folder, and a file is wanted{meant}"]) from None
    except OSError as error:
        raise ConfigurationError([f"{path}: the file cannot be read: {reason(error)}"]) from None
    if len(written) > _LARGEST:
        raise ConfigurationError([f"{path}: the file is larger than 1MiB, so it is not a configuration"])
    if written.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigurationError([f"{path}: the file is UTF-16 text; save it as UTF-8"])
    if b"\0" in written:
        raise ConfigurationError([f"{path}: this is not a text file, so it is not a configuration"])
    try:
        return written.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = written[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        raise ConfigurationError([f"{path}:{line}:{column}: the file is not UTF-8 text"]) from None
