"""Creates every part of the proxy once, passes it to the parts that use it, and opens the listeners."""

import logging

import aiohttp

from oauth_proxy import __version__, gauges
from oauth_proxy.access import Access
from oauth_proxy.assembly import (
    access_for,
    assertions_for,
    cookies_for,
    door_for,
    logout_for,
    memberships_for,
    provider_for,
    public_rules,
    routes_for,
    typed_for,
    upstreams_for,
)
from oauth_proxy.bearers import Bearers
from oauth_proxy.capacity import Capacity
from oauth_proxy.clock import MACHINE, Clock, System
from oauth_proxy.cookies import SealedCookie
from oauth_proxy.email_files import email_paths
from oauth_proxy.endings import STOPPING
from oauth_proxy.endpoints import Endpoints
from oauth_proxy.errors import (
    BadRequest,
    ConfigurationError,
    LoginRefused,
    NotAllowed,
    NotFound,
    ProxyError,
    SessionTooLarge,
    SignatureRefused,
    SignInRequired,
    SignOutUnconfirmed,
    SomebodyElse,
    TokenMalformed,
    TokenRefused,
    TooManyWrongTokens,
)
from oauth_proxy.failures import Failures
from oauth_proxy.gateway import Gateway
from oauth_proxy.headers import TrustedProxies
from oauth_proxy.inherited import Inherited
from oauth_proxy.introductions import Introductions
from oauth_proxy.logins import Logins
from oauth_proxy.memory import memory_for
from oauth_proxy.outcomes import Outcome, Refused
from oauth_proxy.paths import Target
from oauth_proxy.requests import Request
from oauth_proxy.responses import Responses
from oauth_proxy.return_addresses import ReturnAddresses
from oauth_proxy.seal import Sealer
from oauth_proxy.session import Attempts, CookieStore, Handles, OpenExchanges, Redemptions, Refresher, Sessions
from oauth_proxy.settings import OUR_ROUTES, Settings
from oauth_proxy.telemetry import SILENT, Audit, By, Metrics, facts
from oauth_proxy.upstream.claims import Claims
from oauth_proxy.upstream.refused_streams import refuse_stream
from oauth_proxy.visitors import Visitors
from oauth_proxy.watch import Watch

log = logging.getLogger(__name__)

_ONLY_IN_ACCESS_LOG = (NotAllowed, NotFound, SignInRequired, SomebodyElse)
_REFUSED_AT_DOOR = (
    LoginRefused,
    SessionTooLarge,
    SignatureRefused,
    SignInRequired,
    SignOutUnconfirmed,
    TokenMalformed,
    TokenRefused,
    TooManyWrongTokens,
)
"""The refusals that the audit stream has: who is asking is not known well enough."""


