"""One proxy that serves: its listeners, its parts, and how it ends without dropping anybody."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from typing import TextIO

from aiohttp import web

from oauth_proxy import server, tool_api
from oauth_proxy.admin import Admin
from oauth_proxy.app import Proxy
from oauth_proxy.clock import MACHINE, System
from oauth_proxy.commands import Inbox
from oauth_proxy.egress import frameio_session
from oauth_proxy.file_contents import FileContents
from oauth_proxy.gauges import RECENT
from oauth_proxy.inherited import Inherited, addresses
from oauth_proxy.outlet import Outlet
from oauth_proxy.settings import Level, Settings
from oauth_proxy.siblings import LAST_MINUTES
from oauth_proxy.sockets import Listener, opened
from oauth_proxy.status import Guard, Here, StatusPage, are_local
from oauth_proxy.telemetry import LOST, AccessLog, Recorder, audit_for, drawn, level_now, set_level, snapshot
from oauth_proxy.tool_api import ToolApi
from oauth_proxy.upstream import ends

DRAIN = 30.0
"""Seconds that requests in progress have to finish after a stop."""
_IDLE_GRACE = 1.0
"""Seconds after a stop for which an idle connection stays open: its next request may be on its way already."""
_ADMIN_PATIENCE = 15.0
"""Seconds for which operators' connections may stay open after those of visitors have ended."""
_LAST = 0.5
"""Seconds that a request still has after these, and again after its body has been ended."""


class Running:
    """A listening proxy. `listen` and `admin` are its addresses, with the actual port where the settings had 0."""

    def __init__(self, proxy: Proxy, services: Mapping[str, server.Service]) -> None:
        self.proxy = proxy
        self._services = services
        self.listen = services["public"].at
        self.admin = services["admin"].at
        self.is_ready = True
        """Whether new visitors should be sent here."""
        self.is_accepting = True
        self.closed: Callable[[], None] = lambda: None
        """Is called when no connection of visitors is accepted any more."""

    async def stop(self, delay: float, patience: float) -> None:
        """End for good: wait `delay` seconds as not ready, let nobody in, give requests `patience` seconds.

        Every response says from the beginning that it is the last of its connection. Streams are told to end,
        because none does so by itself, and the client can only come back when it knows.
        """
        self._drain()
        await asyncio.sleep(delay)
        await self._stop_accepting("public", "tool_api")
        self.proxy.end_streams()
        public = self._services["public"]
        if not await public.emptied(min(_IDLE_GRACE, patience)):
            public.close_idle()
            await public.emptied(patience - _IDLE_GRACE)

    async def hand_over(self, patience: float, newer: Settings) -> None:
        """End because other processes accept connections now: what is open may go on for `patience` seconds.

        Whom the `newer` settings refuse is refused here, too.

        No connection is closed in the middle of a request or where the next may be on its way: each ends after its
        next response, or after it was idle for as long as any may be.
        """
        self._drain()
        self.obey(newer)
        await self._stop_accepting(*self._services)
        if not await self._services["public"].emptied(patience):
            self.proxy.end_streams()
            await self._services["public"].emptied(ends.FRAME_ENDS + ends.ANSWER)
        await self._services["admin"].emptied(_ADMIN_PATIENCE)  # it may be told of this reload just now

    def obey(self, newer: Settings) -> None:
        """Refuse whom these settings refuse: other processes serve with them."""
        self.proxy.obey(newer)

    def _drain(self) -> None:
        self.is_ready = False
        for service in self._services.values():
            service.drain()

    async def _stop_accepting(self, *names: str) -> None:
        for name in names:
            if name in self._services:
                await self._services[name].stop_accepting()
        self.is_accepting = False
        self.closed()


@asynccontextmanager
async def running(
    settings: Settings, log_to: TextIO | Outlet, system: System = MACHINE, inherited: Inherited | None = None
) -> AsyncIterator[Running]:
    """Run a proxy until the context ends; then requests in progress may finish.

    The access log is written to `log_to`. Without anything inherited, the proxy listens by itself.

    Raises ConfigurationError for a port, certificate or template that turns out to be unusable.
    """
    async with AsyncExitStack() as stack:
        if inherited is None:
            contents = FileContents.of(settings, system.wall)
            inherited = Inherited(stack.enter_context(_listening(settings)), contents)
        http = await stack.enter_async_context(frameio_session(inherited.contents.frameio_tls))
        audit = audit_for(settings.log, log_to, may_wait=inherited.replaces)
        stack.callback(audit.close)
        proxy = Proxy(settings, http, inherited, system, audit)
        stack.push_async_callback(proxy.close)
        await proxy.look()
        stack.callback(asyncio.create_task(proxy.watch.forever()).cancel)
        stack.callback(asyncio.create_task(_reading_again(proxy, inherited.siblings.have_read)).cancel)
        stack.push_async_callback(proxy.upstreams.close)
        up = await _served(stack, settings, proxy, inherited, log_to, system)
        try:
            yield up
        finally:
            if up.is_ready:
                await up.stop(0.0, DRAIN)


