"""Mixed traffic against one process, good and hostile, for minutes: what grows, and what is lost.

Usage: python -m tests.load.soak [--minutes N]
"""

import argparse
import asyncio
import resource
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import uvloop

from tests.load import hostile
from tests.load.stage import Process, proxy, tell
from tests.load.tool import LARGE
from tests.support.browser import Visitor
from tests.support.raw_http import HANDSHAKE

ACCESS_LIFETIME = 5.0
"""Seconds of an access token's life: refreshes are part of it."""
PEOPLE = 6
UPLOAD = 4 << 20

Errand = Callable[[Process, str], Awaitable[None]]


class LostError(Exception):
    """Something that was asked for did not come as it should."""


@asynccontextmanager
async def asking(at: Process, head: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection on which this was asked, and answered with 200 or 101; the answer's head is read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
    try:
        writer.write(head)
        async with asyncio.timeout(60):
            answer = await reader.readuntil(b"\r\n\r\n")
            if answer[:12] not in (b"HTTP/1.1 200", b"HTTP/1.1 101"):
                raise LostError(answer[:60])
            yield reader, writer
    finally:
        writer.close()


async def small(at: Process, cookie: str) -> None:
    async with asking(at, at.request("/quick", cookie)) as (reader, _):
        await expect(reader, b"0")


async def download(at: Process, cookie: str) -> None:
    async with asking(at, at.request("/large", cookie)) as (reader, _):
        for _ in range(LARGE >> 16):
            await reader.readexactly(1 << 16)


async def upload(at: Process, cookie: str) -> None:
    head = at.request("/upload", cookie, f"Content-Length: {UPLOAD}", method="POST")
    async with asking(at, head + b"u" * UPLOAD) as (reader, _):
        await expect(reader, b"%d" % UPLOAD)


async def events(at: Process, cookie: str) -> None:
    async with asking(at, at.request("/events", cookie, "Accept: text/event-stream")) as (reader, _):
        for number in range(1, 6):
            await reader.readuntil(b"data: %d\n\n" % number)


async def websocket(at: Process, cookie: str) -> None:
    async with asking(at, at.request("/echo", cookie, *HANDSHAKE)) as (reader, writer):
        for size in (1, 1000, 100_000):
            writer.write(b"w" * size)
            await expect(reader, b"w" * size)


async def abort(at: Process, cookie: str) -> None:
    async with asking(at, at.request("/large", cookie)) as (reader, writer):
        await reader.readexactly(1000)
        writer.transport.abort()


async def expect(reader: asyncio.StreamReader, wanted: bytes) -> None:
    found = await reader.readexactly(len(wanted))
    if found != wanted:
        raise LostError(found[:60])


ERRANDS: tuple[Errand, ...] = (small, small, small, small, download, upload, events, websocket, abort)


async def visit(at: Process, until: float, done: Counter[str], lost: list[str]) -> None:
    """A person with a browser: signs in, does every errand in turn, some of them twice at once, and signs out."""
    turn = 0
    while time.monotonic() < until:
        async with Visitor() as visitor:
            try:
                await sign_in(at, visitor)
                done["logins"] += 1
                for _ in range(12):
                    await visitor.get(f"{at.url}/quick")  # by which a browser gets its refreshed cookie
                    cookie = visitor.cookie_line(f"{at.url}/quick")
                    chosen = [ERRANDS[(turn + beside) % len(ERRANDS)] for beside in (0, 4)]
                    turn += 1
                    await asyncio.gather(*(named(errand, at, cookie) for errand in chosen))
                    done.update(errand.__name__ for errand in chosen)
                    await asyncio.sleep(0.2)
                    if time.monotonic() > until:
                        break
            except Exception as error:  # noqa: BLE001 - whatever it is, it is lost, and told at the end
                lost.append(repr(error))
                await asyncio.sleep(1)


async def sign_in(at: Process, visitor: Visitor) -> None:
    page = await visitor.login(f"{at.url}/quick")
    if page.status != 200 or page.url.path != "/quick":
        raise LostError(f"the login ended with {page.status} at {page.url.path}")


async def named(errand: Errand, at: Process, cookie: str) -> None:
    """The errand; how it fails says which it was."""
    try:
        await errand(at, cookie)
    except (OSError, TimeoutError, asyncio.IncompleteReadError, LostError) as error:
        raise LostError(f"{errand.__name__}: {error!r}") from error


async def attack(at: Process, until: float, done: Counter[str]) -> None:
    """One attack after another by a few strangers, for a few seconds each."""
    while time.monotonic() < until:
        for each in hostile.ATTACKS:
            async with hostile.attacked(at, each, 5):
                await asyncio.sleep(min(3.0, max(0.0, until - time.monotonic())))
            done["attacks"] += 1


async def row(at: Process) -> list[float]:
    return [at.rss, await at.gauge("oauth_proxy_connections"), await at.gauge("oauth_proxy_tasks"), at.descriptors]


async def main(minutes: float) -> int:
    """The table; 1 when anything was lost."""
    done: Counter[str] = Counter()
    lost: list[str] = []
    async with proxy(access_lifetime=ACCESS_LIFETIME) as at:
        rows = [await row(at)]
        until = time.monotonic() + minutes * 60
        at_work = [asyncio.create_task(visit(at, until, done, lost)) for _ in range(PEOPLE)]
        at_work.append(asyncio.create_task(attack(at, until, done)))
        while not all(task.done() for task in at_work):
            await asyncio.wait(at_work, timeout=5)
            rows.append(await row(at))
            tell(f"{rows[-1]} done {done.total()} lost {len(lost)}")
        for task in at_work:
            task.result()
        await asyncio.sleep(min(65.0, minutes * 30))  # idle connections have their minute
        end = await row(at)
        refreshes = at.frameio.calls["token:refresh_token"]
    print(f"{minutes:g} minutes: {dict(done)}, refreshes: {refreshes}\n")
    print("| | start | peak | end |\n|---|---|---|---|")
    for number, name in enumerate(("RSS, MiB", "connections", "tasks", "descriptors")):
        start, peak = rows[0][number], max(each[number] for each in rows)
        print(f"| {name} | {start:.0f} | {peak:.0f} | {end[number]:.0f} |")
    print(f"\nlost: {len(lost)}", *sorted(set(lost)), sep="\n  ")
    return bool(lost)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="of traffic (%(default)s)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(main(parser.parse_args().minutes)))
