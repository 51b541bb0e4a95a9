"""Handles: a tool uses one to get a visitor's fresh token later, after the visitor's request has ended.

The law: a handle belongs to one session. It gives access to that session's token only, and to nothing once the
session is over.
"""

import json
from collections.abc import Callable

from oauth_proxy.bounded import Bounded
from oauth_proxy.errors import SessionsUnavailable, SignInRequired
from oauth_proxy.identity import Identity, Session
from oauth_proxy.memory import Memory
from oauth_proxy.seal import Sealer, Unsealable
from oauth_proxy.session.refresh import Refresher

_REMEMBERED = 8192
_LONGEST = 512


class Handles:
    """The handles of one `site`. `allows` decides who has access; `last_used` returns a session's last use here.

    All times are in seconds. A handle is valid while its session has a request or stream open, and for `idle`
    seconds after the session's last request.
    """

    def __init__(
        self,
        sealer: Sealer,
        site: str,
        refresher: Refresher,
        memory: Memory,
        *,
        lifetime: float,
        idle: float,
        allows: Callable[[Identity], bool],
        last_used: Callable[[str], float],
        clock: Callable[[], float],
    ) -> None:
        self._sealer = sealer
        self._site = site
        self._refresher = refresher
        self._memory = memory
        self._lifetime = lifetime
        self._idle = idle
        self._allows = allows
        self._last_used = last_used
        self._clock = clock
        self._started = clock()
        self._issued = Bounded[str, tuple[str, Session]](_REMEMBERED)

    def of(self, session: Session) -> str:
        """The session's handle; empty for a program's session, because a program has its own token."""
        if session.program:
            return ""
        handle, _ = self._issued.get(session.id) or ("", None)
        handle = handle or self._sealer.seal(json.dumps([session.id, session.created]).encode(), self._site)
        self._issued.keep(session.id, (handle, session))
        return handle

    async def session(self, handle: str) -> Session:
        """The handle's session, with an access token that is valid now.

        Raises SignInRequired for a handle that we did not issue or whose session is over, GrantEnded when Frame.io
        ends the grant now, ProviderUnavailable when the token has expired and Frame.io cannot be reached, and
        SessionsUnavailable when this process does not know the session until its next request.
        """
        try:
            session_id, created = json.loads(self._sealer.open(handle[:_LONGEST], self._site))
        except Unsealable:
            raise SignInRequired("a handle that is none of ours") from None
        if self._clock() - created >= self._lifetime:
            raise SignInRequired("the session's lifetime has passed")
        await self._memory.catch_up()
        session = self._going_on(await self._found(session_id, created))
        is_unknown = not self._allows(session.identity)
        current = self._refresher.asked_again if is_unknown else self._refresher.fresh
        return self._going_on(await current(session))

    def _going_on(self, session: Session) -> Session:
        """The newest known version of the session. Raises SignInRequired when it is over."""
        newest = self._refresher.newest(session)
        is_refused = self._refresher.is_asked(newest) and not self._allows(newest.identity)
        if is_refused or self._memory.has_ended(newest):
            raise SignInRequired("the session is over")
        return newest

    async def _found(self, session_id: str, created: float) -> Session:
        """The session as this process or the memory knows it. Raises as `session` does."""
        session = self._given_to(session_id) or await self._memory.newest(session_id)
        used = self._last_used(session_id)
        if session is not None and self._clock() - used < self._idle:
            return session
        note = await self._memory.noted(session_id)
        if note is not None:
            used = max(used, note.seen)
        elif self._memory.trouble:
            raise SessionsUnavailable("nobody can be asked when the session of a handle was last used")
        elif session is None:  # perhaps from before this process started: it has no record of its use
            used = used or self._started
        names = (note.user, note.email) if note else ()
        if self._memory.is_over(session_id, created, *names) or self._clock() - used >= self._idle:
            raise SignInRequired("the session is over, or has been idle for too long")
        if session is None:
            raise SessionsUnavailable("the session of a handle is not known here until its next request")
        return session

    def _given_to(self, session_id: str) -> Session | None:
        """The session, if this process issued its handle and still remembers it."""
        issued = self._issued.get(session_id)
        if issued is None:
            return None
        self._issued.keep(session_id, issued)  # it is in use, so it becomes the last to be evicted
        return issued[1]