async def _reading_again(proxy: Proxy, tell: Callable[[], None]) -> None:
    """Read files again that have changed, and `tell`, for as long as the proxy serves."""
    contents = proxy.contents
    async with asyncio.TaskGroup() as group:
        group.create_task(contents.email_files.forever(tell))
        group.create_task(contents.tool_tls.forever(proxy.upstreams.use, tell))
        if contents.tls:
            group.create_task(contents.tls.forever(tell))


def _level(wanted: Level | None) -> Level:
    """The level of this process's log, once it is as wanted."""
    if wanted is not None:
        set_level(wanted)
    return level_now()


async def _tell_each_step(recorder: Recorder) -> None:
    """Tell what has happened in each step of time when it is over."""
    while True:
        step = recorder.step
        await asyncio.sleep(recorder.left)
        recorder.tell(step)


def _page(
    settings: Settings, proxy: Proxy, inherited: Inherited, system: System, is_ready: Callable[[], bool]
) -> StatusPage:
    listeners = inherited.listeners
    says = {
        "public": "visitors by https" if settings.tls else "visitors",
        "tool_api": "tools",
        "admin": "operators",
    }
    here = Here(
        {says[name]: str(each.at) for name, each in listeners.items()},
        is_ready,
        full=lambda: proxy.capacity.trouble,
        store=lambda: proxy.memory.trouble,
        audit=lambda: proxy.audit.trouble,
        since=inherited.since,
        wall=system.wall,
        monotonic=system.monotonic,
    )
    guard = Guard(is_local=are_local(listeners["admin"].sockets))
    return StatusPage(settings, guard, proxy.watch, inherited.siblings, here)


async def _served(
    stack: AsyncExitStack,
    settings: Settings,
    proxy: Proxy,
    inherited: Inherited,
    log_to: TextIO | Outlet,
    system: System,
) -> Running:
    siblings = inherited.siblings
    traffic = {prefix: each.traffic for prefix, each in proxy.upstreams.by_prefix.items()}
    recorder = Recorder(proxy.metrics, traffic, siblings.remember, system.monotonic, system.wall)
    stack.callback(asyncio.create_task(_tell_each_step(recorder)).cancel)
    siblings.topics[LAST_MINUTES] = lambda _: recorder.tell(recorder.step)
    soon = asyncio.get_running_loop().call_soon
    access_log = AccessLog(proxy.metrics, settings.log, log_to, soon, recorder.answered)
    public = server.Server(
        proxy.handle, refusal=proxy.refuse, answered=access_log.answered, capacity=proxy.capacity
    )
    inbox = Inbox(settings.session.keys, settings.public_url, system.wall, since=inherited.since)
    siblings.topics["metrics"] = lambda _: snapshot(proxy.metrics.registry)
    siblings.topics["recent"] = lambda _: drawn(proxy.open_exchanges.used_since(proxy.clock() - RECENT))
    siblings.topics["use"] = lambda _: proxy.open_exchanges.use()
    siblings.topics["log level"] = _level
    proxy.metrics.show(
        "oauth_proxy_log_lines_dropped",
        "Lines of the log that were dropped, because nobody read it.",
        lambda: {(): log_to.dropped if isinstance(log_to, Outlet) else 0},
        grows=True,
    )
    proxy.metrics.show(
        "oauth_proxy_audit_lines_lost",
        LOST,
        lambda: {(): proxy.audit.lost},
        grows=True,
    )
    page = _page(settings, proxy, inherited, system, lambda: up.is_ready)
    admin = Admin(
        lambda: up.is_ready, proxy.memory, proxy.capacity, proxy.watch, inbox, siblings, proxy.audit, page
    )
    asked = web.Server(admin.handle, access_log=None, auto_decompress=False)
    at, services = inherited.listeners, {}
    # The admin listener closes after the public one, to report that the proxy is draining.
    services["admin"] = await server.service(stack, asked, at["admin"])
    if settings.tool_api:
        api = ToolApi(proxy.handles, proxy.clock.date, proxy.audit)
        services["tool_api"] = await tool_api.service(stack, api, at["tool_api"])
    tls = inherited.contents.tls
    context = tls.used(inherited.tls) if tls else None
    if tls:
        proxy.metrics.show_certificates(lambda: tls.ends)
    services["public"] = await server.service(stack, public, at["public"], context, drain=_LAST)
    up = Running(proxy, services)
    await inherited.may_serve()
    for each in services.values():
        await each.accept()
    return up


@contextmanager
def _listening(settings: Settings) -> Iterator[dict[str, Listener]]:
    """The listeners of a proxy that has no parent."""
    with ExitStack() as stack:
        listeners = {}
        for name, at in addresses(settings).items():
            listeners[name] = opened(at)
            stack.callback(listeners[name].close)
        yield listeners
