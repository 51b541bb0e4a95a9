"""Requests under way, so that a session's end reaches everything it has open, and what is open counts as use."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import cast

from oauth_proxy.bounded import Bounded
from oauth_proxy.identity import Session

_REMEMBERED = 65_536
"""Sessions whose last use is remembered."""

Task = asyncio.Task[object]


class OpenExchanges:
    """`clock` tells seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: dict[Task, Session] = {}
        self._streams: set[Task] = set()
        self._used = Bounded[str, float](_REMEMBERED)
        self._held = Bounded[str, float](_REMEMBERED)

    def enter(self, session: Session, *, stream: bool) -> Task:
        """The current task, which carries an exchange of this session until it is handed to `leave`.

        `sweep` may cancel it. A `stream` does not end by itself.
        """
        task = cast(Task, asyncio.current_task())  # a request is always answered in a task
        self._open[task] = session
        self._used.keep(session.id, self._clock())
        if stream:
            self._streams.add(task)
        return task

    def leave(self, task: Task) -> None:
        """The task is done with it."""
        del self._open[task]
        self._streams.discard(task)

    def sessions(self) -> Iterable[Session]:
        """Those with something open, each once."""
        return {session.id: session for session in self._open.values()}.values()

    def connections(self) -> Counter[str]:
        """How many exchanges each session has open, by its id."""
        return Counter(session.id for session in self._open.values())

    def last_used(self, session_id: str) -> float:
        """When a session made a request here, or had something open, in seconds since the epoch; 0 for never."""
        return max(self._used.get(session_id) or 0.0, self.held(session_id))

    def held(self, session_id: str) -> float:
        """When a session last had something open for longer than a moment; 0 for never.

        That is use for which it got no new cookie. An ordinary request does not count: its answer brings one.
        """
        return self._held.get(session_id) or 0.0

    def sweep(self, is_over: Callable[[Session], bool]) -> None:
        """Cut whatever belongs to a session that is over; to be called about once a second."""
        now, opened = self._clock(), self.sessions()
        for session in opened:
            self._held.keep(session.id, now)
        over = {session.id for session in opened if is_over(session)}
        for task, session in list(self._open.items()) if over else ():
            if session.id in over:
                task.cancel("the session is over")

    def close(self) -> None:
        """Cut every stream: none of them ends by itself, and a stop does not wait for that."""
        for task in list(self._streams):
            task.cancel("the proxy stops")
