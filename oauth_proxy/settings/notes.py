"""Notes on valid settings, which `oauth-proxy check` prints: risks and limits that the operator should know."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from urllib.parse import urlsplit

from oauth_proxy.certificates import Certificate, Unusable, read_certificate
from oauth_proxy.settings.access import Everyone, Group
from oauth_proxy.settings.addresses import is_loopback
from oauth_proxy.settings.headers import any_has
from oauth_proxy.settings.model import Settings, UpstreamSettings
from oauth_proxy.settings.stores import Sqlite, Store

_V2_ENDS = date(2026, 12, 1)
"""The day after which the v2 endpoints are removed, according to Frame.io's forum."""

_SHORT_LIVED = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/var/run")  # noqa: S108 - nothing is written there


def notes(settings: Settings, now: datetime) -> list[str]:
    """The notes on these settings, one sentence each; none of them is an error."""
    return [
        *_login(settings, now.date()),
        *_visitors(settings),
        *_rules(settings),
        *_ways_round(settings.upstreams),
        *_store(settings.session.store),
        *_addresses(settings),
        *_ways_out(settings, now),
        *_certificates(settings, now),
    ]


def _login(settings: Settings, today: date) -> Iterator[str]:
    frameio = settings.frameio
    if frameio.api == "v2":
        days = (_V2_ENDS - today).days
        when = f"{days} days from today" if days >= 0 else "which is past"
        yield (
            f"Frame.io has announced that v2 API endpoints are removed after 1 December 2026 ({when}), Camera to "
            "Cloud exempt. Whether the v2 login goes with them is not known. Plan to move to api: v4."
        )
    refresh = {"v2": "offline", "v4": "offline_access"}[frameio.api]
    if frameio.api == "v4" and frameio.client_secret is None:
        yield (
            "No client_secret: the proxy signs in as a PKCE (public) app, for Adobe a Single Page App credential, "
            "which gets no refresh token. A session ends with its access token, and opening a page then makes a "
            "quiet trip through the login."
        )
    elif refresh not in frameio.scopes:
        yield (
            f"Without the scope {refresh} Frame.io grants no refresh token: "
            "visitors sign in again whenever their access token ends."
        )
    if frameio.api == "v2" and frameio.client_secret is None:
        yield "No client_secret: the proxy signs in as a PKCE (public) app."
    for key in ("authorize_url", "token_url", "api_url", "revoke_url"):
        url = getattr(frameio, key)
        if url and _is_plain_http(url):
            yield f"frameio.{key} is http: codes, tokens or the client secret can be read on the way."


def _visitors(settings: Settings) -> Iterator[str]:
    cookie = settings.session.cookie
    if Everyone() in settings.access.allow:
        yield "access.allow is everyone: that is everyone with a Frame.io account, not only your own people."
    if any(rule.below and rule.path == "/" for rule in settings.access.public):
        yield "access.public has a rule for /*: whatever it covers needs no sign-in."
    if not any_has(settings.headers, "access_token"):
        yield "No header carries {access_token}: the tool does not get the visitor's token."
    if settings.tool_api and not any_has(settings.headers, "handle"):
        yield "tool_api is on and no header carries {handle}: the tool has nothing to ask with."
    if cookie.domain:
        yield f"Every host in {cookie.domain} is sent the session cookie, and can set one of the same name."
    if cookie.same_site == "none":
        yield "same_site is none: other sites' pages can send signed-in requests, so the tool must withstand CSRF."
    if cookie.partitioned and not settings.pages.frame_ancestors:
        yield "Partitioned cookies, and no pages.frame_ancestors: in frames of other sites nobody can sign in."


def _rules(settings: Settings) -> Iterator[str]:
    named = {rule.name for rules in settings.lists() for rule in rules if isinstance(rule, Group)}
    for name in settings.access.groups:
        if name not in named:
            yield f"No allow and no deny names the group {name}: it does nothing."
    for prefix, upstream in settings.upstreams.items():
        if not (upstream.allow or upstream.deny):
            continue
        for rule in settings.access.public:
            if rule.path.startswith(prefix) or (rule.below and prefix.startswith(rule.path)):
                yield (
                    f"access.public has {rule.write()}, and what it covers needs no sign-in: "
                    f"allow and deny of the upstream {prefix} say nothing there."
                )


