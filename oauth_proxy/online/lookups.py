"""Work in threads that nobody has to wait for: name lookups, and other calls that cannot be cancelled.

asyncio looks names up in threads that Python waits for at the end: a name server that does not answer would keep
the command from ending long after its deadline.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


async def apart(work: Callable[[], T]) -> T:
    """What `work` returns or raises; it has a thread that ends with the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(settled: Callable[[Any], None], result: object) -> None:
        if not done.done():
            settled(result)

    def run() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 whoever waits gets it
                loop.call_soon_threadsafe(settle, done.set_exception, error)
            else:
                loop.call_soon_threadsafe(settle, done.set_result, result)

    Thread(target=run, daemon=True).start()
    return await done


class LoopThatLetsGo(asyncio.SelectorEventLoop):
    """asyncio's own loop, but for its lookups, which are `apart`."""

    async def getaddrinfo(self, *where: Any, **how: Any) -> list[Any]:
        """As socket.getaddrinfo."""
        return await apart(partial(socket.getaddrinfo, *where, **how))
