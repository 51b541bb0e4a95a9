"""What time it is, for everything that lasts: a clock that no correction of the system's clock moves.

The law: durations are monotonic, dates are not. A session, a token and a pause last as long as they should,
although somebody sets the clock; only what leaves the house as a date is told by the system's clock.
"""

import time
from typing import Protocol

MOST_AHEAD = 24 * 3600.0
"""Seconds by which another process's clock may be ahead; with more, that machine is wrong, and is not believed."""


class System(Protocol):
    """The clocks of the machine, in seconds."""

    def wall(self) -> float:
        """Since the epoch; may be set at any time."""
        ...

    def monotonic(self) -> float:
        """Since any moment; never set, and stands still while the machine sleeps."""
        ...

    def slept(self) -> float:
        """How long the machine has slept since any moment."""
        ...


class _Machine:
    """The clocks of this machine."""

    wall = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    def slept(self) -> float:
        # Only Linux tells them apart. The one that counts sleep takes three times as long to read.
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) - time.monotonic()


MACHINE = _Machine()


class Clock:
    """Called, it tells seconds since the epoch: the system's at the start, and the time that has passed since."""

    def __init__(self, system: System = MACHINE) -> None:
        self._system = system
        self._monotonic = system.monotonic
        self._base = system.wall() - system.monotonic()
        self._slept = system.slept()

    def __call__(self) -> float:
        """Now."""
        return self._base + self._monotonic()

    def date(self, moment: float) -> float:
        """The date of a moment of this clock, for whoever compares it with the system's clock."""
        return moment - self() + self._system.wall()

    def wake(self) -> None:
        """Count the time for which the machine has slept: tokens ran out meanwhile. To be called now and then."""
        slept = self._system.slept()
        self._base += max(0.0, slept - self._slept)
        self._slept = slept

    def not_before(self, moment: float) -> bool:
        """Another process has seen this moment, so it is not before that; whether the moment could be believed.

        After a restart with the system's clock set back, sessions of before would else lie in the future.
        """
        ahead = moment - self()
        if ahead > MOST_AHEAD:
            return False
        self._base += max(0.0, ahead)
        return True
