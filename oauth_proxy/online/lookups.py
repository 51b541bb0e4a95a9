"""Lookups of names that keep nobody waiting.

asyncio looks names up in threads that Python waits for at the end: a name server that does not answer would keep
the command from ending long after its deadline.
"""

import asyncio
import socket
from functools import partial
from typing import Any

from oauth_proxy.apart import apart


class LoopThatLetsGo(asyncio.SelectorEventLoop):
    """asyncio's own loop, but for its lookups, which are `apart`."""

    async def getaddrinfo(self, *where: Any, **how: Any) -> list[Any]:
        """As socket.getaddrinfo."""
        return await apart(partial(socket.getaddrinfo, *where, **how))
