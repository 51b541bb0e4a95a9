"""Pause provider calls for a session after they fail, longer after each failure; other sessions are not paused."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oauth_proxy.bounded import Bounded
from oauth_proxy.errors import ProviderBusy, ProviderPaused, ProviderUnavailable
from oauth_proxy.identity import Session

log = logging.getLogger(__name__)

FIRST, LONGEST = 1.0, 30.0
"""Seconds of the first pause, and of the longest one that the provider did not ask for (Retry-After)."""
_REMEMBERED = 4096
_NONE = (0.0, 0.0)


class Pauses:
    """The pause of each session. `what` describes the failure in the log; `clock` returns monotonic seconds."""

    def __init__(self, what: str, clock: Callable[[], float]) -> None:
        self._what = what
        self._clock = clock
        self._until = Bounded[str, tuple[float, float]](_REMEMBERED)

    def left(self, session_id: str) -> float:
        """Seconds that are left of the session's pause; 0 when there is none."""
        until, _ = self._until.get(session_id) or _NONE
        return max(0.0, until - self._clock())

    @contextmanager
    def after_failures_of(self, session: Session) -> Iterator[None]:
        """Wrap a provider call for this session: ProviderUnavailable starts a longer pause, success resets it.

        ProviderPaused starts none: when Frame.io cannot be reached, that is not a failure of this session.
        """
        try:
            yield
        except ProviderPaused:
            raise
        except ProviderUnavailable as error:
            pause = self._failed(session.id, (isinstance(error, ProviderBusy) and error.retry_after) or 0)
            user = {"user": session.identity.id}
            log.warning("%s, asking again in %.0f s: %s", self._what, pause, error.cause, extra=user)
            raise
        self._until.drop(session.id)

    def _failed(self, session_id: str, at_least: float) -> float:
        _, length = self._until.get(session_id) or _NONE
        length = min(length * 2 or FIRST, LONGEST)
        pause = max(length, at_least)
        self._until.keep(session_id, (self._clock() + pause, length))
        return pause
