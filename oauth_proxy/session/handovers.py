"""Logins that a frame waits for, carried from the window where they end to the frame where they begin.

Where browsers block third-party cookies, the frame has cookies of its own, which the window does not see. So the
window cannot finish the login: it gives what Frame.io answered to the frame, by a script.

The law: what a script carries is sealed, good for a minute, and for the network address where it was made; and it
is redeemed only by the browser whose cookie began the login. No script ever sees Frame.io's code.
"""

from collections.abc import Callable

from oauth_proxy.seal import Sealer, Unsealable

LASTS = 60.0
"""Seconds for which a handover is good."""
LONGEST = 4096
"""Characters of a callback's query that is carried. Frame.io's have a few hundred, Adobe's up to two thousand."""


class Handovers:
    """Seals the queries of callbacks, and opens them. `clock` returns seconds since the epoch."""

    def __init__(self, sealer: Sealer, clock: Callable[[], float]) -> None:
        self._sealer = sealer
        self._clock = clock

    def seal(self, query: str, client: str) -> str | None:
        """The query (`?…`) of a callback for the client at this address; None if it is too long to be one."""
        if len(query) > LONGEST:
            return None
        return self._sealer.seal(
            f"{int(self._clock())} {query}".encode("utf-8", "surrogatepass"), _context(client)
        )

    def open(self, sealed: str, client: str) -> str | None:
        """The query that was sealed; None if it was sealed for somebody else, too long ago, or not by us."""
        try:
            made, _, query = (
                self._sealer.open(sealed, _context(client)).decode("utf-8", "surrogatepass").partition(" ")
            )
        except Unsealable:
            return None
        return query if abs(self._clock() - int(made)) <= LASTS else None


def _context(client: str) -> str:
    return f"handover {client}"
