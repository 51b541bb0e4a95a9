"""What the command line and a running proxy say to each other, sealed under `session.secret`.

The law: a command is heard once, within a minute, by a proxy of the site that it is for. An answer opens for the
command that it answers, and for no other.

Each key of the ring makes a channel of its own, and a command is answered in the channel it came in. So a proxy
and a command line understand each other as long as their files have a key in common, whichever file is newer.
"""

import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from oauth_proxy.identity import Seen
from oauth_proxy.seal import Sealer, Unsealable

WINDOW = 60.0
"""Seconds that a command may be old."""
LONGEST_COMMAND = 8 * 1024
"""Characters of a sealed command."""
LONGEST_ANSWER = 2 * 1024 * 1024
"""Characters of a sealed answer."""

_FORM = "command, first form"
"""Named anew whenever commands or answers change: two versions that differ refuse each other."""
_ROOM = 1024 * 1024
_ENVELOPE = 1024
_MOST_HEARD = 4096


@dataclass(frozen=True, slots=True)
class Command:
    """What the proxy shall do, and for whom; None is everybody. `at` in seconds since the epoch."""

    name: str
    user: str | None
    at: float
    nonce: str

    @classmethod
    def new(cls, name: str, user: str | None, at: float) -> "Command":
        """One that was never sent before."""
        return cls(name, user, at, secrets.token_hex(16))


class Channel:
    """The words of one site's proxy and its command line, under one key."""

    def __init__(self, key: bytes, site: str) -> None:
        self._sealer = Sealer([key], "admin", limit=_ROOM + _ENVELOPE)
        self._context = f"{_FORM} for {site}"

    def seal(self, command: Command) -> str:
        """The command, for the proxy."""
        return self._sealer.seal(json.dumps(asdict(command)).encode(), self._context)

    def open(self, text: str) -> Command:
        """The command in there. Raises Unsealable."""
        return Command(**json.loads(self._sealer.open(text, self._context)))

    def seal_answer(self, command: Command, answer: Mapping[str, Any]) -> str:
        """The answer to this command, for the command line."""
        return self._sealer.seal(json.dumps(answer).encode(), f"the answer to {command.nonce}")

    def open_answer(self, command: Command, text: str) -> dict[str, Any]:
        """The answer in there. Raises Unsealable for any that is not this command's."""
        answer: dict[str, Any] = json.loads(self._sealer.open(text, f"the answer to {command.nonce}"))
        return answer


def channels(keys: Sequence[bytes], site: str) -> list[Channel]:
    """A channel for each key of the ring, in its order."""
    return [Channel(key, site) for key in keys]


class Inbox:
    """What a running proxy hears. `clock` tells seconds since the epoch, `monotonic` seconds that never jump."""

    def __init__(
        self,
        keys: Sequence[bytes],
        site: str,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channels = channels(keys, site)
        self._clock = clock
        self._monotonic = monotonic
        self._since = monotonic()
        self._heard: OrderedDict[str, float] = OrderedDict()

    def open(self, text: str) -> tuple[Channel, Command]:
        """The command in there, and the channel to answer it in.

        Raises Unsealable for what was not sealed for this proxy just now, or was heard before; why is not told.
        """
        for channel in self._channels:
            with suppress(Unsealable):
                command = channel.open(text)
                if self._is_new(command):
                    return channel, command
        raise Unsealable

    def _is_new(self, command: Command) -> bool:
        now = self._clock()
        # What was sealed before this process began, another one may have heard.
        longest_ago = min(WINDOW, self._monotonic() - self._since)
        if not now - longest_ago <= command.at <= now + WINDOW or command.nonce in self._heard:
            return False
        if len(self._heard) == _MOST_HEARD:
            if next(iter(self._heard.values())) >= now - WINDOW:
                return False
            self._heard.popitem(last=False)
        self._heard[command.nonce] = command.at
        return True


def census(people: Iterable[Seen]) -> dict[str, Any]:
    """Who was seen, last seen first, as far as an answer has room for them; and how many `more` there are."""
    told, more, room = [], 0, _ROOM
    for each in sorted(people, key=lambda each: each.last_seen, reverse=True):
        person = asdict(each)
        size = len(json.dumps(person)) + len(", ")
        if size > room:
            more += 1
            continue
        room -= size
        told.append(person)
    return {"people": told, "more": more}
