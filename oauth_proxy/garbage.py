"""What the garbage collector need not look at."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def keep_all() -> None:
    """Never look again at what exists now: it stays, and to look at it writes to it, which workers share."""
    with suppress(AttributeError):  # only CPython has this call
        gc.freeze()


@contextmanager
def only_imports() -> Iterator[None]:
    """Look for no garbage meanwhile, and then `keep_all`. To look while we import takes a seventh of a start.

    Where nothing is imported, as at most reloads, nothing is kept: what else exists may become garbage.
    """
    before = len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > before:
            keep_all()
        gc.enable()
