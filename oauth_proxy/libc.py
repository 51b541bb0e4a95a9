"""Process settings of glibc and the Linux kernel. On other systems they do nothing."""

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = 32 * 1024 * 1024
_PR_SET_DUMPABLE = 4
_UNKNOWN = (AttributeError, OSError, TypeError)
"""Errors on other systems or other C libraries."""


def dump_no_core() -> None:
    """Prevent core dumps, because they contain secrets (setrlimit(2), prctl(2)).

    The limit alone is not enough: a system that pipes core dumps to a program ignores it.
    """
    with suppress(ImportError):  # a system without limits
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(*_UNKNOWN):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, *map(ctypes.c_ulong, (0, 0, 0, 0)))


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next chunks of a body (mallopt(3)).

    By default it returns large blocks to the system at once. The page faults on reuse take half the time of a
    download.
    """
    with suppress(*_UNKNOWN):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT)


def give_back_memory() -> None:
    """Return free memory to the system (malloc_trim(3)), so that a past peak of load does not hold memory.

    It takes about a third of a millisecond per returned MiB.
    """
    with suppress(*_UNKNOWN):
        ctypes.CDLL(None).malloc_trim(0)
