"""A circuit breaker: while the provider cannot be reached, only a probe now and then tests whether it is back.

The law: one owner's failures are no evidence. Only ProviderAway failures of several owners in a row open the
breaker, and any response below 500 closes it.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oauth_proxy.errors import ProviderAway, ProviderPaused, ProxyError

OWNERS = 3
"""Number of different owners whose calls must fail in a row to open it."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
"""Seconds until the first probe, and most seconds between two probes; each wait is twice the last."""


class Breaker:
    """The breaker for one service of the provider. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failing: set[str] = set()
        self._wait = 0.0
        self._probe_at = 0.0
        self._probe: object = None

    @property
    def is_open(self) -> bool:
        """Whether calls are refused."""
        return self._wait > 0

    def check(self) -> None:
        """Raises ProviderPaused if a call would be refused now."""
        if self.is_open and (self._probe or self._clock() < self._probe_at):
            left = max(1, math.ceil(self._probe_at - self._clock()))
            raise ProviderPaused("the provider is away and is not asked again yet", retry_after=left)

    @contextmanager
    def call(self, owner: str, *, held: bool = True) -> Iterator[None]:
        """Wrap one call for `owner`. Unless `held` is false, raises ProviderPaused like `check`.

        While the breaker is open, a call that passes `check` is the probe. Only one probe runs at a time; when it
        ends, also when it is cancelled, the next may start.
        """
        if held:
            self.check()
        probe = object() if held and self.is_open else None
        self._probe = probe or self._probe
        try:
            yield
        except ProviderAway:
            self._failed(owner, was_probe=probe is not None and probe is self._probe)
            raise
        except ProxyError:
            self._answered()
            raise
        else:
            self._answered()
        finally:
            if self._probe is probe:
                self._probe = None

    def _failed(self, owner: str, *, was_probe: bool) -> None:
        """Count a failure. One that began before the breaker opened is not counted again."""
        if self.is_open and not was_probe:
            return
        if len(self._failing) < OWNERS:
            self._failing.add(owner)
        if len(self._failing) == OWNERS:
            self._wait = min(self._wait * 2 or FIRST_WAIT, LONGEST_WAIT)
            self._probe_at = self._clock() + self._wait

    def _answered(self) -> None:
        self._failing.clear()
        self._wait = 0.0
        self._probe = None
