"""The operators' HTTP interface: metrics, health, commands, and the status page. It has its own listener.

The law: anybody who reaches it may read metrics, health and readiness; commands need `session.secret`. What the
status page adds to these is only for somebody at a browser on this machine: see `status.guard`.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from oauth_proxy.commands import LONGEST_COMMAND, Channel, Command, Inbox, census
from oauth_proxy.identity import Seen
from oauth_proxy.seal import Unsealable
from oauth_proxy.siblings import Siblings
from oauth_proxy.status import PATHS, StatusPage
from oauth_proxy.telemetry import LEVELS, SILENT, Audit, distinct, exposition, merged

log = logging.getLogger(__name__)

DEADLINE = 5.0
"""Seconds to receive a command, and again to carry it out."""
RELOAD_DEADLINE = 90.0
"""Seconds for a new generation of workers to start."""
_STOPPING = {"refused": "it is stopping"}


class Troubled(Protocol):
    """A part that can report trouble."""

    @property
    def trouble(self) -> str | None:
        """What is wrong; None if nothing is."""
        ...


class Desk(Protocol):
    """Lists and ends sessions for operators."""

    async def end_user(self, user: str | None) -> str | None:
        """End all sessions of an id or email address, or of everybody for None.

        Returns why the store could not be written (it will be later); None if it was.
        """
        ...

    async def seen(self) -> list[Seen]:
        """All known signed-in users."""
        ...

    async def is_first(self, nonce: str) -> bool:
        """Whether no process of this proxy has accepted the command with this nonce before."""
        ...


class Admin:
    """`is_ready` is whether new visitors should be sent here; `memory` reports whether the store can be reached.

    `capacity` reports trouble while new connections are refused; `desk` and `inbox` are for commands. Metrics are
    those of all `siblings`, and they can be given the file as it is now. `page` answers for the status page.
    """

    def __init__(
        self,
        is_ready: Callable[[], bool],
        memory: Troubled,
        capacity: Troubled,
        desk: Desk,
        inbox: Inbox,
        siblings: Siblings,
        audit: Audit = SILENT,
        page: StatusPage | None = None,
    ) -> None:
        self._page = page
        self._audit = audit
        self._siblings = siblings
        self._is_ready = is_ready
        self._memory = memory
        self._desk = desk
        self._inbox = inbox
        self._capacity = capacity

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Handle /metrics (Prometheus's text), /healthz and /readyz (as in Kubernetes), /command, the page."""
        response = await self._response(request)
        if not self._is_ready():  # the next request is for another process, or for none
            response.force_close()
        return response

    async def _response(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if self._page is not None and path in PATHS:
            return await self._page.handle(request, _body, self._reply)
        allowed = ("POST",) if path == "/command" else ("GET", "HEAD")
        if request.method not in allowed:
            return web.Response(status=405, headers={"Allow": ", ".join(allowed)})
        match path:
            case "/command":
                return await self._command(request)
            case "/metrics":
                return await self._metrics()
            case "/healthz":
                return web.Response(text="ok\n")
            case "/readyz":
                return self._readiness()
        return web.Response(status=404, text="/metrics, /healthz and /readyz are here\n")

    async def _metrics(self) -> web.Response:
        try:
            told, recent = await asyncio.gather(self._siblings.gather("metrics"), self._siblings.gather("recent"))
        except TimeoutError:  # a part of them would look as if counters had fallen
            return web.Response(status=503, text="the parent process does not reply\n")
        name, number = "oauth_proxy_recent_sessions", distinct(recent)
        seen = [name, "Sessions that were seen in the last 15 minutes.", "gauge", [[name, [], number]]]
        body = exposition(merged([*told, [seen]]))
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _readiness(self) -> web.Response:
        """Also ready if Redis is down: it is down for all replicas at once, and each continues alone."""
        if not self._is_ready():
            return web.Response(status=503, text="draining\n")
        if self._capacity.trouble:
            return web.Response(status=503, text=f"{self._capacity.trouble}\n")
        troubles = [self._memory.trouble, self._audit.trouble]
        return web.Response(text="; ".join(filter(None, ["ready", *troubles])) + "\n")

    async def _command(self, request: web.BaseRequest) -> web.Response:
        """200 for clients that know the secret; only the sealed reply says what the command did."""
        try:
            channel, command = await self._opened(request)
        except Unsealable:
            log.warning("a command was refused: nobody sealed it for this proxy just now")
            return web.Response(status=401, headers={"WWW-Authenticate": "Sealed"})
        return web.Response(text=channel.seal_reply(command, await self._reply(command)))

    async def _reply(self, command: Command) -> dict[str, Any]:
        """What became of a command, whatever that is."""
        deadline = RELOAD_DEADLINE if command.name == "reload" else DEADLINE
        try:
            async with asyncio.timeout(deadline):
                return await self._done(command)
        except TimeoutError:
            return {"refused": f"it could not do that within {deadline:g} s"}
        except Exception:  # the command line trusts sealed replies only, so a failure needs one too
            log.exception("a fault of ours while a command was obeyed")
            return {"refused": "it failed, and its log says why"}

    async def _opened(self, request: web.BaseRequest) -> tuple[Channel, Command]:
        """The command, and the channel for its reply. Raises Unsealable, also if another process has obeyed it."""
        channel, command = self._inbox.open(await _body(request))
        if not await self._desk.is_first(command.nonce):
            raise Unsealable
        return channel, command

    async def _done(self, command: Command) -> dict[str, Any]:
        if not self._is_ready():
            return _STOPPING
        match command.name:
            case "end":
                return await self._end(command.subject, command.operator)
            case "seen":
                return await asyncio.to_thread(census, await self._desk.seen())
            case "reload":
                problems = await self._siblings.reload(command.operator)
                return _STOPPING if problems is None else {"problems": problems}
            case "log-level" if command.subject is None or command.subject in LEVELS:
                return await self._log_level(command.subject, command.operator)
        return {"refused": "it does not know this command"}

    async def _log_level(self, wanted: str | None, operator: str) -> dict[str, Any]:
        """Have all workers write lines of this level; with None, say which level they have."""
        levels = await self._siblings.gather("log level", wanted)
        if wanted is not None:
            log.warning("a command set the level of the log to %s", wanted)
            self._audit.note("log_level", "operator", subject=wanted, operator=operator)
        return {"levels": levels}

    async def _end(self, user: str | None, operator: str) -> dict[str, Any]:
        """End the sessions. Also returns whether the user is known, as a misspelled name ends nothing."""
        known = user is None or await self._is_known(user)
        self._audit.note("revoke", "operator", subject=user or "everybody", operator=operator)
        untold = await self._desk.end_user(user)
        log.info("a command ended all sessions of %s", user if user is not None else "everybody")
        return {"untold": untold, "known": known or untold is not None}

    async def _is_known(self, user: str) -> bool:
        """Whether a user of that name is signed in. This takes little time, so that it does not delay the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE / 5):
                seen = await self._desk.seen()
                return user.lower() in {name.lower() for each in seen for name in (each.id, each.email) if name}
        return True  # it is unknown


async def _body(request: web.BaseRequest) -> str:
    """The text of a command. Raises Unsealable if it is too long, too slow or incomplete."""
    try:
        async with asyncio.timeout(DEADLINE):
            await request.content.readexactly(LONGEST_COMMAND + 1)
    except asyncio.IncompleteReadError as whole:
        return whole.partial.decode("latin-1")
    except (TimeoutError, ConnectionError, web.RequestPayloadError):
        pass
    raise Unsealable
