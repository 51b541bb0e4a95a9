"""The workers of one proxy as each of them sees the others."""

from collections.abc import Callable
from typing import Any, Protocol

from oauth_proxy.recent import Recent, Told

LAST_MINUTES = "last minutes"
"""The topic to which the parent adds what it was told of the last minutes, and how its workers are."""
Topics = dict[str, Callable[[Any], Any]]
"""What a worker tells the others of itself, by what they ask for; they may send something with it. All is JSON."""


class Siblings(Protocol):
    """All workers of this proxy, the caller among them."""

    topics: Topics

    async def gather(self, topic: str, sent: Any = None) -> list[Any]:
        """What each worker tells about what was `sent`; one that does not reply within a second is left out."""
        ...

    def remember(self, told: Told) -> None:
        """Tell the parent, so that this is still known when this worker has ended."""
        ...

    def have_read(self) -> None:
        """Tell the parent that files were read again, so that who replaces this process has what they hold."""
        ...

    async def reload(self, operator: str = "") -> list[str] | None:
        """Start a new generation of workers with the file as it is now.

        Returns the problems that prevent it, or None if the proxy stops before that is certain.
        `operator` is who wants it, for the audit stream.
        """
        ...


class Alone:
    """A process that has no others beside it."""

    def __init__(self) -> None:
        self.topics: Topics = {}
        self._recent = Recent()

    async def gather(self, topic: str, sent: Any = None) -> list[Any]:
        """What this process tells."""
        told = self.topics[topic](sent)
        return [{**self._recent.told(), "line": "one process serves"}] if topic == LAST_MINUTES else [told]

    def remember(self, told: Told) -> None:
        """Nothing outlives this process."""
        self._recent.add(told)

    def have_read(self) -> None:
        """Nobody replaces this process."""

    async def reload(self, operator: str = "") -> list[str]:
        """There is nobody who could start another process."""
        return ["it runs without a parent process, so it cannot be given another configuration"]
