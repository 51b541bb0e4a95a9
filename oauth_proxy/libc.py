"""What the process asks of its C library and kernel before it serves; others than glibc and Linux are let be."""

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = 32 * 1024 * 1024
_PR_SET_DUMPABLE = 4
_UNKNOWN = (AttributeError, OSError, TypeError)
"""What another system, or another C library, answers with."""


def dump_no_core() -> None:
    """Keep secrets out of core dumps, whoever crashes this process (setrlimit(2), prctl(2)).

    The limit alone would not do: where the system pipes cores to a program, that gets them all the same.
    """
    with suppress(ImportError):  # a system without limits
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(*_UNKNOWN):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, *map(ctypes.c_ulong, (0, 0, 0, 0)))


def keep_freed_memory() -> None:
    """Have glibc keep what is free for the next pieces of a body (mallopt(3)).

    It gives large ones back to the system at once, and each page comes back with a fault: half a download's time.
    """
    with suppress(*_UNKNOWN):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT)


def give_back_memory() -> None:
    """Give the system what is free (malloc_trim(3)): a crowd that has left shall not be seen for ever.

    It takes about a third of a millisecond for each MiB that goes back.
    """
    with suppress(*_UNKNOWN):
        ctypes.CDLL(None).malloc_trim(0)
