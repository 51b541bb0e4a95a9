"""What the people who run it ask: metrics, alive, ready. On a listener of its own, never the public one."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from oauth_proxy.telemetry import Metrics


class Admin:
    """`is_ready` tells whether new visitors should be sent here."""

    def __init__(self, metrics: Metrics, is_ready: Callable[[], bool]) -> None:
        self._metrics = metrics
        self._is_ready = is_ready

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
                ready = self._is_ready()
                return web.Response(status=200 if ready else 503, text="ready\n" if ready else "draining\n")
        return web.Response(status=404, text="/metrics, /healthz and /readyz are here\n")