def _ways_round(upstreams: Mapping[str, UpstreamSettings]) -> Iterator[str]:
    """Where the tool of an upstream with rules of its own is also reached through another upstream."""
    for prefix, upstream in upstreams.items():
        if not (upstream.allow or upstream.deny):
            continue
        tool = _begins(prefix, upstream)
        for other, through in upstreams.items():
            base = _begins(other, through)
            if replace(through.url, base="") != replace(upstream.url, base="") or not tool.startswith(base):
                continue
            path = other + tool.removeprefix(base)
            decides = max((each for each in upstreams if path.startswith(each)), key=len)
            is_narrower = (through.allow, through.deny) != (upstream.allow, upstream.deny)
            if other != prefix and decides == other and is_narrower:
                yield (
                    f"The tool of {prefix} is also reached at {path}, by the upstream {other}: "
                    f"allow and deny of {prefix} say nothing there."
                )


def _begins(prefix: str, upstream: UpstreamSettings) -> str:
    """What the tool's own paths begin with."""
    return upstream.url.base + ("/" if upstream.strip else prefix)


def _store(store: Store) -> Iterator[str]:
    if isinstance(store, Sqlite):
        for folder in _SHORT_LIVED:
            if store.path.is_relative_to(folder):
                yield f"session.store lies below {folder}: it will not last, and what it remembers goes with it."
    elif store != "cookie" and not store.tls and not all(is_loopback(host) for host, _ in store.nodes):
        tls = store.scheme.replace("redis", "rediss")
        yield (
            f"session.store is {store.scheme}:// on another machine: a password can be read on the way. "
            f"{tls}:// is TLS."
        )


def _addresses(settings: Settings) -> Iterator[str]:
    if not settings.secure:
        yield "public_url is http: good for trying out on this machine, and for nothing else."
    if settings.access.bearer and not settings.trusted_proxies:
        yield (
            "access.bearer is on and trusted_proxies is empty: should anything stand in front of the proxy, all "
            "programs are one client to it, and one's wrong tokens hold up the others' new ones."
        )
    if any(network.prefixlen == 0 for network in settings.trusted_proxies):
        yield "trusted_proxies has everybody in it: anybody can write any address into X-Forwarded-For."
    if not settings.admin.listen.is_local:
        yield f"Whoever reaches {settings.admin.listen} can read the metrics; nobody signs in there."
    for prefix, upstream in settings.upstreams.items():
        if _is_plain_http(str(upstream.url)):
            yield f"The upstream of {prefix} is http on another machine: visitors' tokens can be read on the way."


def _client_certificate(prefix: str, path: Path, now: datetime) -> Iterator[str]:
    with suppress(Unusable):  # it was usable when the settings were read: the file has just changed
        ends = read_certificate(path).ends
        if ends < now:
            yield f"The certificate in {path} expired on {ends:%-d %B %Y}: the tool of {prefix} refuses it."


def _ways_out(settings: Settings, now: datetime) -> Iterator[str]:
    proxy = settings.frameio.proxies.https
    if proxy:
        yield f"Frame.io is asked through the proxy {proxy.url}, as HTTPS_PROXY says (but for hosts in NO_PROXY)."
    for prefix, upstream in settings.upstreams.items():
        if upstream.client_cert is not None:
            yield from _client_certificate(prefix, upstream.client_cert.cert, now)
        if not upstream.verify:
            yield (
                f"DANGER: verify is false, so NOBODY KNOWS WHO ANSWERS as the tool of {prefix}. Whoever is on the "
                "way to it can pass for it, READ EVERY VISITOR'S TOKEN and change what they see. Give the tool's "
                "certificate, or its authority's, as ca_file instead."
            )


def _certificates(settings: Settings, now: datetime) -> Iterator[str]:
    certificates: dict[Path, Certificate] = {}
    for each in settings.tls or ():
        with suppress(Unusable):  # it was usable when the settings were read: the file has just changed
            certificates[each.cert] = read_certificate(each.cert)
    first_with: dict[str, Path] = {}
    for path, certificate in certificates.items():
        if certificate.ends < now:
            yield f"The certificate in {path} expired on {certificate.ends:%-d %B %Y}: browsers refuse it."
        elif certificate.begins > now:
            begins = f"{certificate.begins:%-d %B %Y}"
            yield f"The certificate in {path} is not valid before {begins}: browsers refuse it."
        for name in certificate.names:
            if (first := first_with.setdefault(name, path)) != path:
                yield f"{name} stands in {path} too: who asks for it gets the first one, {first}."
    host = urlsplit(settings.public_url).hostname or ""
    if certificates and settings.secure and not any(each.covers(host) for each in certificates.values()):
        yield f"No certificate of tls is for {host}, the host of public_url: browsers refuse it."


def _is_plain_http(url: str) -> bool:
    """Whether what is sent to this URL crosses a network without TLS."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")
