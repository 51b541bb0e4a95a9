"""The messages between the command line and a running proxy, sealed with `session.secret`.

The law: a command is accepted once, within a minute, by a proxy of its own site. A reply can be opened for its own
command only.

Each key of the ring is a separate channel, and the reply uses the channel of the command. So a proxy and a command
line understand each other while their files have one key in common, whichever file is newer.
"""

import json
import os
import pwd
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
"""Longest age of a command in seconds."""
LONGEST_COMMAND = 8 * 1024
"""Most characters of a sealed command."""
LONGEST_OPERATOR = 200
"""Most characters of the name of who gives a command."""
LONGEST_ANSWER = 2 * 1024 * 1024
"""Most characters of a sealed reply."""

FORM = "command, third form"
"""Change this whenever commands or replies change, so that different versions refuse each other."""
_ROOM = 1024 * 1024
_ENVELOPE = 1024
_MOST_HEARD = 4096


@dataclass(frozen=True, slots=True)
class Command:
    """An order for the proxy. `at` is in seconds since the epoch.

    `subject` is what it is about: an id or email address, or None for everybody; a level of the log, or None to
    ask for it. `operator` is who gives it, as their machine says; empty if nobody is named.
    """

    name: str
    subject: str | None
    at: float
    nonce: str
    operator: str = ""

    @classmethod
    def new(cls, name: str, subject: str | None, at: float, operator: str = "") -> "Command":
        """A new command, with a new nonce."""
        return cls(name, subject, at, secrets.token_hex(16), operator)


class Channel:
    """Seals and opens the messages of one site with one key."""

    def __init__(self, key: bytes, site: str) -> None:
        self._sealer = Sealer([key], "admin", limit=_ROOM + _ENVELOPE)
        self._context = f"{FORM} for {site}"

    def seal(self, command: Command) -> str:
        """The sealed command."""
        return self._sealer.seal(json.dumps(asdict(command)).encode(), self._context)

    def open(self, text: str) -> Command:
        """The command in a sealed text. Raises Unsealable."""
        return Command(**json.loads(self._sealer.open(text, self._context)))

    def seal_reply(self, command: Command, reply: Mapping[str, Any]) -> str:
        """The sealed reply to this command."""
        return self._sealer.seal(json.dumps(reply).encode(), f"the answer to {command.nonce}")

    def open_reply(self, command: Command, text: str) -> dict[str, Any]:
        """The reply in a sealed text. Raises Unsealable if it is not for this command."""
        reply: dict[str, Any] = json.loads(self._sealer.open(text, f"the answer to {command.nonce}"))
        return reply


def operator_here(environ: Mapping[str, str]) -> str:
    """Who runs this process, as this machine says: `jo@web1`, or `root@web1 (jo, by sudo)`.

    Nobody verifies it: who has `session.secret` can write any name.
    """
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user has no name
        name = f"uid {os.getuid()}"
    behind = environ.get("SUDO_USER")
    told = f"{name}@{os.uname().nodename}" + (f" ({behind}, by sudo)" if behind and behind != name else "")
    return told[:LONGEST_OPERATOR]


def channels(keys: Sequence[bytes], site: str) -> list[Channel]:
    """A channel for each key of the ring, in its order."""
    return [Channel(key, site) for key in keys]


class Inbox:
    """Accepts commands. `clock` returns seconds since the epoch, `monotonic` monotonic seconds.

    `since` is when the first process of this proxy started, on the monotonic clock; by default now. The caller
    makes sure that no other process of the proxy has accepted the same nonce.
    """

    def __init__(
        self,
        keys: Sequence[bytes],
        site: str,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        since: float | None = None,
    ) -> None:
        self._channels = channels(keys, site)
        self._clock = clock
        self._monotonic = monotonic
        self._since = monotonic() if since is None else since
        self._heard: OrderedDict[str, float] = OrderedDict()

    def open(self, text: str) -> tuple[Channel, Command]:
        """The command in a sealed text, and the channel for its reply.

        Raises Unsealable if it is not for this proxy, too old, or was accepted before. The reason is not revealed.
        """
        for channel in self._channels:
            with suppress(Unsealable):
                command = channel.open(text)
                if self._is_new(command):
                    return channel, command
        raise Unsealable

    def _is_new(self, command: Command) -> bool:
        now = self._clock()
        # An earlier process may have accepted what was sealed before this process started.
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
    """Who was seen, last seen first, as many as fit into a reply; `more` is the number of the others."""
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
