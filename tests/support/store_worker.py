"""A process on a store file: `python -m tests.support.store_worker FILE NAME WORK`; a line for each thing it did.

`put` and `tell` go on for ever. `count` counts in FILE.count, twenty times, while it has the lease. `hold` keeps
every other writer out until its input ends.
"""

import asyncio
import sqlite3
import sys
import time
from pathlib import Path

from oauth_proxy.memory.home import Record
from oauth_proxy.memory.sqlite import SqliteHome
from tests.support.stores import SITE


async def put(home: SqliteHome, name: str) -> None:
    number = 0
    while True:
        await home.put(Record(f"session:{name}-{number}", "x" * 4000, float(number), 3600.0))
        print(number, flush=True)  # noqa: T201 what is printed is kept
        number += 1


async def tell(home: SqliteHome, name: str) -> None:
    number = 0
    while True:
        ends = [
            Record(f"ended:{name}-{number}-{each}", f"{name} {number} {each}", 1.0, 3600.0) for each in range(5)
        ]
        await home.tell(ends)
        print(number, flush=True)  # noqa: T201 what is printed is told
        number += 1


async def count(home: SqliteHome, name: str, path: Path) -> None:
    for _ in range(20):
        while not await home.take("turn:a", name, 60.0):  # noqa: ASYNC110 another process has it
            await asyncio.sleep(0.001)
        counted = int(path.read_text())  # noqa: ASYNC240 nobody else runs here
        await asyncio.sleep(0.001)
        path.write_text(str(counted + 1))  # noqa: ASYNC240 idem
        assert await home.give("turn:a", name)


def hold(path: Path) -> None:
    held = sqlite3.connect(path, isolation_level=None)
    held.execute("BEGIN EXCLUSIVE")
    print("held", flush=True)  # noqa: T201 others wait for it
    sys.stdin.read()
    held.close()


async def main(path: Path, name: str, work: str) -> None:
    home = SqliteHome(path, SITE, time.time)
    await home.open()
    match work:
        case "put":
            await put(home, name)
        case "tell":
            await tell(home, name)
        case _:
            await count(home, name, path.with_suffix(".count"))
    await home.close()


if __name__ == "__main__":
    file, who, what = Path(sys.argv[1]), *sys.argv[2:]
    if what == "hold":
        hold(file)
    else:
        asyncio.run(main(file, who, what))
