"""Handles: what a tool is given to ask for a visitor's fresh token later, when the request is long over.

The law: a handle is of one session, opens nothing but that session's token, and nothing once the session is over.
"""

import json
from collections import OrderedDict
from collections.abc import Callable

from oauth_proxy.errors import SessionsUnavailable, SignInRequired
from oauth_proxy.identity import Identity, Session
from oauth_proxy.memory import Memory
from oauth_proxy.seal import Sealer, Unsealable
from oauth_proxy.session.refresh import Refresher

_REMEMBERED = 8192
_LONGEST = 512


class Handles:
    """`allows` tells who may enter, `last_used` when a session was last used here; times in seconds.

    A handle is good while its session has something open, and for `idle` after its last request.
    """

    def __init__(
        self,
        sealer: Sealer,
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
        self._refresher = refresher
        self._memory = memory
        self._lifetime = lifetime
        self._idle = idle
        self._allows = allows
        self._last_used = last_used
        self._clock = clock
        self._started = clock()
        self._issued: OrderedDict[str, tuple[str, Session]] = OrderedDict()

    def of(self, session: Session) -> str:
        """The session's handle; none for a program's, whose token is its own."""
        if session.program:
            return ""
        handle, _ = self._issued.pop(session.id, ("", None))
        handle = handle or self._sealer.seal(json.dumps([session.id, session.created]).encode())
        self._issued[session.id] = handle, session
        if len(self._issued) > _REMEMBERED:
            self._issued.popitem(last=False)
        return handle

    async def session(self, handle: str) -> Session:
        """The handle's session, with a token that is good now.

        Raises SignInRequired for what is no handle of ours and once the session is over, ProviderUnavailable while
        its token has run out and Frame.io is away, and SessionsUnavailable when the session is not known here
        until its next request.
        """
        try:
            session_id, created = json.loads(self._sealer.open(handle[:_LONGEST]))
        except Unsealable:
            raise SignInRequired("a handle that is none of ours") from None
        if self._clock() - created >= self._lifetime:
            raise SignInRequired("the session's lifetime has passed")
        session = await self._find(session_id)
        if self._memory.has_ended(session) or not self._allows(session.identity):
            raise SignInRequired("the session is over")
        fresh = await self._refresher.fresh(session)
        if not self._allows(fresh.identity):
            raise SignInRequired("the session is over")
        return fresh

    async def _find(self, session_id: str) -> Session:
        """The session as far as it is known. Raises as `session` does."""
        _, issued = self._issued.get(session_id, ("", None))
        last_used = self._last_used(session_id)
        if not last_used and (noted := await self._memory.noted(session_id)) is not None:
            last_used = noted.seen  # in another process, or before this one started
        session = issued or await self._memory.newest(session_id)
        unknown_for = self._clock() - (last_used or self._started)
        if unknown_for >= self._idle:
            raise SignInRequired("the session has been idle for too long")
        if session is None:
            raise SessionsUnavailable("the session of a handle is not known here until its next request")
        return session
