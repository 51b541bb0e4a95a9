"""Sends commands to the running proxy of a configuration file; if none runs, uses its store directly.

The law: only a reply that proves knowledge of `session.secret` is trusted. The store is used only if the operating
system says that nothing listens, or if the file names no port. A listener without such a proof may be a proxy with
another secret or store; it would continue its sessions although the store says that they ended.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from oauth_proxy.commands import LONGEST_ANSWER, Channel, Command, channels
from oauth_proxy.errors import ConfigurationError
from oauth_proxy.identity import Seen
from oauth_proxy.memory import outside
from oauth_proxy.quotes import of_system
from oauth_proxy.seal import Unsealable
from oauth_proxy.settings import Level, Listen, Settings

DEADLINE = 15.0
"""Seconds to wait for a proxy's reply to a command."""
RELOAD_DEADLINE = 100.0
"""The same for a reload, which starts processes."""
LONGEST_NAME = 320
"""Characters of an id or an email address (RFC 5321 4.5.3.1)."""
_BY_SIGNAL = "SIGHUP to it (systemctl reload) has it read the file"
HEALTH_DEADLINE = 3.0
"""Seconds to wait for a proxy's reply to a health check."""


class NobodyAsked(Exception):
    """No proxy can be asked, so the store may be used instead; the text says why."""


class NotHttp(Exception):
    """What came is no HTTP response of a proxy. The text says why, and `kind` is the name of aiohttp's error."""

    def __init__(self, why: str, kind: str) -> None:
        super().__init__(why)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Done:
    """The result of a command, in sentences; `everywhere` is False if the store is not written yet."""

    sentences: str
    everywhere: bool = True


@dataclass(frozen=True, slots=True)
class Roll:
    """The signed-in users, last seen first; `more` is how many are left out.

    `source` says where the list is from. The store does not know connections.
    """

    people: list[Seen]
    source: str
    more: int = 0
    connections_known: bool = True


async def end(settings: Settings, user: str | None, operator: str = "") -> Done:
    """End all sessions of an id or email address, or of everybody for None; `operator` is who wants it.

    Raises ConfigurationError if neither proxy nor store can be told, or the result is unknown.
    """
    at, store = settings.admin.listen, settings.session.store
    whose = "all sessions" if user is None else f"all sessions of {shown(user)}"
    try:
        reply = await _asked(settings, "end", user, operator)
    except NobodyAsked as nobody:
        if store == "cookie":
            raise ConfigurationError(
                [
                    f"{nobody}, and there is no session.store to write to: nobody was signed out. Run this again "
                    "while the proxy runs; or give it a new session.secret, which signs everybody out."
                ]
            ) from None
        await outside.end_user(settings, user)
        return Done(
            f"{nobody}. It is written to {store} that {whose} have ended: that holds from the next start on, and "
            "proxies that run with this store learn of it within a second."
        )
    except ConfigurationError as error:  # a proxy that hangs may still do it if it continues within a minute
        raise ConfigurationError([*error.problems, "It is not certain that anybody was signed out."]) from None
    done = f"The proxy at {at} has ended {whose}."
    if not reply["known"]:
        done += " It has seen nobody of that name so far: is it spelled right?"
    if reply["untold"] is not None:
        why = shown(reply["untold"])
        return Done(f"{done} But {store} could not be told, and will be later: {why}", everywhere=False)
    if store == "cookie":
        return Done(f"{done} It forgets that when it stops, because there is no session.store.")
    return Done(f"{done} {store} is told: it holds after a restart, and replicas learn of it within a second.")


async def seen(settings: Settings) -> Roll:
    """Who is signed in. Raises ConfigurationError if there is no trusted source."""
    store = settings.session.store
    try:
        reply = await _asked(settings, "seen")
    except NobodyAsked as nobody:
        if store == "cookie":
            raise ConfigurationError([f"{nobody}, and there is no session.store to look into"]) from None
        people = sorted(await outside.seen(settings), key=lambda each: each.last_seen, reverse=True)
        return Roll(people, f"{nobody}. This is what {store} knows.", connections_known=False)
    people = [Seen(**person) for person in reply["people"]]
    return Roll(people, f"This is what the proxy at {settings.admin.listen} knows.", reply["more"])


async def is_running(settings: Settings) -> bool:
    """Whether a proxy runs that was started with this file, or one with the same secret and public URL."""
    try:
        await _asked(settings, "seen")
    except (NobodyAsked, ConfigurationError):
        return False
    return True


async def reload(settings: Settings, operator: str = "") -> None:
    """Have the proxy read its file again. Raises ConfigurationError with each problem that prevents it."""
    try:
        reply = await _asked(settings, "reload", None, operator)
    except NobodyAsked as nobody:
        elsewhere = f"If one was started with another admin.listen, {_BY_SIGNAL}"
        raise ConfigurationError([f"{nobody}, so there is nothing to reload. {elsewhere}"]) from None
    if reply["problems"]:
        raise ConfigurationError([*reply["problems"], "The proxy goes on as before."])


async def log_level(settings: Settings, level: Level | None, operator: str = "") -> str:
    """How many workers have which level, once it is set to `level`; None leaves it. Raises ConfigurationError."""
    try:
        reply = await _asked(settings, "log-level", level, operator)
    except NobodyAsked as nobody:
        raise ConfigurationError([f"{nobody}, so there is no log"]) from None
    workers = Counter(reply["levels"])
    return "\n".join(f"{each}: {number} worker{'' if number == 1 else 's'}" for each, number in workers.items())


