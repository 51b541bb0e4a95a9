"""How many connections visitors may have, in all and from one address, and who gives way when there are that many.

The law: descriptors are kept back for the admin listener, the tool and Frame.io, whatever visitors do. An idle
connection gives way to a new one; where none is idle, the new one is closed at once, so that a load balancer and
a browser know.
"""

import logging
import resource
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Protocol

log = logging.getLogger(__name__)

RESERVE = 256
"""Descriptors that no visitor gets. One turn of the event loop may accept a whole backlog (128) uncounted."""
MOST = 16_384
"""Connections, however many descriptors there are: an idle one still takes some memory."""
_REMEMBERED = 4096
"""Addresses that are not read again: reading one takes a twentieth of what a new connection does."""


class Guest(Protocol):
    """A visitor's connection."""

    def give_way(self) -> None:
        """End at once: you are idle, and somebody else needs the place."""


def raise_descriptor_limit() -> int:
    """Raise the process's soft limit of open files to the hard one; what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # some systems have a hard limit that they do not grant
        return soft
    return hard


def bound(wanted: int | None, descriptors: int) -> int:
    """How many connections there may be: each may need another one to the tool."""
    possible = max(1, (descriptors - RESERVE) // 2) if descriptors != resource.RLIM_INFINITY else MOST
    if wanted is not None and wanted > possible:
        log.warning("limits.connections is more than %d open files allow: it is %d", descriptors, possible)
    return min(possible, MOST if wanted is None else wanted)


class Capacity:
    """Room for `limit` connections, half of them for any one stranger.

    `is_front` tells addresses that speak for many visitors. For those, as for this machine's own and for Unix
    sockets, only the whole limit holds.
    """

    def __init__(self, limit: int = MOST, is_front: Callable[[str], bool] = lambda _: False) -> None:
        self.limit = limit
        self._of_one = max(1, limit // 2)
        self._is_front = is_front
        self._guests: dict[Guest, bytes] = {}
        self._idle: dict[Guest, None] = {}
        self._by_origin: dict[bytes, dict[Guest, None]] = {}
        self._origin = lru_cache(_REMEMBERED)(self._read_origin)

    @classmethod
    def within(cls, wanted: int | None, is_front: Callable[[str], bool]) -> "Capacity":
        """As many as are `wanted`, or as many as the process can have open."""
        return cls(bound(wanted, raise_descriptor_limit()), is_front)

    @property
    def open(self) -> int:
        """Connections that there are."""
        return len(self._guests)

    @property
    def trouble(self) -> str | None:
        """What is wrong when newcomers are turned away."""
        return (
            None if self.open < self.limit or self._idle else f"full: {self.limit} connections, none of them idle"
        )

    def admit(self, guest: Guest, address: str) -> bool:
        """Whether there is room for this one, who is idle until it wakes; it may be made by ending another."""
        origin = self._origin(address)
        others = self._by_origin.get(origin, {})
        if origin and len(others) >= self._of_one and not self._make_room(others):
            log.warning("a connection was refused: there are %d of its address already", self._of_one)
            return False
        if self.open >= self.limit and not self._make_room(self._idle):
            log.warning("a connection was refused: there are %d already, none of them idle", self.limit)
            return False
        self._guests[guest] = origin
        self._idle[guest] = None
        if origin:
            self._by_origin.setdefault(origin, {})[guest] = None
        return True

    def rest(self, guest: Guest) -> None:
        """Nothing is asked there now."""
        if guest in self._guests:
            self._idle[guest] = None

    def wake(self, guest: Guest) -> None:
        """A request has come."""
        self._idle.pop(guest, None)

    def leave(self, guest: Guest) -> None:
        """The connection is lost."""
        self._idle.pop(guest, None)
        origin = self._guests.pop(guest, b"")
        if origin:
            others = self._by_origin[origin]
            del others[guest]
            if not others:
                del self._by_origin[origin]

    def _make_room(self, among: Iterable[Guest]) -> bool:
        """End the one that has been idle for longest, roughly; whether there was any."""
        oldest = next((guest for guest in among if guest in self._idle), None)
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.give_way()
        return True

    def _read_origin(self, address: str) -> bytes:
        """Whom an address stands for: one of IPv4, 64 bits of IPv6 (RFC 6177), nobody where it is a front's."""
        if not address or self._is_front(address):
            return b""
        ip = ip_address(address.partition("%")[0])
        if isinstance(ip, IPv6Address):
            ip = ip.ipv4_mapped or ip
        return b"" if ip.is_loopback else ip.packed[:8]
