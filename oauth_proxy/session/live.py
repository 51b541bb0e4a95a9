"""Requests under way, so that a session's end reaches everything it has open, and what is open counts as use."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

from oauth_proxy.identity import Session

_REMEMBERED = 65_536
"""Sessions whose last use is remembered."""


@dataclass(slots=True, eq=False)
class _Open:
    """What one session has open; the session as it was when that began."""

    session: Session
    tasks: dict["asyncio.Task[object]", bool] = field(default_factory=dict)
    """Each with whether it is a stream, which does not end by itself."""


class Live:
    """`clock` tells seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: dict[str, _Open] = {}
        self._used: OrderedDict[str, float] = OrderedDict()
        self._held: OrderedDict[str, float] = OrderedDict()

    def enter(self, session: Session, *, stream: bool) -> None:
        """The current task carries an exchange of this session, until `leave`; `sweep` may cancel it."""
        opened = self._open.get(session.id)
        if opened is None:
            opened = self._open[session.id] = _Open(session)
        # a request is always answered in a task
        opened.tasks[cast("asyncio.Task[object]", asyncio.current_task())] = stream

    def leave(self, session: Session) -> None:
        """The current task is done with it."""
        opened = self._open[session.id]
        del opened.tasks[cast("asyncio.Task[object]", asyncio.current_task())]
        if not opened.tasks:
            del self._open[session.id]
        _remember(self._used, session.id, self._clock())

    def sessions(self) -> Iterator[Session]:
        """Those with something open."""
        return (opened.session for opened in list(self._open.values()))

    def connections(self, session_id: str) -> int:
        """How many exchanges a session has open."""
        opened = self._open.get(session_id)
        return len(opened.tasks) if opened else 0

    def last_used(self, session_id: str) -> float:
        """When a session was last used here, in seconds since the epoch: now, if anything is open; 0 for never."""
        if session_id in self._open:
            return self._clock()
        return self._used.get(session_id, 0.0)

    def held(self, session_id: str) -> float:
        """When a session last had something open for longer than a moment; 0 for never.

        That is use for which it got no new cookie. An ordinary request does not count: its answer brings one.
        """
        return self._held.get(session_id, 0.0)

    def sweep(self, is_over: Callable[[Session], bool]) -> None:
        """Cut whatever belongs to a session that is over; to be called about once a second."""
        for opened in list(self._open.values()):
            _remember(self._held, opened.session.id, self._clock())
            if is_over(opened.session):
                for task in opened.tasks:
                    task.cancel("the session is over")

    def close(self) -> None:
        """Cut every stream: none of them ends by itself, and a stop does not wait for that."""
        for opened in list(self._open.values()):
            for task, stream in opened.tasks.items():
                if stream:
                    task.cancel("the proxy stops")


def _remember(times: OrderedDict[str, float], session_id: str, now: float) -> None:
    times[session_id] = now
    times.move_to_end(session_id)
    if len(times) > _REMEMBERED:
        times.popitem(last=False)
