"""What time it is, for everything that lasts: a clock that no correction of the system's clock moves.

The law: durations are monotonic, dates are not. A session, a token and a pause last as long as they should,
although somebody sets the clock; only what leaves the house as a date is told by the system's clock.
"""

import time
from typing import Protocol

MOST_AHEAD = 24 * 3600.0
"""Seconds by which another process's clock may be ahead; with more, that machine is wrong, and is not believed."""


class System(Protocol):
    """The two clocks of the machine, in seconds."""

    def wall(self) -> float:
        """Since the epoch; may be set at any time."""
        ...

    def monotonic(self) -> float:
        """Since any moment; never set, and counts while the machine sleeps."""
        ...


class _Machine:
    """The clocks of this machine."""

    def wall(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        # Linux stops CLOCK_MONOTONIC while the machine sleeps; tokens go on running out.
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


MACHINE = _Machine()


class Clock:
    """Called, it tells seconds since the epoch: the system's at the start, and the time that has passed since."""

    def __init__(self, system: System = MACHINE) -> None:
        self._wall = system.wall
        self._monotonic = system.monotonic
        self._base = system.wall() - system.monotonic()

    def __call__(self) -> float:
        """Now."""
        return self._base + self._monotonic()

    def date(self, moment: float) -> float:
        """The date of a moment of this clock, for whoever compares it with the system's clock."""
        return moment - self() + self._wall()

    def not_before(self, moment: float) -> bool:
        """Another process has seen this moment, so it is not before that; whether the moment could be believed.

        After a restart with the system's clock set back, sessions of before would else lie in the future.
        """
        ahead = moment - self()
        if ahead > MOST_AHEAD:
            return False
        self._base += max(0.0, ahead)
        return True
