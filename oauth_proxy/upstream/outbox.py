"""Requests of one turn of the event loop, sent together at its end.

For the kernel it is dearer to wake a tool that sleeps than to send to one that is awake. The first request wakes
it, and by the time it has read that one the others are there.
"""

import asyncio
from typing import Protocol


class Writing(Protocol):
    """What is needed of a connection."""

    def write(self, *pieces: bytes) -> None:
        """Send them, unless the connection has failed."""
        ...


class Outbox:
    """Holds what is posted until the end of the turn; make it inside a running event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._posted: list[tuple[Writing, bytes]] = []

    def post(self, connection: Writing, request: bytes) -> None:
        """Write it soon. Nothing else may be written there before there is an answer: it would overtake."""
        if not self._posted:
            self._loop.call_soon(self._send)
        self._posted.append((connection, request))

    def _send(self) -> None:
        posted, self._posted = self._posted, []
        for connection, request in posted:
            connection.write(request)
