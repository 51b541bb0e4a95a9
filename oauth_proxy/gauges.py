"""What is looked up when somebody asks for the metrics: how much is open, and how near that is to its limit."""

import asyncio
import resource
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from oauth_proxy.capacity import Capacity
from oauth_proxy.session import OpenExchanges
from oauth_proxy.telemetry import Metrics
from oauth_proxy.typed import TypedForms
from oauth_proxy.upstream.upstream import Upstream
from oauth_proxy.upstream.whole import Room, WholeBodies

RECENT = 900.0
"""Seconds for which a session counts as seen recently."""


def show(
    metrics: Metrics,
    capacity: Capacity,
    open_exchanges: OpenExchanges,
    bodies: WholeBodies,
    upstreams: Mapping[str, Upstream],
    typed: TypedForms,
    provider_is_up: Callable[[], Mapping[str, bool]],
) -> None:
    """Add the gauges of these parts to the metrics."""
    metrics.show("oauth_proxy_connections", "Connections of visitors.", lambda: {(): capacity.open})
    metrics.show(
        "oauth_proxy_connections_limit", "Connections that visitors may have.", lambda: {(): capacity.limit}
    )
    metrics.show(
        "oauth_proxy_connections_refused",
        "Connections that were closed at once, because there was no room.",
        lambda: {(): capacity.refused},
        grows=True,
    )
    metrics.show(
        "oauth_proxy_tasks",
        "Tasks of the event loop: what grows here is a leak.",
        lambda: {(): len(asyncio.all_tasks())},
    )
    metrics.show(
        "oauth_proxy_streams",
        "Open WebSockets and event streams of people who are signed in.",
        lambda: {(): open_exchanges.streams},
    )
    metrics.show(
        "oauth_proxy_held_body_bytes", "Bytes of webhooks' bodies that are held.", lambda: {(): bodies.room.held}
    )
    metrics.show(
        "oauth_proxy_limit_used_ratio",
        "How much of a limit is used, of 1, by the process that has used most.",
        lambda: _used(capacity, bodies.room, typed.room),
        ("limit",),
    )
    metrics.show(
        "oauth_proxy_provider_up",
        "Whether Frame.io is asked, 1, or only probed as it is away, 0.",
        lambda: {(endpoint,): float(is_up) for endpoint, is_up in provider_is_up().items()},
        ("endpoint",),
    )
    metrics.show_traffic({prefix: upstream.traffic for prefix, upstream in upstreams.items()})
    _show_upstreams(metrics, upstreams)


def _show_upstreams(metrics: Metrics, upstreams: Mapping[str, Upstream]) -> None:
    def connections() -> dict[tuple[str, ...], float]:
        found: dict[tuple[str, ...], float] = {}
        for prefix, each in upstreams.items():
            found[prefix, "idle"] = each.idle_connections
            found[prefix, "in_use"] = each.open_connections - each.idle_connections
        return found

    metrics.show(
        "oauth_proxy_upstream_connections",
        "Connections to a tool, but for those of WebSockets.",
        connections,
        ("upstream", "state"),
    )
    metrics.show(
        "oauth_proxy_upstream_connections_limit",
        "Connections to a tool that there may be.",
        lambda: {(prefix,): each.limit for prefix, each in upstreams.items()},
        ("upstream",),
    )
    metrics.show(
        "oauth_proxy_upstream_waiting_requests",
        "Requests that wait for a connection to a tool.",
        lambda: {(prefix,): each.waiting for prefix, each in upstreams.items()},
        ("upstream",),
    )
    metrics.show(
        "oauth_proxy_upstream_websockets",
        "Open WebSockets to a tool.",
        lambda: {(prefix,): each.tunnels for prefix, each in upstreams.items()},
        ("upstream",),
    )


def _used(capacity: Capacity, bodies: Room, forms: Room) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {
        ("connections",): capacity.open / capacity.limit,
        ("held_bodies",): bodies.held / bodies.most,
        ("held_forms",): forms.held / forms.most,
    }
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        with suppress(OSError):  # a system without /dev/fd
            found["descriptors",] = sum(1 for _ in Path("/dev/fd").iterdir()) / most
    return found
