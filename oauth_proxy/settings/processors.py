"""How many processors this process may use."""

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""What a container may use: `<microseconds> <of microseconds>`, or `max …` (Linux's cgroup v2)."""
_MOST = 128


def processors() -> int:
    """The processors that this process may use, at least one. In a container, those that it was given."""
    try:
        own = len(os.sched_getaffinity(0))
    except AttributeError:  # no Linux
        own = os.cpu_count() or 1
    return max(1, min(own, _quota(), _MOST))


def _quota() -> int:
    try:
        granted, period = _QUOTA.read_text("ascii").split()
        return _MOST if granted == "max" else math.ceil(int(granted) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return _MOST
