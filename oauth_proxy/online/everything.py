"""All checks at the same time, each under a deadline; what they find is told in one order."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from oauth_proxy import __version__
from oauth_proxy.assembly import api_for, cookies_for, provider_for, routes_for
from oauth_proxy.clock import MACHINE, Clock, System
from oauth_proxy.egress import ToolTls, frameio_session, frameio_tls
from oauth_proxy.inherited import addresses
from oauth_proxy.online import findings
from oauth_proxy.online.findings import Check, Finding, wrong
from oauth_proxy.online.frameio import FrameioChecks
from oauth_proxy.online.here import LocalChecks
from oauth_proxy.online.tools import ToolChecks
from oauth_proxy.own_routes import CALLBACK
from oauth_proxy.settings import Settings
from oauth_proxy.telemetry import Metrics
from oauth_proxy.upstream.claims import Claims


async def checked(
    settings: Settings,
    tell: Callable[[Finding], None],
    wait: Callable[[Sequence[str]], None] = lambda _: None,
    system: System = MACHINE,
) -> bool:
    """Check everything that the settings name, and return whether all of it is well.

    `tell` is called with each finding; `wait` with the subjects that are still waited for, whenever one is done.
    It is over after little more than `findings.DEADLINE` seconds, whatever does not answer.
    """
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(frameio_session(frameio_tls(settings.frameio)))
        provider = provider_for(settings, http, Clock(system), system, Metrics(__version__))
        routes = routes_for(settings, Claims(cookies_for(settings)), ToolTls(settings.upstreams))
        for route in routes:
            stack.push_async_callback(route.upstream.close)
        listeners = addresses(settings)
        callback = f"{settings.public_url}{CALLBACK}"
        checks = [
            *FrameioChecks(settings.frameio, api_for(settings), provider, callback, system.wall).all(),
            *ToolChecks(settings, routes, listeners).all(),
            *LocalChecks(settings, listeners, datetime.fromtimestamp(system.wall(), UTC)).all(),
        ]
        return await _all(checks, tell, wait)


async def _all(
    checks: Sequence[Check], tell: Callable[[Finding], None], wait: Callable[[Sequence[str]], None]
) -> bool:
    tasks = {asyncio.create_task(_bounded(check)): check.subject for check in checks}
    waiting = dict(tasks)

    def done(task: asyncio.Task[Sequence[Finding]]) -> None:
        waiting.pop(task)
        wait([*waiting.values()])

    wait([*waiting.values()])
    is_well = True
    try:
        for task in tasks:
            task.add_done_callback(done)
        for task in tasks:
            for finding in await task:
                tell(finding)
                is_well = is_well and finding.is_well
    finally:
        for task in tasks:
            task.remove_done_callback(done)
            task.cancel()
    return is_well


async def _bounded(check: Check) -> Sequence[Finding]:
    deadline = findings.DEADLINE
    try:
        async with asyncio.timeout(deadline):
            return await check.find()
    except TimeoutError:
        advice = "What is sent there may be dropped on the way: by a firewall, or a route that leads nowhere."
        return wrong(check.subject, f"has not answered within {deadline:g} s.", advice)
