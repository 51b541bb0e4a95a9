"""Creates the parts that need more than one value of the settings."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import aiohttp

from oauth_proxy.access import Access, Rules
from oauth_proxy.clock import Clock, System
from oauth_proxy.cookies import Cookies
from oauth_proxy.door import Door
from oauth_proxy.egress import ToolTls
from oauth_proxy.headers import ToolHeaders
from oauth_proxy.identity import Session
from oauth_proxy.oauth import Client
from oauth_proxy.own_routes import CALLBACK
from oauth_proxy.paths import Site
from oauth_proxy.provider import APIS, Api, Memberships, Provider
from oauth_proxy.seal import Sealer
from oauth_proxy.settings import (
    EmailList,
    Limits,
    Member,
    PublicRule,
    Settings,
    UpstreamSettings,
    any_has,
    asset_rules,
    expanded,
)
from oauth_proxy.telemetry import Metrics
from oauth_proxy.typed import TypedForms
from oauth_proxy.upstream.claims import Claims
from oauth_proxy.upstream.moved import Moved, Place
from oauth_proxy.upstream.pool import Address
from oauth_proxy.upstream.routes import Route, Upstreams
from oauth_proxy.upstream.upstream import Upstream
from oauth_proxy.webhooks import Webhooks

if TYPE_CHECKING:
    from oauth_proxy.assertions import Assertions


def cookies_for(settings: Settings) -> Cookies:
    """The proxy's cookies, with name and attributes from the settings."""
    cookie = settings.session.cookie
    return Cookies(
        cookie.name,
        secure=settings.secure,
        domain=cookie.domain,
        path=cookie.path,
        same_site=cookie.same_site,
        partitioned=cookie.partitioned,
    )


def assertions_for(settings: Settings, system: System) -> "Assertions | None":
    """What signs assertions; None if no header has one: then the module, which takes 3 MB, is not loaded."""
    if not any_has(settings.headers, "assertion"):
        return None
    from oauth_proxy.assertions import Assertions

    return Assertions(settings.session.keys, settings.public_url, system.wall)


def api_for(settings: Settings) -> Api:
    """Frame.io's addresses, or those that the settings replace."""
    app = settings.frameio
    api = APIS[app.api]
    return replace(
        api,
        authorize_url=app.authorize_url or api.authorize_url,
        token_url=app.token_url or api.token_url,
        api_url=app.api_url or api.api_url,
        revoke_url=app.revoke_url or api.revoke_url,
    )


def provider_for(
    settings: Settings, http: aiohttp.ClientSession, clock: Clock, system: System, metrics: Metrics
) -> Provider:
    """The client for Frame.io, with the registered app of the settings."""
    app = settings.frameio
    client = Client(
        app.client_id,
        f"{settings.public_url}{CALLBACK}",
        tuple(app.scopes),
        app.client_secret.get_secret_value() if app.client_secret else None,
    )
    asked, count, proxies = memberships_for(settings), metrics.provider_called, app.proxies
    return Provider(api_for(settings), client, http, clock, asked, count, system.monotonic, system.wall, proxies)


def memberships_for(settings: Settings) -> Memberships:
    """The accounts and teams that the rules are about."""
    members = [rule for rule in settings.rules() if isinstance(rule, Member)]
    return Memberships(
        accounts=frozenset(rule.id for rule in members if rule.of == "account"),
        teams=frozenset(rule.id for rule in members if rule.of == "team"),
    )


def access_for(settings: Settings, lists: Mapping[Path, EmailList], before: Settings | None = None) -> Access:
    """The rules of the site and of each upstream, with the rules of a group in place of its name.

    Upstreams that only the settings `before` have keep the rules that they had there.
    """
    groups = settings.access.groups
    return Access(
        tuple(expanded(settings.access.allow, groups)),
        public_rules(settings),
        deny=tuple(expanded(settings.access.deny, groups)),
        upstreams={**(_upstream_rules(before) if before else {}), **_upstream_rules(settings)},
        lists=lists,
    )


