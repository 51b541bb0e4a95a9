"""One question at a time about each session, its answer shared by everybody who waits."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Generic, TypeVar

T = TypeVar("T")

PATIENCE = 3.0
"""Seconds for which anybody waits for an answer that they can do without."""


class Flight(Generic[T]):
    """A question on its way, in a task of its own: a visitor who hangs up cancels nothing that others wait for."""

    def __init__(self, question: Coroutine[None, None, T]) -> None:
        self.task = asyncio.create_task(question)
        self._since = time.monotonic()

    async def answer(self) -> T:
        """The answer, whenever it comes. Raises what the question raises."""
        return await asyncio.shield(self.task)

    async def answer_soon(self) -> T:
        """The answer, unless the question has been on its way for PATIENCE seconds: then TimeoutError."""
        async with asyncio.timeout(max(0.0, self._since + PATIENCE - time.monotonic())):
            return await asyncio.shield(self.task)


class Flights(Generic[T]):
    """Those on their way, by the id of a session."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._flights

    def join(self, session_id: str) -> Flight[T] | None:
        """The question about this session that is on its way."""
        return self._flights.get(session_id)

    def start(self, session_id: str, question: Coroutine[None, None, T]) -> Flight[T]:
        """Ask, where there is no question about this session yet."""
        flight = self._flights[session_id] = Flight(question)
        flight.task.add_done_callback(lambda done: self._land(session_id, done))
        return flight

    async def close(self) -> None:
        """Let them finish: the provider has done by now what it was asked for."""
        await asyncio.gather(*(flight.task for flight in self._flights.values()), return_exceptions=True)

    def _land(self, session_id: str, task: "asyncio.Task[T]") -> None:
        del self._flights[session_id]
        if not task.cancelled():
            task.exception()  # nobody may be waiting any more; the cause was logged where it happened
