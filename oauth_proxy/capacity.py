"""Limits the connections of clients, in total and per address, and decides which one is closed at the limit.

The law: file descriptors are reserved for the admin listener, the tool and Frame.io, whatever clients do. At the
limit, an idle connection is closed for a new one; if none is idle, the new one is closed at once, so that a load
balancer or a browser notices.
"""

import logging
import math
import resource
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Protocol

log = logging.getLogger(__name__)

RESERVE = 256
"""Descriptors that no client gets. One turn of the loop may accept a whole backlog (128) before we count it."""
MOST = 16_384
"""Upper limit of connections, however many descriptors there are: an idle one still takes some memory."""
_ENOUGH = RESERVE + 2 * MOST
"""Descriptors for MOST connections and for those to the tool."""
_REMEMBERED = 4096
"""Addresses whose parse is cached: parsing takes a twentieth of the time of a new connection."""


class Guest(Protocol):
    """A client's connection."""

    def give_way(self) -> None:
        """Close at once: this connection is idle, and a new one needs its place."""


def raise_descriptor_limit() -> int:
    """Raise the process's soft limit of open files to the hard limit; return the new limit.

    macOS starts a process with 256, names no hard limit, and grants less than that. There the limit becomes
    what MOST connections need, or the largest half, quarter, … of it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard
    while wanted != soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            wanted = max(soft, wanted // 2 if 0 < wanted <= _ENOUGH else _ENOUGH)
        else:
            break
    return wanted


def bound(wanted: int | None, descriptors: int) -> int:
    """Return how many connections to allow: each may need a second descriptor, for the connection to the tool."""
    possible = max(1, (descriptors - RESERVE) // 2) if descriptors != resource.RLIM_INFINITY else MOST
    if wanted is not None and wanted > possible:
        log.warning("limits.connections is more than %d open files allow: it is %d", descriptors, possible)
    return min(possible, MOST if wanted is None else wanted)


class Capacity:
    """Room for `limit` connections, of which one address may have half.

    `is_front` tells whether an address is a front proxy, which serves many clients. Front proxies, this machine
    and Unix sockets are bound only by the whole limit.
    """

    def __init__(self, limit: int = MOST, is_front: Callable[[str], bool] = lambda _: False) -> None:
        self.limit = limit
        self.refused = 0
        """Connections so far that were closed at once, because there was no room."""
        self._of_one = max(1, limit // 2)
        self._is_front = is_front
        self._guests: dict[Guest, bytes] = {}
        self._idle: dict[Guest, None] = {}
        self._by_origin: dict[bytes, dict[Guest, None]] = {}
        self._origin = lru_cache(_REMEMBERED)(self._read_origin)

    @classmethod
    def within(cls, wanted: int | None, is_front: Callable[[str], bool], workers: int = 1) -> "Capacity":
        """Return a Capacity for the `wanted` number of connections, or as many as the process may have open.

        Of the wanted ones each of the `workers` gets its part.
        """
        part = None if wanted is None else math.ceil(wanted / workers)
        return cls(bound(part, raise_descriptor_limit()), is_front)

    @property
    def open(self) -> int:
        """Connections open now."""
        return len(self._guests)

    @property
    def idle(self) -> int:
        """Connections of those that a new one may take the place of."""
        return len(self._idle)

    @property
    def addresses(self) -> int:
        """Addresses that have a connection open, without those that serve many clients."""
        return len(self._by_origin)

    @property
    def trouble(self) -> str | None:
        """Why new connections are refused; None while they are accepted."""
        return (
            None if self.open < self.limit or self._idle else f"full: {self.limit} connections, none of them idle"
        )

    def admit(self, guest: Guest, address: str) -> bool:
        """Return whether there is room for `guest`, which counts as idle until `wake`. May close another one."""
        origin = self._origin(address)
        others = self._by_origin.get(origin, {})
        if origin and len(others) >= self._of_one and not self._make_room(others):
            self.refused += 1
            log.warning("a connection was refused: there are %d of its address already", self._of_one)
            return False
        if self.open >= self.limit and not self._make_room(self._idle):
            self.refused += 1
            log.warning("a connection was refused: there are %d already, none of them idle", self.limit)
            return False
        self._guests[guest] = origin
        self._idle[guest] = None
        if origin:
            self._by_origin.setdefault(origin, {})[guest] = None
        return True

    def rest(self, guest: Guest) -> None:
        """Mark the connection as idle."""
        if guest in self._guests:
            self._idle[guest] = None

    def wake(self, guest: Guest) -> None:
        """Mark the connection as busy: a request has arrived."""
        self._idle.pop(guest, None)

    def leave(self, guest: Guest) -> None:
        """Forget the connection: it is lost."""
        self._idle.pop(guest, None)
        origin = self._guests.pop(guest, b"")
        if origin:
            others = self._by_origin[origin]
            del others[guest]
            if not others:
                del self._by_origin[origin]

    def _make_room(self, among: Iterable[Guest]) -> bool:
        """Close the connection that has been idle longest (roughly); return whether there was one."""
        oldest = next((guest for guest in among if guest in self._idle), None)
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.give_way()
        return True

    def _read_origin(self, address: str) -> bytes:
        """Return what an address counts as: itself (IPv4), its /64 (IPv6, RFC 6177), or nothing: no limit."""
        if not address or self._is_front(address):
            return b""
        ip = ip_address(address.partition("%")[0])
        if isinstance(ip, IPv6Address):
            ip = ip.ipv4_mapped or ip
        return b"" if ip.is_loopback else ip.packed[:8]
