"""What glibc does with freed memory (mallopt(3), malloc_trim(3)); another C library does as it likes."""

import asyncio
import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = 32 * 1024 * 1024
REST = 30.0
"""Seconds after which the system gets back what is free: a crowd that has left shall not be seen for ever."""


def keep_freed_memory() -> None:
    """Keep what is free for the next pieces of a body.

    glibc gives large ones back at once, and each page comes back with a fault: half a download's time.
    """
    with suppress(AttributeError, OSError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT)


async def give_back() -> None:
    """Give the system what is free, again and again: about a millisecond, or a third of one for each MiB."""
    with suppress(AttributeError, OSError, TypeError):
        libc = ctypes.CDLL(None)
        while True:
            await asyncio.sleep(REST)
            libc.malloc_trim(0)