async def ailment(listen: Listen) -> str | None:
    """Why the proxy that listens there is not healthy; None if it is."""
    try:
        async with asyncio.timeout(HEALTH_DEADLINE):
            status, _ = await _exchange(listen, "GET", "/healthz")
    except (NotHttp, OSError) as error:  # TimeoutError is an OSError
        return f"no answer on {listen}: {of_system(error) or f'none within {HEALTH_DEADLINE:g} s'}"
    return None if status == 200 else f"{listen} answered {status}"


def shown(text: str) -> str:
    """The text with control characters escaped, so that it cannot disturb a terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


async def _asked(settings: Settings, name: str, subject: str | None = None, operator: str = "") -> dict[str, Any]:
    """The proxy's reply to a command. Raises NobodyAsked, and ConfigurationError if there is no trusted reply."""
    at = settings.admin.listen
    deadline = RELOAD_DEADLINE if name == "reload" else DEADLINE
    if not at.path and not at.port:
        raise NobodyAsked(f"admin.listen is {at}, any free port, so a proxy that runs cannot be asked")
    try:
        async with asyncio.timeout(deadline):
            reply = await _in_each_channel(settings, name, subject, operator)
    except (ConnectionRefusedError, FileNotFoundError):
        raise NobodyAsked(f"No proxy runs at {at}") from None
    except TimeoutError:
        late = f"whoever listens at {at} has not answered within {deadline:g} s"
        raise ConfigurationError([f"{late}. If it is a proxy that hangs, stop it, and run this again"]) from None
    except NotHttp as error:
        strange = f"whoever listens at {at} does not answer as a proxy does"
        raise ConfigurationError([f"{strange}: {error.kind}"]) from None
    except OSError as error:
        raise ConfigurationError([f"the proxy at {at} cannot be asked: {error.strerror or error}"]) from None
    if "refused" in reply:
        raise ConfigurationError([f"the proxy at {at} refuses: {reply['refused']}. Run this again shortly"])
    return reply


async def _in_each_channel(settings: Settings, name: str, subject: str | None, operator: str) -> dict[str, Any]:
    """The reply in the first channel that the proxy knows: it may have been started with an older file."""
    at = settings.admin.listen
    for channel in channels(settings.session.keys, settings.public_url):
        command = Command.new(name, subject, time.time(), operator)
        status, text = await _exchange(at, "POST", "/command", channel.seal(command))
        if status != 401:
            return _opened(channel, command, status, text, at)
    raise ConfigurationError(
        [
            f"whoever listens at {at} does not take this file's commands. If it was started with another "
            f"session.secret or public_url, {_BY_SIGNAL}. Or it is another version: restart it. Or it is "
            "another proxy"
        ]
    )


def _opened(channel: Channel, command: Command, status: int, text: str, at: Listen) -> dict[str, Any]:
    try:
        return channel.open_reply(command, text)
    except Unsealable:
        saw = f"whoever listens at {at} answered {status} without proof of knowing session.secret"
        raise ConfigurationError([f"{saw}: it is not this proxy"]) from None


async def _exchange(listen: Listen, method: str, path: str, body: str | None = None) -> tuple[int, str]:
    """Status and text of an HTTP response; the caller sets the deadline.

    Raises OSError if nothing listens, and NotHttp for an invalid response.
    """
    import aiohttp  # local: most commands need none of it, and begin in half the time

    connector = aiohttp.UnixConnector(listen.path) if listen.path else None
    try:
        async with (
            aiohttp.ClientSession(connector=connector, auto_decompress=False) as http,
            http.request(method, _origin(listen) + path, data=body, allow_redirects=False) as reply,
        ):
            try:
                await reply.content.readexactly(LONGEST_ANSWER + 1)
            except asyncio.IncompleteReadError as whole:
                return reply.status, whole.partial.decode("latin-1")
            raise NotHttp("an answer that is too long", "it is too long")
    except aiohttp.ClientConnectorError as error:
        raise error.os_error from None
    except TimeoutError:  # aiohttp's are ClientErrors, too
        raise
    except (aiohttp.ClientError, ValueError) as error:
        raise NotHttp(of_system(error), type(error).__name__) from None


def _origin(listen: Listen) -> str:
    """The origin to connect to; for a wildcard address that is loopback."""
    if listen.path:
        return "http://localhost"
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 to connect, not to bind
    return f"http://{replace(listen, host=loopback.get(listen.host, listen.host))}"


def rows(roll: Roll) -> list[dict[str, str | int | None]]:
    """The list for programs; times as in RFC 3339, connections None if unknown."""
    return [
        {
            "id": each.id,
            "email": each.email,
            "since": _stamp(each.since),
            "last_seen": _stamp(each.last_seen),
            "connections": each.connections if roll.connections_known else None,
        }
        for each in roll.people
    ]


def table(roll: Roll) -> str:
    """The list as text for people, with its source."""
    if not roll.people:
        return f"Nobody is known to be signed in. {roll.source}"
    cells = [[shown("-" if cell is None else str(cell)) for cell in row.values()] for row in rows(roll)]
    lines = [["ID", "EMAIL", "SINCE", "LAST SEEN", "CONNECTIONS"], *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    told = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return "\n".join([*told, roll.source])


def _stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
