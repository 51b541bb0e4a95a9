"""One provider call at a time per session; all requests that wait for it share its result."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Generic, TypeVar

T = TypeVar("T")

PATIENCE = 3.0
"""Seconds that a request waits for a result that it can do without."""


class Flight(Generic[T]):
    """A call in progress. It runs in its own task, so a client that disconnects does not cancel it for others."""

    def __init__(self, question: Coroutine[None, None, T]) -> None:
        self.task = asyncio.create_task(question)
        self._since = time.monotonic()

    async def result(self) -> T:
        """Wait for the result, however long it takes. Raises what the call raises."""
        return await asyncio.shield(self.task)

    async def result_soon(self) -> T:
        """Wait for the result. Raises TimeoutError once the call has been running for PATIENCE seconds."""
        async with asyncio.timeout(max(0.0, self._since + PATIENCE - time.monotonic())):
            return await asyncio.shield(self.task)


class Flights(Generic[T]):
    """The calls in progress, by session id."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._flights

    def join(self, session_id: str) -> Flight[T] | None:
        """The call in progress for this session, if any."""
        return self._flights.get(session_id)

    def start(self, session_id: str, question: Coroutine[None, None, T]) -> Flight[T]:
        """Start a call for this session, which must have none in progress."""
        flight = self._flights[session_id] = Flight(question)
        flight.task.add_done_callback(lambda done: self._land(session_id, done))
        return flight

    async def close(self) -> None:
        """Let the calls finish: the provider may have acted on them already."""
        await asyncio.gather(*(flight.task for flight in self._flights.values()), return_exceptions=True)

    def _land(self, session_id: str, task: "asyncio.Task[T]") -> None:
        del self._flights[session_id]
        if not task.cancelled():
            task.exception()  # marks it as retrieved, as perhaps nobody waits; it was logged where it was raised
