"""Callbacks: each login is redeemed once, and whoever opens its callback again lands where the first one landed.

The law: for one state there is one call to the token endpoint, in whichever process, however many callbacks come.
A code that is redeemed twice costs its owner the tokens (RFC 6749 4.1.2).
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
"""Anybody can come with a state of their own: they may not keep the memory from everybody else."""
_LANDED_FOR = 60.0
"""Seconds for which others may land where the first one did."""
_PATIENCE, _LOOK_AGAIN = 30.0, 0.1
"""Seconds that another process may take, and between two looks at whether it is done."""


class Landing(NamedTuple):
    """Where a login ends: an address of ours, and the Set-Cookie values that go with it."""

    url: str
    set_cookies: Sequence[str]


class Redemptions:
    """Those on their way and of late; `memory` tells of those in other processes."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._tasks: OrderedDict[str, asyncio.Task[Landing]] = OrderedDict()
        self._claims = asyncio.Semaphore(_CLAIMS_AT_ONCE)

    async def once(self, state: str, redeem: Callable[[], Awaitable[Landing]]) -> Landing:
        """What `redeem` gives for this state, called or not. Raises what it raises.

        Raises AttemptUnknown when it was called too long ago to know what came of it.
        """
        name = digest(state)
        task = self._tasks.get(name)
        if task is None:
            # In a task: a visitor who hangs up comes back with the same callback, and the code is spent.
            task = self._tasks[name] = asyncio.create_task(self._redeem(name, redeem))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be waiting
            self._forget_oldest()
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Let those on their way finish."""
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
        """Where the callback landed that came first, in another process or before this one started."""
        give_up = time.monotonic() + patience
        while (left := await self._memory.find(f"landing {name}")) is None and time.monotonic() < give_up:
            if self._memory.trouble:
                break
            await asyncio.sleep(_LOOK_AGAIN)
        if left:
            return Landing(*json.loads(left))
        raise AttemptUnknown("the state of this callback has been redeemed already")

    def _forget_oldest(self) -> None:
        """Of those that are done; the memory knows for longer that they were redeemed."""
        for name in list(self._tasks)[: max(0, len(self._tasks) - _REMEMBERED)]:
            if self._tasks[name].done():
                del self._tasks[name]
