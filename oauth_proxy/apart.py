"""Work in threads that nobody has to wait for: name lookups, and other calls that cannot be cancelled.

asyncio and uvloop look names up in a few threads of the whole process: lookups that name servers leave without an
answer hold up all others. asyncio's are also waited for at the end of Python.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


async def apart(work: Callable[[], T]) -> T:
    """What `work` returns or raises; it has a thread that ends with the process. OSError if none can be had."""
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

    try:
        Thread(target=run, daemon=True).start()
    except RuntimeError as error:
        raise OSError(str(error)) from None
    return await done
