"""Requests in progress: they are cancelled when their session ends, and keep it from becoming idle until then."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice

from oauth_proxy.access import Places
from oauth_proxy.bounded import Bounded
from oauth_proxy.endings import SESSION_OVER, STOPPING
from oauth_proxy.identity import Session
from oauth_proxy.paths import Target

_REMEMBERED = 65_536
"""Sessions for which the last use is remembered."""
_MOST_TOLD = 4096
"""Sessions of which other processes are told."""
_PRECISION = 1.0
"""Seconds: uses that follow each other sooner are one."""

Task = asyncio.Task[object]


class OpenExchanges:
    """The requests in progress, by session. `clock` returns seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: dict[Task, tuple[Session, Target]] = {}
        self._streams: set[Task] = set()
        self._used = Bounded[str, float](_REMEMBERED)
        self._held = Bounded[str, float](_REMEMBERED)

    def enter(self, session: Session, target: Target, *, stream: bool, task: Task | None = None) -> Task:
        """Register the current task as a request of this session until `leave`. Returns the task.

        `sweep` may cancel it. A `stream` (a WebSocket, say) does not end by itself. Whoever has the current `task`
        at hand passes it: to look for it is a system call.
        """
        task = task or asyncio.current_task()
        if task is None:
            raise RuntimeError("each request is handled in a task")
        self._open[task] = session, target
        now = self._clock()
        if now >= (self._used.get(session.id) or 0.0) + _PRECISION:
            self._used.keep(session.id, now)
        if stream:
            self._streams.add(task)
        return task

    def note_use(self, session: Session) -> None:
        """Remember that the session was in use just now, by a request that is answered without the tool."""
        self._used.keep(session.id, self._clock())

    def leave(self, task: Task) -> None:
        """Unregister the task: its request has ended."""
        del self._open[task]
        if self._streams:
            self._streams.discard(task)

    def sessions(self) -> Iterable[Session]:
        """The sessions with a request in progress, each once."""
        return {session.id: session for session, _ in self._open.values()}.values()

    def connections(self) -> Counter[str]:
        """The number of requests in progress per session id."""
        return Counter(session.id for session, _ in self._open.values())

    def last_used(self, session_id: str) -> float:
        """When this process last saw the session in use, in seconds since the epoch; 0 for never."""
        return max(self._used.get(session_id) or 0.0, self.held(session_id))

    def use(self) -> tuple[Counter[str], dict[str, float]]:
        """Requests in progress per session, and when sessions were last used, for other processes."""
        last = islice(reversed(list(self._used)), _MOST_TOLD)
        return self.connections(), {session_id: self.last_used(session_id) for session_id in last}

    @property
    def streams(self) -> int:
        """WebSockets and event streams that are open, and what else does not end by itself."""
        return len(self._streams)

    def used_since(self, moment: float) -> set[str]:
        """The sessions in use here since then, which is in seconds since the epoch; the last 65,536 at most."""
        found: set[str] = set()
        for kept in (self._used, self._held):  # each has what was kept last at its end
            for name in reversed(kept):
                if (kept.get(name) or 0.0) < moment:
                    break
                found.add(name)
        return found

    def held(self, session_id: str) -> float:
        """When `sweep` last saw a request of this session in progress; 0 for never.

        This is use that renewed no cookie. A short request does not count: its response renews the cookie.
        """
        return self._held.get(session_id) or 0.0

    def sweep(self, is_over: Callable[[Session, Places], bool], places_of: Callable[[Target], Places]) -> None:
        """Cancel all requests of sessions that are over where the request is. Call this about once a second.

        Rules may be new since the request began, so where its path lies is asked now.

        A WebSocket is closed first, for up to three seconds, and may be cancelled more than once in that time.
        """
        now = self._clock()
        tasks: dict[tuple[str, Places], list[Task]] = {}
        sessions: dict[tuple[str, Places], Session] = {}
        for task, (session, target) in self._open.items():
            key = session.id, places_of(target)
            tasks.setdefault(key, []).append(task)
            sessions[key] = session
        for key, session in sessions.items():
            self._held.keep(session.id, now)
            if is_over(session, key[1]):
                for task in tasks[key]:
                    task.cancel(SESSION_OVER)

    def close(self) -> None:
        """Cancel every stream: none ends by itself, so a stop would wait for it in vain."""
        for task in list(self._streams):
            task.cancel(STOPPING)
