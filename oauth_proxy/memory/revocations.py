"""Sessions that were ended early, so that copies of their cookies are refused.

The law: an end is remembered for as long as the session could have lasted, and one user's ends never evict another
user's.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from oauth_proxy.oauth import digest

MOST_OF_A_PERSON = 256
"""Ended sessions of one user that are remembered singly. Above it, the older half becomes one end of the user."""
_PURGE_EVERY = 3600.0


class Revocation(NamedTuple):
    """An end: `what` is `session ID`, `user NAME` (an id or email address in lower case), or `all`.

    An end of a user or of all covers the sessions that had begun by `when`. For a session, `person` is its user's
    id and `created` is when it began. Times are in seconds since the epoch.
    """

    what: str
    when: float
    person: str = ""
    created: float = 0.0

    @property
    def name(self) -> str:
        """Its key in a home: a hash, which does not reveal `what`."""
        return digest(self.what)

    @classmethod
    def of_user(cls, user: str | None, when: float) -> "Revocation":
        """The end of a user's sessions that had begun by `when`; of everybody's for None."""
        return cls("all" if user is None else f"user {user.lower()}", when)


class Revocations:
    """The ends that this process knows. `lifetime` is in seconds; `clock` returns seconds since the epoch."""

    def __init__(self, lifetime: float, clock: Callable[[], float]) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._known: dict[str, Revocation] = {}
        self._of_person: dict[str, list[Revocation]] = {}
        self._purge_at = clock() + _PURGE_EVERY

    def __len__(self) -> int:
        return len(self._known)

    def has(self, session_id: str, created: float, *names: str | None) -> bool:
        """Whether this session, of a user with these names, was ended."""
        known = self._known
        if not known:
            return False
        if f"session {session_id}" in known:
            return True
        ends = [known.get(f"user {name.lower()}") for name in names if name]
        return any(end is not None and created <= end.when for end in (*ends, known.get("all")))

    def learn(self, ends: Iterable[Revocation]) -> None:
        """Add these ends."""
        for end in ends:
            merged = self._known.get(f"user {end.person.lower()}") if end.person else None
            if merged is not None and end.created <= merged.when:
                continue  # it is told again, and to count it twice would move the mark over sessions that live
            before = self._known.get(end.what)
            if before is None or before.when < end.when:
                self._known[end.what] = end
                if before is None and end.person:
                    self._count(end)
        if self._clock() >= self._purge_at:
            self._purge()

    def known(self) -> list[Revocation]:
        """All known ends."""
        return list(self._known.values())

    def over_at(self, end: Revocation) -> float:
        """When the end may be dropped, because its sessions would have ended by themselves."""
        return (end.created or end.when) + self._lifetime

    def _count(self, end: Revocation) -> None:
        """Bound the memory used by a user who signs in and out often: merge the older half of their ends."""
        theirs = self._of_person.setdefault(end.person, [])
        theirs.append(end)
        if len(theirs) > MOST_OF_A_PERSON:
            theirs.sort(key=lambda each: each.created)
            older, theirs[:] = theirs[: len(theirs) // 2], theirs[len(theirs) // 2 :]
            for each in older:
                self._known.pop(each.what, None)
            self.learn([Revocation.of_user(end.person, older[-1].created)])

    def _purge(self) -> None:
        now = self._clock()
        self._purge_at = now + _PURGE_EVERY
        self._known = {what: end for what, end in self._known.items() if self.over_at(end) > now}
        live = {
            person: [end for end in ends if end.what in self._known] for person, ends in self._of_person.items()
        }
        self._of_person = {person: ends for person, ends in live.items() if ends}
