"""What things take: an idle connection of a visitor, a session in its cookie and in the store's file.

Usage: python -m tests.load.sizes [--count N]; needs nothing more, takes seconds.
"""

import argparse
import asyncio
import base64
import os
import re
import secrets
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from oauth_proxy.clock import MACHINE, Clock
from oauth_proxy.cookies import Cookies, SealedCookie
from oauth_proxy.demo.people import EDITOR
from oauth_proxy.headers import Fields
from oauth_proxy.identity import Identity, Session, Tokens, encode
from oauth_proxy.memory import memory_for
from oauth_proxy.seal import Sealer
from oauth_proxy.settings import parse
from tests.load.stage import Process, proxy
from tests.support.configuration import file

TOKENS = {"v2": 64, "v4": 2200}
"""Random bytes behind a token: v2's have about 87 characters, Adobe's JWTs about 3000."""


def memory_of(pid: int) -> float:
    """KiB of a process and its children; what they share counts once (PSS)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    rollups = [Path(f"/proc/{each}/smaps_rollup").read_text("ascii") for each in (str(pid), *children)]
    return sum(float(found[1]) for text in rollups if (found := re.search(r"\nPss:\s+(\d+)", text)))


async def idle_connection(at: Process, count: int) -> float:
    """KiB for each visitor's connection that has had an answer and waits."""
    before, kept = 0.0, []
    for number in range(count + 20):
        if number == 20:  # what the first ones take once is not theirs
            before = memory_of(at.pid)
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        writer.write(at.request("/public/x"))
        await reader.readuntil(b"\r\n\r\n")
        kept.append(writer)
    after = memory_of(at.pid)
    for writer in kept:
        writer.close()
    return (after - before) / count


def a_session(size: int) -> Session:
    now = time.time()
    who = Identity(EDITOR.id, EDITOR.email, EDITOR.name, EDITOR.account_id)
    access, refresh = (base64.urlsafe_b64encode(secrets.token_bytes(size)).decode() for _ in range(2))
    return Session(secrets.token_urlsafe(16), who, Tokens(access, now, now + 3600, refresh), now, now, now)


def cookie(size: int) -> list[int]:
    """Bytes of each cookie that holds a session."""
    cookies = Cookies("oauth_proxy", secure=True)
    sealed = SealedCookie(cookies, Sealer([secrets.token_bytes(32)], "session"), cookies.name)
    lines = sealed.set(encode(a_session(size)), 3600, cookies.read(Fields([])))
    return [len(line.partition(";")[0]) for line in lines]


async def stored(folder: Path, size: int, count: int) -> float:
    """KiB of the store's file for each session that is remembered."""
    secret = base64.b64encode(os.urandom(32)).decode()
    text = file(session=f"session: {{store: 'sqlite:{folder}/s.db', secret: {secret}}}")
    memory = memory_for(parse(text, filename="sizes.yaml", environ={}, folder=folder), Clock(MACHINE))
    await memory.follow()
    for _ in range(count):
        session = a_session(size)
        assert await memory.remember(session)
        await memory.note(session, session.seen)
    await memory.close()
    return sum((folder / each).stat().st_size for each in os.listdir(folder)) / 1024 / count  # noqa: PTH208


async def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=500, help="of connections and sessions")
    count = parser.parse_args().count
    async with proxy() as at:
        print(f"| idle connection of a visitor | {await idle_connection(at, count):.1f} KiB |")
    for api, size in TOKENS.items():
        print(f"| {api}: cookies of a session | {' + '.join(map(str, cookie(size)))} bytes |")
        with TemporaryDirectory(prefix="sizes-") as folder:
            print(f"| {api}: a session in the store's file | {await stored(Path(folder), size, count):.1f} KiB |")


if __name__ == "__main__":
    asyncio.run(main())
