"""Sends the requests of one turn of the event loop together, at its end.

It costs the kernel more to wake a sleeping tool than to send to a running one. The first request wakes the tool,
and by the time it has read that one the others have arrived.
"""

import asyncio
from typing import Protocol


class Writing(Protocol):
    """The part of a connection that is needed here."""

    def write(self, *pieces: bytes) -> None:
        """Send the pieces, unless the connection has failed."""
        ...


class Outbox:
    """Holds requests until the end of the turn. Create it inside a running event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._posted: list[tuple[Writing, bytes]] = []

    def post(self, connection: Writing, request: bytes) -> None:
        """Send `request` at the end of the turn. Write nothing else before the response: it would go out first."""
        if not self._posted:
            self._loop.call_soon(self._send)
        self._posted.append((connection, request))

    def _send(self) -> None:
        posted, self._posted = self._posted, []
        for connection, request in posted:
            connection.write(request)
