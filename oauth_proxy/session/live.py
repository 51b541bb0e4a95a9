"""Requests under way, so that a session's end reaches its open WebSockets and event streams."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from oauth_proxy.identity import Session


class Live:
    """`is_over` tells whether a session was ended, `ends_at` when it ends by itself (seconds since the epoch)."""

    def __init__(
        self,
        is_over: Callable[[Session], bool],
        ends_at: Callable[[Session], float],
        clock: Callable[[], float],
    ) -> None:
        self._is_over = is_over
        self._ends_at = ends_at
        self._clock = clock
        self._streams: dict[asyncio.Task[object], Session] = {}

    @contextmanager
    def during(self, session: Session) -> Iterator[None]:
        """While a stream of this session is carried by the current task, which `sweep` may cancel."""
        task = cast("asyncio.Task[object]", asyncio.current_task())  # a request is always answered in a task
        self._streams[task] = session
        try:
            yield
        finally:
            del self._streams[task]

    def sweep(self) -> None:
        """Cut every stream whose session is over."""
        now = self._clock()
        for task, session in list(self._streams.items()):
            if now >= self._ends_at(session) or self._is_over(session):
                task.cancel("the session is over")

    def close(self) -> None:
        """Cut every stream: none of them ends by itself, and a stop does not wait for that."""
        for task in list(self._streams):
            task.cancel("the proxy stops")