def public_rules(settings: Settings) -> tuple[PublicRule, ...]:
    """What needs no session: `access.public`, and if wanted the files that browsers fetch without cookies."""
    rules = settings.access.public
    return (*rules, *asset_rules(settings.upstreams)) if settings.access.public_assets else rules


def _upstream_rules(settings: Settings) -> dict[str, Rules]:
    groups = settings.access.groups
    return {
        prefix: Rules(
            None if each.allow is None else tuple(expanded(each.allow, groups)),
            tuple(expanded(each.deny, groups)),
        )
        for prefix, each in settings.upstreams.items()
    }


def logout_for(settings: Settings) -> Callable[[str], str] | None:
    """A function that makes the provider's logout URL from a return address; None if the settings have none.

    Adobe IMS calls the return address redirect_uri; OpenID Connect (RP-Initiated Logout 1.0) calls it
    post_logout_redirect_uri. The URL has no token, which would appear in histories and logs.
    """
    url = settings.frameio.logout_url
    if url is None:
        return None

    def logout(back: str) -> str:
        names = {"client_id": settings.frameio.client_id, "redirect_uri": back, "post_logout_redirect_uri": back}
        return f"{url}?{urlencode(names)}"

    return logout


def door_for(settings: Settings, access: Access, wall: Callable[[], float]) -> Door:
    """What decides about requests; `wall` returns seconds since the epoch."""
    return Door(
        Site(settings.public_url, settings.session.cookie.domain),
        access,
        Webhooks({path: hook.keys for path, hook in settings.webhooks.items()}, wall),
    )


def typed_for(settings: Settings, door: Door) -> TypedForms:
    """What keeps forms whose POST cannot be answered."""
    return TypedForms(door, Sealer(settings.session.keys, "typed"), body_rate=settings.limits.body_rate)


def upstreams_for(
    settings: Settings,
    routes: Iterable[Route],
    site: Site,
    handle_of: Callable[[Session], str],
    date: Callable[[float], float],
    assertion_of: Callable[[Session, str], str] | None,
) -> Upstreams:
    """Every tool, and what it receives; the last three are as in Upstreams."""
    named = {*settings.webhooks, *(rule.path for rule in settings.access.public if not rule.below)}
    return Upstreams(routes, ToolHeaders(settings.headers), site, handle_of, date, assertion_of, named)


def routes_for(settings: Settings, claims: Claims, tool_tls: ToolTls) -> list[Route]:
    """The routes to the tools."""
    make = partial(
        _route,
        api=api_for(settings),
        limits=settings.limits,
        claims=claims,
        tool_tls=tool_tls,
        site=Site(settings.public_url, settings.session.cookie.domain),
    )
    return [make(prefix, each) for prefix, each in settings.upstreams.items()]


def _route(
    prefix: str,
    settings: UpstreamSettings,
    *,
    api: Api,
    limits: Limits,
    claims: Claims,
    tool_tls: ToolTls,
    site: Site,
) -> Route:
    """The route to one tool. If the tool is Frame.io's `api` itself, the route adds the header for some tokens."""
    at = settings.url
    address = Address(at.host, at.port, tls=at.scheme == "https", unix=at.socket)
    host = at.authority.encode("ascii") if settings.host == "upstream" else None
    scheme, authority, *_ = urlsplit(api.api_url)
    is_api = host is not None and (at.scheme, at.authority) == (scheme, authority)
    begins = at.base if settings.strip else at.base + prefix.rstrip("/")
    place = Place(prefix.rstrip("/").encode("ascii"), begins.encode("ascii"), at.authority.encode("ascii"))
    upstream = Upstream(
        address,
        claims=claims,
        moved=Moved(place, site) if settings.rewrite else None,
        timeout=settings.timeout,
        body_rate=limits.body_rate,
        ssl_context=tool_tls.contexts.get(prefix),
    )
    return Route(prefix, upstream, at.base, host, api.mark if is_api else None, settings.strip)
