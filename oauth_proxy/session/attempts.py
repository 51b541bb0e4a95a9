"""Login attempts. Each has its own short-lived sealed cookie, so that logins in several tabs do not collide.

The law: the cookie binds a login to the browser that started it. The state carries, sealed, the return address and
whether the login was restarted, so that both survive even when the cookie is lost. It stays short enough for URLs:
a long address waits in the memory, and the state has the part that fits.
"""

import logging
import re
import secrets
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from oauth_proxy.cookies import Cookies, RequestCookies
from oauth_proxy.memory import Memory
from oauth_proxy.oauth import ATTEMPT_LIFETIME, Attempt, digest
from oauth_proxy.seal import Sealer, Unsealable
from oauth_proxy.session.handovers import Handovers
from oauth_proxy.session.long_addresses import LongAddresses

log = logging.getLogger(__name__)

MOST = 24
"""Login attempts that a browser may have open. Together their cookies stay below 8 KiB."""
LONGEST_SEALED = 2800
"""Characters of a sealed destination in a state: 2000 of an address that cannot be compressed."""
MOST_TRIES = 3
"""Logins in a row that may succeed although the browser never returns a session cookie."""
MOST_SIGNED_IN = 8
"""Logins in a row of a browser that returns its session, but asks for nothing else. It may open tabs at once."""
_TRIES_LIFETIME = 300
_FRAMED = "f"
"""Before what a state holds, if a frame waits for the login."""


# The first character of what a state holds, if the login was not restarted, and if it was: before a whole address,
# and before a part of one that waits in the memory.
_WHOLE, _PART, _RESTARTED = "01", "23", "13"


class Destination(NamedTuple):
    """What a state holds: the return address, and what kind of login it is.

    `restarted`: its cookie was lost once. `framed`: a frame waits for it, where no other window can set cookies.
    """

    return_to: str
    restarted: bool = False
    framed: bool = False


class Attempts:
    """Starts, finds and finishes login attempts. `clock` returns seconds since the epoch.

    Long addresses wait in `memory`. `shortened` is that of `Site`: the longest form of an address that fits.
    """

    def __init__(
        self,
        cookies: Cookies,
        sealer: Sealer,
        clock: Callable[[], float],
        memory: Memory,
        shortened: Callable[[str, Callable[[str], bool]], str],
    ) -> None:
        self._cookies = cookies
        self._sealer = sealer
        self._clock = clock
        self._long_addresses = LongAddresses(memory)
        self._shortened = shortened
        self.handovers = Handovers(sealer, clock)
        self.tries = f"{cookies.name}-tries"
        self._prefix = f"{cookies.name}-login-"
        self._named = re.compile(re.escape(self._prefix) + r"[A-Za-z0-9_-]{8}")

    async def start(
        self, to: Destination, received: RequestCookies, client: str
    ) -> tuple[str, Attempt, list[str]]:
        """Start an attempt. Returns its state, the attempt, and Set-Cookie values: store it, drop the oldest.

        `client` is the key by which strangers are counted.
        """
        nonce = secrets.token_urlsafe(16)
        sealed = self._seal(to, nonce, _WHOLE)
        if len(sealed) > LONGEST_SEALED:
            await self._long_addresses.keep(nonce, to.return_to, client)
            sealed = self._seal_part(to, nonce)
        state = f"{nonce}.{sealed}"
        attempt = Attempt.start(state, self._clock())
        name = self._name(state)
        cookie = self._cookies.set(name, self._sealer.seal(attempt.encode(), name), ATTEMPT_LIFETIME)
        return state, attempt, [cookie, *(self._cookies.clear(old) for old in self._surplus(received))]

    def find(self, state: str, received: RequestCookies) -> Attempt | None:
        """This browser's attempt with this `state`; None if there is none or it has expired."""
        attempt = self._open(self._name(state), received)
        waits = attempt is not None and attempt.goes_with(state) and attempt.is_live(self._clock())
        return attempt if waits else None

    async def destination(self, state: str) -> Destination | None:
        """The destination of the login with this state; None for a state that we did not make."""
        nonce, _, sealed = state.partition(".")
        try:
            content = self._sealer.open(sealed, _destination_of(nonce)).decode()
        except Unsealable:
            return None
        framed, content, whole = content.startswith(_FRAMED), content.removeprefix(_FRAMED), None
        if content[0] in _PART and (whole := await self._long_addresses.find(nonce)) is None:
            log.info("the end of a long return address is lost: the memory no longer has it")
        return Destination(whole or content[1:], restarted=content[0] in _RESTARTED, framed=framed)

    def _seal_part(self, to: Destination, nonce: str) -> str:
        """The sealed destination with as much of its address as fits."""

        def fits(address: str) -> bool:
            return len(self._seal(to._replace(return_to=address), nonce, _PART)) <= LONGEST_SEALED

        return self._seal(to._replace(return_to=self._shortened(to.return_to, fits)), nonce, _PART)

    def _seal(self, to: Destination, nonce: str, marks: str) -> str:
        content = _FRAMED * to.framed + marks[to.restarted] + to.return_to
        return self._sealer.seal(content.encode(), _destination_of(nonce))

    def count_try(self, received: RequestCookies) -> tuple[int, str]:
        """The number of successful logins in a row, this one included, and the Set-Cookie value that stores it."""
        before = received.ours.get(self.tries, "")
        tries = int(before) + 1 if re.fullmatch("[0-9]", before) else 1
        return tries, self._cookies.set(self.tries, str(min(tries, 9)), _TRIES_LIFETIME)

    def forget_tries(self, received: RequestCookies) -> list[str]:
        """Set-Cookie values that reset the count, because the browser returned a session cookie."""
        return [self._cookies.clear(self.tries)] if self.tries in received.seen else []

    def finish(self, state: str, received: RequestCookies) -> list[str]:
        """Set-Cookie values that delete this attempt and the expired ones."""
        done = {self._name(state)} & received.seen
        return [self._cookies.clear(name) for name in sorted(done | set(self._dead(received)))]

    def _name(self, state: str) -> str:
        return self._prefix + digest(state)[:8]

    def _open(self, name: str, received: RequestCookies) -> Attempt | None:
        sealed = received.ours.get(name)
        if sealed is None:
            return None
        try:
            return Attempt.decode(self._sealer.open(sealed, name))
        except Unsealable:
            return None

    def _waiting(self, received: RequestCookies) -> dict[str, Attempt | None]:
        """The attempts this browser sent, also expired ones; a limit bounds the work for hostile requests."""
        named = filter(self._named.fullmatch, received.seen)
        return {name: self._open(name, received) for name in islice(named, 2 * MOST)}

    def _dead(self, received: RequestCookies) -> list[str]:
        now = self._clock()
        waiting = self._waiting(received)
        return [name for name, attempt in waiting.items() if attempt is None or not attempt.is_live(now)]

    def _surplus(self, received: RequestCookies) -> list[str]:
        waiting = self._waiting(received)
        by_age = sorted(waiting, key=lambda name: attempt.created if (attempt := waiting[name]) else 0.0)
        return by_age[: max(0, len(by_age) - MOST + 1)]


def _destination_of(nonce: str) -> str:
    return f"destination {nonce}"
