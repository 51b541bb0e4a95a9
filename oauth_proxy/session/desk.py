"""Who is signed in, and their ends, told to the admin listener. It stands in until the memory itself can tell."""

from collections import Counter
from collections.abc import Iterator

from oauth_proxy.identity import Seen, Session
from oauth_proxy.session.ended import Ended
from oauth_proxy.session.live import Live
from oauth_proxy.session.store import CookieStore


class Desk:
    """Knows the sessions that were read lately, and those with an open stream."""

    def __init__(self, ended: Ended, store: CookieStore, live: Live) -> None:
        self._ended = ended
        self._store = store
        self._live = live

    async def end_user(self, user: str | None) -> str | None:
        """End all sessions of an id or email address, or of everybody for None, and cut their streams."""
        untold = await self._ended.end_user(user)
        self._live.sweep()
        return untold

    async def seen(self) -> list[Seen]:
        """Everybody whose session was read lately."""
        streams = Counter(session.identity.id for session in self._live._streams.values())
        people: dict[str, Seen] = {}
        for session in self._sessions():
            who, known = session.identity, people.get(session.identity.id)
            since = min(session.created, known.since) if known else session.created
            last_seen = max(session.seen, known.last_seen) if known else session.seen
            people[who.id] = Seen(who.id, who.email, since, last_seen, streams[who.id])
        return list(people.values())

    def _sessions(self) -> Iterator[Session]:
        yield from self._live._streams.values()
        for loaded in self._store._opened.values():
            yield loaded.session
