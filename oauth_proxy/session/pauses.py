"""Who is left alone for a while after a failure of their own, and for longer after each; nobody else waits."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oauth_proxy.bounded import Bounded
from oauth_proxy.errors import ProviderBusy, ProviderPaused, ProviderUnavailable
from oauth_proxy.identity import Session

log = logging.getLogger(__name__)

FIRST, LONGEST = 1.0, 30.0
"""Seconds of the first pause, and of the longest that is not asked for."""
_REMEMBERED = 4096
_NONE = (0.0, 0.0)


class Pauses:
    """Pauses of sessions' own. `what` failed, for the log; `clock` tells seconds that never go back."""

    def __init__(self, what: str, clock: Callable[[], float]) -> None:
        self._what = what
        self._clock = clock
        self._until = Bounded[str, tuple[float, float]](_REMEMBERED)

    def left(self, session_id: str) -> float:
        """Seconds for which this one is still left alone; 0 when it is not."""
        until, _ = self._until.get(session_id) or _NONE
        return max(0.0, until - self._clock())

    @contextmanager
    def after_failures_of(self, session: Session) -> Iterator[None]:
        """Around a question for this session: a ProviderUnavailable begins a pause, and success ends them.

        ProviderPaused does not: that Frame.io is away is no failure of this session's.
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
