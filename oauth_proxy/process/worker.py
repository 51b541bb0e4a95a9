"""A worker: a process that serves. It does what the parent says, and ends within a second when there is none.

The law: a worker tells the parent once a second that its event loop goes round.
"""

import asyncio
import gc
import json
import logging
import os
import pickle
import shutil
import signal
import socket
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from itertools import count
from typing import TYPE_CHECKING, Any

from oauth_proxy.errors import ConfigurationError, MayPass
from oauth_proxy.garbage import keep_all
from oauth_proxy.inherited import Inherited
from oauth_proxy.memory import import_home
from oauth_proxy.outlet import Outlet
from oauth_proxy.process.channel import LONGEST, Message, written
from oauth_proxy.recent import Told
from oauth_proxy.settings import Settings, any_has
from oauth_proxy.siblings import LAST_MINUTES, Topics
from oauth_proxy.telemetry import configure_logging, level_now

if TYPE_CHECKING:
    from oauth_proxy.file_contents import FileContents
    from oauth_proxy.serving import Running

log = logging.getLogger(__name__)

BEAT = 1.0
"""Seconds between two signs of life."""
_PATIENCE = 4.0
"""Seconds to wait for what the other workers tell."""
_LAST_LINES = 0.5
"""Seconds for the last lines of the log, where its reader is slow."""
_ALONE = 0.5
"""Seconds that requests under way have when the parent has died; the process ends after twice as many."""


