"""Every part is made here, once, and handed to those that need it; then the listeners open."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import TextIO

import aiohttp
from aiohttp import HttpVersion10, HttpVersion11, web

from oauth_proxy import reading, server
from oauth_proxy.access import Access
from oauth_proxy.admin import Admin
from oauth_proxy.answers import Answers
from oauth_proxy.bearers import Bearers
from oauth_proxy.capacity import Capacity
from oauth_proxy.cookies import Cookies, SealedCookie
from oauth_proxy.endpoints import PREFIX, Endpoints
from oauth_proxy.errors import (
    BadRequest,
    FieldsTooLarge,
    MethodNotAllowed,
    Misdirected,
    NotFound,
    ProxyError,
    SignInRequired,
    VersionNotSupported,
)
from oauth_proxy.gateway import Gateway
from oauth_proxy.headers import Peers, ToolHeaders
from oauth_proxy.oauth import Client
from oauth_proxy.pages import Pages
from oauth_proxy.paths import Site, read_target
from oauth_proxy.provider import APIS, Asked, Provider
from oauth_proxy.requests import Readings, Request
from oauth_proxy.seal import Sealer
from oauth_proxy.session import Attempts, CookieStore, Ended, Journal, Live, Refresher, Sessions, memory_for
from oauth_proxy.settings import Listen, Member, Settings
from oauth_proxy.settings import Upstream as UpstreamSettings
from oauth_proxy.telemetry import AccessLog, Metrics
from oauth_proxy.upstream.pool import Address
from oauth_proxy.upstream.routes import Route, Upstreams
from oauth_proxy.upstream.upstream import Upstream
from oauth_proxy.webhooks import Webhooks

log = logging.getLogger(__name__)

Clock = Callable[[], float]

DRAIN = 12.5  # aiohttp waits this long for handlers to end, and as long again once they are cancelled
"""Seconds that requests under way get to finish after a stop; Kubernetes kills after 30."""


class Proxy:
    """All parts of one proxy; `clock` tells seconds since the epoch. Make it inside a running event loop."""

    def __init__(self, settings: Settings, http: aiohttp.ClientSession, clock: Clock = time.time) -> None:
        site = Site(settings.public_url, settings.session.cookie.domain)
        cookies = _cookies(settings)
        keys = settings.session.keys
        self._site = site
        self._peers = Peers(settings.trusted_proxies)
        self._readings = Readings()
        self.capacity = Capacity.within(settings.limits.connections, self._peers.trusts)
        self.metrics = Metrics(lambda: self.capacity.open, lambda: len(asyncio.all_tasks()))
        self.provider = _provider(settings, http, clock, self.metrics)
        self.memory = memory_for(settings, clock)
        if settings.session.store != "cookie":
            self.metrics.show_redis(lambda: self.memory.trouble is None)
        self._ended = Ended(settings.session.lifetime, clock, _journal(settings), self.memory)
        self.refresher = Refresher(self.provider, clock, self._ended, self.memory)
        store = CookieStore(
            SealedCookie(cookies, Sealer(keys, "session"), cookies.name),
            lifetime=settings.session.lifetime,
            idle=settings.session.idle,
            clock=clock,
            memory=self.memory,
        )
        self._live = Live(self._ended.has, store.ends_at, clock)
        sessions = Sessions(store, self.refresher, self._ended, self.provider, clock)
        access = Access(settings.access.allow, settings.access.public)
        self.answers = Answers(Pages(name=settings.shown_name, templates=settings.pages.templates), site)
        self.upstreams = Upstreams(
            [_route(prefix, each) for prefix, each in settings.upstreams.items()],
            ToolHeaders(settings.headers),
            site,
        )
        attempts = Attempts(cookies, Sealer(keys, "attempt"), clock)
        bearers = Bearers(self.provider, clock, enabled=settings.access.bearer)
        webhooks = Webhooks({path: hook.keys for path, hook in settings.webhooks.items()}, clock)
        self._gateway = Gateway(
            site, access, cookies, sessions, bearers, webhooks, attempts, self._live, self.upstreams, self.answers
        )
        who = (site, access, cookies, sessions, bearers, attempts)
        askers = Peers(settings.auth_request_from)
        self._endpoints = Endpoints(*who, self.provider, self.answers, askers, self.metrics)
        self._request_ids = map(f"{secrets.token_hex(4)}-{{:x}}".format, count(1))

    async def handle(self, request: Request) -> web.StreamResponse:
        """The answer to any request. Every failure becomes one here, and nowhere else."""
        self._introduce(request)
        try:
            try:
                return await self._dispatch(request)
            except ProxyError as error:
                return self._failure(request, error, self.answers.failure)
        except ConnectionError:
            raise  # the visitor hung up: nobody is left to answer
        except Exception:  # the one place where a fault of ours becomes an answer
            log.exception("a fault of ours", extra={"request_id": request.request_id})
            return self.answers.fault(request)

    def refuse(self, request: Request, error: BadRequest) -> web.StreamResponse:
        """The answer to bytes that could not be read as a request."""
        self._introduce(request)
        return self._failure(request, error, self.answers.refusal)

    def end_streams(self) -> None:
        """Cut the WebSockets and event streams, which would not end by themselves."""
        self._live.close()

    async def look(self) -> None:
        """Learn which sessions were ended elsewhere, and cut the streams of those that are over."""
        await self._ended.follow()
        self._live.sweep()

    async def watch(self) -> None:
        """Look once a second."""
        while True:
            await asyncio.sleep(1)
            try:
                await self.look()
            except Exception:  # it goes on for as long as the proxy does: ends elsewhere must be heard of
                log.exception("a fault of ours while looking for ended sessions")

    def _introduce(self, request: Request) -> None:
        request.fields = self._readings.read(tuple(request.raw_headers))  # of what is no request it is no tuple
        request.request_id = next(self._request_ids)
        request.chain = self._peers.chain(request.remote or "", request.fields)

    def _dispatch(self, request: Request) -> Awaitable[web.StreamResponse]:
        if request._version not in (HttpVersion11, HttpVersion10):  # `version` would keep it, and so the answer
            request._version = HttpVersion11  # RFC 9110 2.5: never answer in a version that is not ours
            raise VersionNotSupported("neither HTTP/1.0 nor HTTP/1.1")
        if request.fields.size > reading.LONGEST_FIELDS:
            raise FieldsTooLarge("header fields of a tolerable size, but too many of them")
        if request.method == "TRACE":
            # It would echo what we add for the tool, the bearer among it.
            raise MethodNotAllowed("TRACE", allow=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
        hosts = request.fields[b"host"]
        if len(hosts) != 1:
            raise BadRequest("not exactly one Host header")
        host = hosts[0].decode("latin-1")
        if not self._site.is_ours(host):
            raise Misdirected("the Host header names another site")
        target = read_target(request.raw_path, host)
        ours = target.path.startswith(PREFIX)
        return (self._endpoints if ours else self._gateway).handle(request, target)

    def _failure(
        self, request: Request, error: ProxyError, answer: Callable[[Request, ProxyError], web.StreamResponse]
    ) -> web.StreamResponse:
        if not isinstance(error, SignInRequired | NotFound):  # the access log tells those
            log.warning(
                "%s",
                error.cause,
                extra={"failure": error.name, "status": error.status, "request_id": request.request_id},
            )
        return answer(request, error)


@dataclass(frozen=True, slots=True)
class Running:
    """A proxy that listens; the ports it got, for those that asked for any (0)."""

    proxy: Proxy
    listen: Listen
    admin: Listen


@asynccontextmanager
async def running(settings: Settings, log_to: TextIO, clock: Clock = time.time) -> AsyncIterator[Running]:
    """A proxy listening as `settings` say, until the context ends; then requests under way may finish.

    The access log is written to `log_to`.

    Raises ConfigurationError for what cannot be used after all: a port, a certificate, a template.
    """
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
        )
        proxy = Proxy(settings, http, clock)
        stack.push_async_callback(proxy.memory.close)
        stack.push_async_callback(proxy.refresher.close)
        await proxy.look()
        stack.callback(asyncio.create_task(proxy.watch()).cancel)
        stack.push_async_callback(proxy.upstreams.close)
        access_log = AccessLog(proxy.metrics, settings.log, log_to, asyncio.get_running_loop().call_soon)
        public = server.Server(
            proxy.handle, refusal=proxy.refuse, answered=access_log.answered, capacity=proxy.capacity
        )
        draining = False
        asked = Admin(proxy.metrics, lambda: not draining, proxy.memory, proxy.capacity)
        admin = web.Server(asked.handle, access_log=None)
        # The admin listener outlives the public one, to say that it is draining.
        admin_listen = await server.listen(stack, admin, settings.admin.listen, None, 0.1)
        listen = await server.listen(stack, public, settings.listen, settings.tls, DRAIN)
        try:
            yield Running(proxy, listen, admin_listen)
        finally:
            draining = True
            proxy.end_streams()


def _cookies(settings: Settings) -> Cookies:
    cookie = settings.session.cookie
    return Cookies(
        cookie.name, secure=settings.secure, domain=cookie.domain, path=cookie.path, same_site=cookie.same_site
    )


def _journal(settings: Settings) -> Journal | None:
    return Journal(path) if (path := settings.session.revocations) else None


def _provider(settings: Settings, http: aiohttp.ClientSession, clock: Clock, metrics: Metrics) -> Provider:
    app = settings.frameio
    api = APIS[app.api]
    api = replace(
        api,
        authorize_url=app.authorize_url or api.authorize_url,
        token_url=app.token_url or api.token_url,
        api_url=app.api_url or api.api_url,
        revoke_url=app.revoke_url or api.revoke_url,
    )
    client = Client(
        app.client_id,
        f"{settings.public_url}{PREFIX}callback",
        tuple(app.scopes),
        app.client_secret.get_secret_value() if app.client_secret else None,
    )
    members = [rule for rule in settings.access.allow if isinstance(rule, Member)]
    asked = Asked(
        accounts=frozenset(rule.id for rule in members if rule.of == "account"),
        teams=frozenset(rule.id for rule in members if rule.of == "team"),
    )
    return Provider(api, client, http, clock, asked, lambda *call: metrics.provider_calls.labels(*call).inc())


def _route(prefix: str, settings: UpstreamSettings) -> Route:
    at = settings.url
    address = Address(at.host, at.port, tls=at.scheme == "https", unix=at.socket)
    host = at.authority.encode("ascii") if settings.host == "upstream" else None
    return Route(prefix, Upstream(address, timeout=settings.timeout), at.base, host)
