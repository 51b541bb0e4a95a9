"""The clock for all durations: changes of the system clock do not affect it.

The law: durations are monotonic, dates are not. A session, a token and a pause last as long as they should even if
somebody sets the system clock; only dates that the proxy sends to others use the system clock.
"""

import time
from typing import Protocol

MOST_AHEAD = 24 * 3600.0
"""Seconds by which another process's clock may be ahead. If it is more, its time is wrong and ignored."""


class System(Protocol):
    """The clocks of the machine, in seconds."""

    def wall(self) -> float:
        """Seconds since the epoch; somebody may set it at any time."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; nobody can set it, and it stops while the machine sleeps."""
        ...

    def slept(self) -> float:
        """Seconds that the machine has slept since an arbitrary moment."""
        ...


class _Machine:
    """The clocks of this machine."""

    wall = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    def slept(self) -> float:
        # Only Linux has both clocks. CLOCK_BOOTTIME, which counts sleep, takes three times as long to read.
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) - time.monotonic()


MACHINE = _Machine()


class Clock:
    """Call it for seconds since the epoch: the system's time at the start, plus the time passed since."""

    def __init__(self, system: System = MACHINE) -> None:
        self._system = system
        self._monotonic = system.monotonic
        self._base = system.wall() - system.monotonic()
        self._slept = system.slept()

    def __call__(self) -> float:
        """The present time."""
        return self._base + self._monotonic()

    def date(self, moment: float) -> float:
        """Convert a moment of this clock to the system clock's time, for others."""
        return moment - self() + self._system.wall()

    def wake(self) -> None:
        """Add the time that the machine has slept, because tokens expire meanwhile. Call it now and then."""
        slept = self._system.slept()
        self._base += max(0.0, slept - self._slept)
        self._slept = slept

    def not_before(self, moment: float) -> bool:
        """Advance the clock to a moment that another process has seen. Returns False if it is too far ahead.

        Otherwise, after a restart with the system clock set back, older sessions would lie in the future.
        """
        ahead = moment - self()
        if ahead > MOST_AHEAD:
            return False
        self._base += max(0.0, ahead)
        return True