class Line:
    """The worker's end of the channel, and its way to the other workers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.topics: Topics = {}
        self._reader = reader
        self._writer = writer
        self._numbers = count()
        self._asked: dict[int, asyncio.Future[Any]] = {}

    @classmethod
    async def over(cls, sock: socket.socket) -> "Line":
        """The line over this socket."""
        return cls(*await asyncio.open_connection(sock=sock, limit=LONGEST))

    def say(self, what: str, **more: object) -> None:
        """Tell the parent."""
        if not self._writer.is_closing():
            self._writer.write(written({"say": what, **more}))

    async def next(self) -> Message | None:
        """What the parent wants next; None when it has ended. Replies to questions of this worker are not told."""
        while line := await self._line():
            message: Message = json.loads(line)
            match message["do"]:
                case "tell":
                    self.say("told", id=message["id"], content=self._told(message["topic"], message["sent"]))
                case "hear":
                    asked = self._asked.pop(message["id"], None)
                    if asked is not None and not asked.done():
                        asked.set_result(message["content"])
                case _:
                    return message
        return None

    async def gather(self, topic: str, sent: Any = None) -> list[Any]:
        """What each worker tells. Raises TimeoutError if the parent does not reply."""
        async with asyncio.timeout(_PATIENCE):
            told: list[Any] = await self._ask("gather", topic=topic, sent=sent)
            return told

    def remember(self, told: Told) -> None:
        """Tell the parent, so that this is still known when this worker has ended."""
        self.say("recent", content=told)

    def have_read(self) -> None:
        """Tell the parent that files were read again, so that who replaces this process has what they hold."""
        self.say("have_read")

    async def reload(self, operator: str = "") -> list[str] | None:
        """Start a new generation. Returns the problems that prevent it; the caller sets the deadline."""
        problems: list[str] | None = await self._ask("reload", operator=operator)
        return problems

    async def _line(self) -> bytes:
        try:
            return await self._reader.readline()
        except (ConnectionError, ValueError):  # the parent was killed, or has said more than anybody can
            return b""

    def _told(self, topic: str, sent: Any) -> Any:
        tell = self.topics.get(topic)
        return None if tell is None else tell(sent)

    async def _ask(self, what: str, **more: object) -> Any:
        number = next(self._numbers)
        asked = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self.say(what, id=number, **more)
            return await asked
        finally:
            self._asked.pop(number, None)


def preload(settings: Settings) -> None:
    """Import what every worker uses, in the parent: they share its memory, and one version of each file.

    So an installation may be replaced, or gone, while the proxy runs, reloads, and replaces workers.
    """
    loop_factory()
    import_home(settings)
    import_module("oauth_proxy.serving")
    if any_has(settings.headers, "assertion"):
        import_module("oauth_proxy.assertions")


def look_into(settings: Settings) -> "FileContents":
    """What the files hold that the settings name; in the parent, too. Raises ConfigurationError."""
    from oauth_proxy.file_contents import FileContents  # local: as below

    gc.collect()  # what ended generations had, before there is more of it
    return FileContents.of(settings)


def serve(settings: Settings, inherited: Inherited, sock: socket.socket, log_to: Outlet) -> int:
    """Serve until the parent at the other end of `sock` says otherwise. Returns the exit status.

    The log is written to `log_to`, from the level on that the parent has now.
    """
    log_to.begin_anew()
    configure_logging(settings.log.format, log_to, level_now())
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):  # a terminal's Ctrl+C reaches all processes
        signal.signal(number, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        status = runner.run(_serve(settings, inherited, sock, log_to))
    log_to.finish(_LAST_LINES)
    return status


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's event loop where there is one for this platform."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _serve(settings: Settings, inherited: Inherited, sock: socket.socket, log_to: Outlet) -> int:
    from oauth_proxy.serving import running  # local: most commands need no server, and begin in half the time

    line = await Line.over(sock)
    beating = asyncio.create_task(_beat(line, log_to))
    try:
        async with running(
            settings,
            log_to,
            inherited=replace(inherited, siblings=line, may_serve=lambda: _permitted(line)),
        ) as up:
            keep_all()  # tens of thousands of objects: a full collection would visit them while all visitors wait
            up.closed = partial(line.say, "closed")
            line.say("serving")
            await _until_told(line, up, inherited, settings)
        line.topics[LAST_MINUTES](None)
        line.say("last", content=line.topics["metrics"](None))
    except ConfigurationError as error:
        line.say("failed", problems=error.problems, passing=isinstance(error, MayPass))
        return 1
    finally:
        beating.cancel()
    return 0


async def _permitted(line: Line) -> None:
    """Everything is made: wait until all workers of the generation are as far."""
    line.say("prepared")
    while (message := await line.next()) is not None:
        if message["do"] == "go":
            return
        if message["do"] != "reopen":
            break
    raise ConfigurationError(["it is not needed any more"])


async def _until_told(line: Line, up: "Running", inherited: Inherited, settings: Settings) -> None:
    """Serve until the parent says stop or hand over, or has ended, and then until that is done."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    signalled = asyncio.create_task(stopped.wait())
    heard = asyncio.create_task(line.next())
    ending: asyncio.Task[None] | None = None
    try:
        while ending is None or not ending.done():
            await asyncio.wait(
                {heard, signalled, *([ending] if ending else [])}, return_when=asyncio.FIRST_COMPLETED
            )
            message: Message | None = {"do": ""}
            if heard.done():
                message = heard.result()
            elif signalled.done():  # somebody has signalled all processes, or this one
                message = {"do": "stop", "delay": settings.drain_delay, "patience": settings.drain_at_stop}
                signalled = asyncio.create_task(asyncio.Event().wait())
            if message is None:
                await _orphaned(up, inherited)
                return
            ending = _ending(message, up, ending, line)
            if heard.done():
                heard = asyncio.create_task(line.next())
    finally:
        for task in (signalled, heard):
            task.cancel()


def _ending(
    message: Message, up: "Running", ending: "asyncio.Task[None] | None", line: Line
) -> "asyncio.Task[None] | None":
    """Begin to end as the message says. A stop cuts a handing over short."""
    match message["do"]:
        case "reopen":
            up.proxy.audit.reopen()
        case "stop":
            if ending is not None:
                ending.cancel()
            return asyncio.create_task(up.stop(message["delay"], message["patience"]))
        case "hand_over":
            newer: Settings = pickle.loads(b64decode(message["settings"]))  # noqa: S301 the parent's, over its own socket
            if ending is None:
                return asyncio.create_task(up.hand_over(message["patience"], newer))
            up.obey(newer)  # somebody has signalled this process alone
            if not up.is_accepting:
                line.say("closed")
    return ending


async def _orphaned(up: "Running", inherited: Inherited) -> None:
    """Make room for the next parent: it could not listen where this process does."""
    log.error("the parent process has ended, and so does this worker")
    asyncio.get_running_loop().call_later(2 * _ALONE, os.kill, os.getpid(), signal.SIGKILL)
    if inherited.private is not None:
        shutil.rmtree(inherited.private.parent, ignore_errors=True)
    await up.stop(0.0, _ALONE)


async def _beat(line: Line, log_to: Outlet) -> None:
    while True:
        line.say("beat")
        log_to.pump()
        await asyncio.sleep(BEAT)
