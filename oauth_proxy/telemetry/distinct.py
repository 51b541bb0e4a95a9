"""How many different names several processes have seen, together: each draws the same small sample of its own.

The sample has the names with the smallest hashes, so that the samples of all processes together hold the sample of
all their names. Up to MOST names are counted exactly; with more, the number is off by about 3 % (K minimum values,
Bar-Yossef et al. 2002).
"""

from collections.abc import Iterable
from heapq import nsmallest
from zlib import crc32

MOST = 1024
"""Hashes in a sample, which is ten kilobytes of JSON."""
_HASHES = 2**32


def drawn(names: Iterable[str]) -> list[int]:
    """The sample of these names, which must be random themselves, as ids of sessions are."""
    return nsmallest(MOST, {crc32(name.encode("utf-8", "surrogatepass")) for name in names})


def distinct(samples: Iterable[Iterable[int]]) -> int:
    """How many different names there are in all processes whose samples these are."""
    smallest = nsmallest(MOST, set().union(*samples))
    if len(smallest) < MOST:
        return len(smallest)
    return round((MOST - 1) * _HASHES / (smallest[-1] + 1))