class Proxy:
    """All parts of one proxy; they use the clocks of `system`, and write to `audit`.

    Create it inside a running event loop.
    """

    def __init__(
        self,
        settings: Settings,
        http: aiohttp.ClientSession,
        inherited: Inherited,
        system: System = MACHINE,
        audit: Audit = SILENT,
    ) -> None:
        self.audit = audit
        self.contents = inherited.contents
        # Frame.io's timestamps are compared with the system clock: only that is synchronised with other machines.
        self._door = door = door_for(settings, access_for(settings, self.contents.email_files.lists), system.wall)
        site, access = door.site, door.access
        cookies = cookies_for(settings)
        keys, lasts = settings.session.keys, {"lifetime": settings.session.lifetime, "idle": settings.session.idle}
        self.clock = clock = Clock(system)
        self._email = settings.log.email is True
        peers = TrustedProxies(settings.trusted_proxies)
        self._introductions = Introductions(peers, traces=settings.log.trace)
        self.capacity = Capacity.within(settings.limits.connections, peers.trusts, inherited.workers)
        self.metrics = Metrics(__version__)
        self.provider = provider_for(settings, http, clock, system, self.metrics)
        self.memory = memory_for(settings, clock, inherited.private, inherited.bell, may_wait=inherited.replaces)
        if self.memory.lasting:  # the memory of this proxy alone is no store of the operators'
            self.metrics.show_store(self.memory.name, lambda: self.memory.trouble is None)
        self._sealing_key, self._settings = keys[0], settings
        self.refresher = Refresher(
            self.provider,
            clock,
            self.memory,
            recheck=settings.access.recheck,
            asked=memberships_for(settings).name,
            count=self.metrics.refreshes.add,
            audit=audit,
        )
        self.bearers = bearers = Bearers(self.provider, clock, enabled=settings.access.bearer)
        self.open_exchanges = OpenExchanges(clock)
        store = CookieStore(
            SealedCookie(cookies, Sealer(keys, "session"), cookies.name),
            **lasts,
            clock=clock,
            memory=self.memory,
            settled_until=self.refresher.settled_until,
            held=self.open_exchanges.held,
        )
        self.sessions = Sessions(
            store,
            self.refresher,
            self.memory,
            self.provider,
            idle=settings.session.idle,
            allows=access.allows,
            clock=clock,
            audit=audit,
        )
        self.redemptions = Redemptions(self.memory)
        self.handles = Handles(
            Sealer(keys, "handle"),
            settings.public_url,
            self.refresher,
            self.memory,
            **lasts,
            allows=access.allows,
            last_used=self.open_exchanges.last_used,
            clock=clock,
        )
        self.responses = Responses(pages := self.contents.pages, site)
        self._failures = Failures(self.responses, site)
        for note in pages.notes:
            log.warning(note)
        assertions = assertions_for(settings, system)
        routes = routes_for(settings, Claims(cookies), self.contents.tool_tls)
        handle_of = self.handles.of if settings.tool_api else lambda session: ""
        of = assertions.of if assertions else None
        self.upstreams = upstreams_for(settings, routes, site, handle_of, clock.date, of)
        attempts = Attempts(cookies, Sealer(keys, "attempt"), clock, self.memory, site.shortened)
        visitors = Visitors(self.sessions, bearers, attempts)
        self.typed = typed = typed_for(settings, door)
        means = (self.open_exchanges, self.upstreams, self.responses, typed)
        self.gateway = Gateway(door, cookies, visitors, *means)
        return_addresses = ReturnAddresses(site, self.gateway.bodies)
        logins = Logins(
            site,
            self.sessions,
            attempts,
            self.redemptions,
            self.provider,
            self.responses,
            return_addresses,
            self.metrics,
            audit,
        )
        self._endpoints = Endpoints(
            site,
            access,
            cookies,
            visitors,
            self.sessions,
            logins,
            self.responses,
            self._failures,
            return_addresses,
            typed,
            TrustedProxies(settings.auth_request_from),
            self.metrics,
            audit,
            logout=logout_for(settings),
            keys=assertions.keys if assertions else {"keys": []},
            date=clock.date,
            note_use=self.open_exchanges.note_use,
        )
        self.watch = Watch(
            self.memory,
            self.refresher,
            self.sessions,
            bearers,
            self.open_exchanges,
            lifetime=settings.session.lifetime,
            access=access,
            clock=clock,
            siblings=inherited.siblings,
            audit=audit,
        )
        self.look = self.watch.look
        gauges.show(
            *(self.metrics, self.capacity, self.open_exchanges, self.gateway.bodies, self.upstreams.by_prefix),
            typed,
            lambda: self.provider.is_up,
        )

    async def handle(self, request: Request) -> Outcome:
        """Handle any request. This is the only place where failures become responses."""
        self._introductions.make(request)
        target = None
        try:
            try:
                target = self._door.read(request.method, request.raw_path, request.fields)
                room = self._endpoints if target.path.startswith(OUR_ROUTES) else self.gateway
                return await room.handle(request, target)
            except ProxyError as error:
                return await self._refused(request, target, Refused(error))
            except Refused as refused:
                return await self._refused(request, target, refused)
        except ConnectionError:
            raise  # the client disconnected: there is nobody to respond to
        except Exception:  # the one place where a bug of ours becomes a response
            self.metrics.refusals.add("fault")
            log.exception("a fault of ours", extra={**facts(request, 500), "by": "proxy"})
            return Outcome(self.responses.fault(request), cause="a fault of ours", failure="fault")
        finally:
            if request.held is not None:
                self.typed.release(request)

    def refuse(self, request: Request, error: BadRequest) -> Outcome:
        """Respond to bytes that could not be parsed as a request."""
        self._introductions.make(request)
        refused = Refused(error)
        self._note(request, refused)
        return refused.outcome(self._failures.refusal(request, refused))

    def obey(self, newer: Settings) -> None:
        """Let nobody in, and keep nothing open, that newer settings do not: other processes serve with them.

        What this process has open may go on for long. Without the key that sealed its sessions, all have ended.
        """
        rules = Access((), public_rules(newer))
        if self._sealing_key in newer.session.keys:
            try:
                self.contents.email_files.follow(email_paths(newer))
                rules = access_for(newer, self.contents.email_files.lists, self._settings)
            except ConfigurationError as error:  # other processes have just read these files
                log.warning("what is open ends, because a list cannot be read: %s", error)
        self._door.access.become(rules)
        self.refresher.asked = self.provider.ask_about(memberships_for(newer))
        self.watch.sweep()

    def end_streams(self) -> None:
        """Close WebSockets and cancel event streams, because they do not end by themselves."""
        self.upstreams.close_tunnels(STOPPING)
        self.open_exchanges.close()

    async def close(self) -> None:
        """Finish background work, and close everything."""
        await self.bearers.close()
        await self.redemptions.close()
        await self.sessions.close()
        await self.refresher.close()
        await self.memory.close()

    async def _refused(self, request: Request, target: Target | None, refused: Refused) -> Outcome:
        kept = await self.typed.keep(request, target, refused)
        await self._failures.prepare(request, refused, kept)
        self._note(request, refused)
        is_ours = target is None or target.path.startswith(OUR_ROUTES)  # fronts read the status at /oauth2/auth
        stream = None if is_ours else refuse_stream(request, refused, self.responses, self._door.site)
        response = stream or self._failures.response(request, refused, kept)
        await self.typed.deliver(request, response)
        return refused.outcome(response)

    def _note(self, request: Request, refused: Refused) -> None:
        """Tell the metrics, the log and the audit stream of a refusal."""
        error = refused.error
        self.metrics.refusals.add(error.name)
        if not isinstance(error, _ONLY_IN_ACCESS_LOG):
            known = {**facts(request, error.status, email=self._email), "by": "proxy"}
            log.warning("%s", error.cause, extra={"failure": error.name, **known, "cause": error.cause})
        if isinstance(error, _REFUSED_AT_DOOR):
            by: By = "program" if refused.visit.by_program else "visitor"
            self.audit.note("refused_at_door", by, error.cause, request=request, session=request.brought)
        elif isinstance(error, NotAllowed):
            self.audit.note("refused_by_rule", "visitor", error.cause, request=request, session=request.session)
