"""Callbacks: each authorization code is redeemed once; a repeated callback gets the same redirect as the first.

The law: for one state there is one call to the token endpoint, in all processes, however many callbacks arrive.
When a code is used twice, the authorization server may revoke the tokens issued for it (RFC 6749 4.1.2).
"""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from oauth_proxy.errors import AttemptUnknown, ProxyError
from oauth_proxy.memory import Memory
from oauth_proxy.oauth import ATTEMPT_LIFETIME, digest

_REMEMBERED = 1024
_CLAIMS_AT_ONCE = 16
"""Bounds concurrent claims: strangers, who can invent states, must not keep the memory busy for all others."""
_LANDED_FOR = 60.0
"""Seconds during which a repeated callback gets the first one's redirect."""
_PATIENCE, _LOOK_AGAIN = 30.0, 0.1
"""Seconds that another process may take, and seconds between two checks whether it is done."""


class Landing(NamedTuple):
    """The result of a login: an address of ours to redirect to, and the Set-Cookie values to send."""

    url: str
    set_cookies: Sequence[str]


class Redemptions:
    """The redemptions in progress and recent ones; `memory` knows those of other processes."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._tasks: OrderedDict[str, asyncio.Task[Landing]] = OrderedDict()
        self._claims = asyncio.Semaphore(_CLAIMS_AT_ONCE)

    async def once(self, state: str, redeem: Callable[[], Awaitable[Landing]]) -> Landing:
        """The result of `redeem` for this state; it is called on the first callback only. Raises what it raises.

        Raises AttemptUnknown when it was called too long ago for its result to be known.
        """
        name = digest(state)
        task = self._tasks.get(name)
        if task is None:
            # In its own task: a client that disconnects repeats the callback, and the code cannot be used again.
            task = self._tasks[name] = asyncio.create_task(self._redeem(name, redeem))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # perhaps nobody waits
            self._forget_oldest()
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Let the redemptions in progress finish."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _redeem(self, name: str, redeem: Callable[[], Awaitable[Landing]]) -> Landing:
        async with self._claims:
            claimed_ago = await self._memory.claim(f"state {name}", ATTEMPT_LIFETIME)
        if claimed_ago is not None:
            return await self._elsewhere(name, _PATIENCE - claimed_ago)
        try:
            landing = await redeem()
        except ProxyError:
            await self._memory.leave(f"landing {name}", b"", _LANDED_FOR)
            raise
        await self._memory.leave(f"landing {name}", json.dumps(landing).encode(), _LANDED_FOR)
        return landing

    async def _elsewhere(self, name: str, patience: float) -> Landing:
        """The result of the first callback, which another process or an earlier one handled."""
        give_up = time.monotonic() + patience
        while (left := await self._memory.find(f"landing {name}")) is None and time.monotonic() < give_up:
            if self._memory.trouble:
                break
            await asyncio.sleep(_LOOK_AGAIN)
        if left:
            return Landing(*json.loads(left))
        raise AttemptUnknown("the state of this callback has been redeemed already")

    def _forget_oldest(self) -> None:
        """Drop the oldest finished ones; the memory records for longer that they were redeemed."""
        for name in list(self._tasks)[: max(0, len(self._tasks) - _REMEMBERED)]:
            if self._tasks[name].done():
                del self._tasks[name]
