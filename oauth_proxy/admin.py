"""What the people who run it ask: metrics, alive, ready. On a listener of its own, never the public one."""

from collections.abc import Callable
from typing import Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from oauth_proxy.telemetry import Metrics


class Troubled(Protocol):
    """Something that may be in trouble, and says so."""

    @property
    def trouble(self) -> str | None:
        """What is wrong; None while nothing is."""
        ...


class Admin:
    """`is_ready` tells whether new visitors should be sent here, `memory` whether replicas know of each other.

    `capacity` is in trouble while newcomers are turned away.
    """

    def __init__(
        self, metrics: Metrics, is_ready: Callable[[], bool], memory: Troubled, capacity: Troubled
    ) -> None:
        self._metrics = metrics
        self._is_ready = is_ready
        self._memory = memory
        self._capacity = capacity

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """/metrics in Prometheus's text format, /healthz and /readyz as Kubernetes asks for them."""
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD"})
        match request.raw_path.partition("?")[0]:
            case "/metrics":
                body = generate_latest(self._metrics.registry)
                return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
            case "/healthz":
                return web.Response(text="ok\n")
            case "/readyz":
                return self._readiness()
        return web.Response(status=404, text="/metrics, /healthz and /readyz are here\n")

    def _readiness(self) -> web.Response:
        """Ready with Redis down too: it is down for all replicas at once, and each goes on alone."""
        if not self._is_ready():
            return web.Response(status=503, text="draining\n")
        if self._capacity.trouble:
            return web.Response(status=503, text=f"{self._capacity.trouble}\n")
        return web.Response(text="; ".join(filter(None, ["ready", self._memory.trouble])) + "\n")
