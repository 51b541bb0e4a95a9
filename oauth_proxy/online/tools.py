"""Checks of the tools: each is asked once, in the same way as for a visitor, but without anybody's token."""

import asyncio
import socket
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from ipaddress import ip_address

from oauth_proxy.errors import UpstreamNonsense, UpstreamTimeout, UpstreamUnreachable
from oauth_proxy.online.findings import Check, Finding, well, wrong
from oauth_proxy.responses import MARK
from oauth_proxy.settings import Listen, Settings, UpstreamUrl
from oauth_proxy.upstream.routes import Route

_MARK = f"\r\n{MARK}:".lower().encode("ascii")
_WHOSE = {"public": "listen", "admin": "admin.listen", "tool_api": "tool_api.listen"}


class ToolChecks:
    """A check of each upstream of these settings; `listeners` are our own, by what is served there."""

    def __init__(self, settings: Settings, routes: Sequence[Route], listeners: Mapping[str, Listen]) -> None:
        self._settings = settings
        self._routes = routes
        self._listeners = listeners

    def all(self) -> Iterator[Check]:
        """One check for each tool."""
        for route in self._routes:
            yield Check(f"tool of {route.prefix}", partial(self._tool, route))

    async def _tool(self, route: Route) -> Sequence[Finding]:
        subject, url = f"tool of {route.prefix}", self._settings.upstreams[route.prefix].url
        itself = await self._ourselves(url)
        if itself is not None:
            return wrong(subject, f"is the proxy itself: {url} is {itself}.", "Write where the tool listens.")
        start = f"Start the tool, or correct upstreams.{route.prefix} ({url})."
        try:
            head = await route.upstream.probe(
                f"{route.begins}/".encode("ascii"), route.host or self._settings.host.encode("ascii")
            )
        except UpstreamTimeout as error:
            return wrong(
                subject, f"is too slow: {error.cause}.", f"{start} A firewall may drop what is sent to it."
            )
        except UpstreamNonsense as error:
            advice = "Does it speak HTTP/1.1 there? https:// where it speaks TLS, http:// where it does not."
            return wrong(subject, f"gives no answer that can be passed on: {error.cause}.", advice)
        except UpstreamUnreachable as error:
            return wrong(subject, f"is not reached: {error.cause}.", start)
        if _MARK in head.block.lower():
            means = f"is an oauth-proxy: the answer of {url} has {MARK} in it."
            return wrong(subject, means, "Write where the tool listens, and not where people reach it.")
        return well(subject, f"answers at {url} ({head.status} to a request without a token).")

    async def _ourselves(self, url: UpstreamUrl) -> str | None:
        """Which of our own addresses this is, if it is one."""
        if f"{url.scheme}://{url.authority}" == self._settings.public_url:
            return "public_url"
        for name, at in self._listeners.items():
            if url.socket or at.path:
                if url.socket == at.path:
                    return _WHOSE[name]
            elif url.port == at.port and await _is_at(url.host, at.host):
                return _WHOSE[name]
        return None


async def _is_at(host: str, listens: str) -> bool:
    """Whether a connection to this host arrives at who listens on the other one."""
    try:
        here, there = await _addresses(listens), await _addresses(host)
    except OSError:
        return False
    if here & there:
        return True
    everywhere = any(ip_address(each).is_unspecified for each in here)
    return everywhere and any(_is_of_this_machine(each) for each in there)


async def _addresses(host: str) -> set[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return {str(address[0]).partition("%")[0] for *_, address in found}


def _is_of_this_machine(address: str) -> bool:
    """Only an address of the machine's own can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
