"""What a worker asks of all workers: the parent asks each and hands the replies back together."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from oauth_proxy.process.channel import Message
from oauth_proxy.recent import Recent
from oauth_proxy.siblings import LAST_MINUTES
from oauth_proxy.telemetry import lasting, merged, set_level

_LOOK_AGAIN = 0.1
PATIENCE = 1.0
"""Seconds to wait for the reply of a worker."""


class Member(Protocol):
    """A worker, as far as it is asked."""

    metrics: Any

    def send(self, message: Message) -> None:
        """Send it a message."""
        ...


class Gathering:
    """One question of one worker."""

    def __init__(self, asker: Member, number: int, topic: str, asked: Iterable[Member], past: Any) -> None:
        self.past = past
        """What workers had counted that had ended by then."""
        self._asker = asker
        self._number = number
        self.topic = topic
        self.until = time.monotonic() + PATIENCE
        self._replies: dict[Member, Any] = dict.fromkeys(asked)
        self._missing = set(self._replies)

    @property
    def missing(self) -> list[Member]:
        """Who has not replied."""
        return list(self._missing)

    def told(self, by: Member, content: Any) -> bool:
        """Note a reply; with None, that there will be none. Returns whether it was the last one."""
        if by in self._missing:
            self._missing.discard(by)
            self._replies[by] = content
        return not self._missing

    def finish(self, more: Iterable[Any]) -> None:
        """Hand over what has been told, and `more`."""
        told = [reply for reply in self._replies.values() if reply is not None]
        self._asker.send({"do": "hear", "id": self._number, "content": [*told, *more]})


class Gatherings:
    """All open questions. `own` returns the parent's own metrics, `line` how the proxy is."""

    def __init__(self, own: Callable[[], Any], line: Callable[[], str] = lambda: "") -> None:
        self.recent = Recent()
        """What workers have told of the last minutes, also those that have ended."""
        self._own = own
        self._line = line
        self._past: Any = []
        """What workers that have ended had counted."""
        self._open: dict[int, Gathering] = {}
        self._number = 0

    @property
    def patience(self) -> float:
        """Seconds until a question may have waited for too long."""
        return _LOOK_AGAIN if self._open else PATIENCE

    def begin(self, asker: Member, message: Message, members: Iterable[Member]) -> None:
        """Ask all members what the asker wants to know.

        What new workers will have from the parent changes here, too: the level of the log.
        """
        if message["topic"] == "log level" and message["sent"]:
            set_level(message["sent"])
        self._number += 1
        gathering = Gathering(asker, message["id"], message["topic"], members, self._past)
        self._open[self._number] = gathering
        for member in gathering.missing:
            member.send({"do": "tell", "topic": message["topic"], "sent": message["sent"], "id": self._number})

    def hear(self, by: Member, message: Message) -> None:
        """A member has replied, or tells what has happened."""
        if message["say"] == "recent":
            self.recent.add(message["content"])
            return
        gathering = self._open.get(message["id"])
        if gathering is None:
            return
        if gathering.topic == "metrics" and message["content"] is not None:
            by.metrics = message["content"]
        if gathering.told(by, message["content"]):
            self._finish(message["id"])

    def ended(self, member: Member) -> None:
        """A member has ended: nobody waits for it, and what it counted is kept."""
        self._past = merged([self._past, lasting(member.metrics)])
        for number, gathering in list(self._open.items()):
            if gathering.told(member, self._last(gathering, member)):
                self._finish(number)

    def give_up(self) -> None:
        """Finish the questions that have waited too long. Of who did not reply, the last known metrics count."""
        now = time.monotonic()
        for number, gathering in list(self._open.items()):
            if gathering.until <= now:
                for member in gathering.missing:
                    gathering.told(member, self._last(gathering, member))
                self._finish(number)

    def _last(self, gathering: Gathering, member: Member) -> Any:
        """What is known of a member that does not reply. Who has ended counts here, and not in this one's past."""
        return member.metrics if gathering.topic == "metrics" else None

    def _finish(self, number: int) -> None:
        gathering = self._open.pop(number)
        more = [gathering.past, self._own()] if gathering.topic == "metrics" else []
        if gathering.topic == LAST_MINUTES:
            more = [{**self.recent.told(), "line": self._line()}]
        gathering.finish(more)
