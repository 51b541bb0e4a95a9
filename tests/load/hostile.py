"""Attacks on a fresh process each: its memory before, during and after, and what other visitors notice.

Usage: python -m tests.load.hostile [--connections N] [--seconds N] [--settle N] [--only WORDS]
"""

import argparse
import asyncio
import resource
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import uvloop

from tests.load.stage import Process, proxy, tell
from tests.load.tool import TINY
from tests.support.messages import LONG_LINE
from tests.support.raw_http import HANDSHAKE
from tests.support.units import KIB

ATTACKER = "127.0.0.66"
"""Their address: with the other visitors' own, they would share those visitors' places at the tool as well."""
Attack = Callable[[Process, socket.socket], Awaitable[None]]
GARBAGE = b"\x00nonsense\r\n\r\n" * 5000


async def send(sock: socket.socket, *pieces: bytes) -> None:
    for piece in pieces:
        await asyncio.get_running_loop().sock_sendall(sock, piece)


async def unfinished_head(at: Process, sock: socket.socket) -> None:
    await send(sock, at.request("/public/x")[:-2], *[LONG_LINE] * 540)


async def head_short_of_its_bound(at: Process, sock: socket.socket) -> None:
    await send(sock, at.request("/public/x")[:-2], *[LONG_LINE] * 6)


async def garbage_behind_a_request(at: Process, sock: socket.socket) -> None:
    await send(sock, at.request("/public/slow"), *[GARBAGE] * 100)


async def requests_behind_a_request(at: Process, sock: socket.socket) -> None:
    await send(sock, at.request("/public/slow"), *[at.request("/public/x", "X: " + "v" * 30 * KIB)] * 300)


async def unread_pages(at: Process, sock: socket.socket) -> None:
    await send(sock, *[at.request("/oauth2/sign_in", "Accept: text/html") * 500] * 100)


async def unread_answers(at: Process, sock: socket.socket) -> None:
    await send(sock, at.request("/public/large"))


async def unread_tiny_chunks(at: Process, sock: socket.socket) -> None:
    await send(sock, at.request("/public/tiny"))


async def tiny_chunks_for_a_deaf_tool(at: Process, sock: socket.socket) -> None:
    await send(sock, at.request("/public/slow", "Transfer-Encoding: chunked", method="POST"), *[TINY] * 100)


async def unread_websocket(at: Process, sock: socket.socket) -> None:
    await send(sock, at.request("/public/flood", *HANDSHAKE))


async def nothing(at: Process, sock: socket.socket) -> None:
    """Only be there."""


ATTACKS: tuple[Attack, ...] = (
    nothing,
    unfinished_head,
    head_short_of_its_bound,
    garbage_behind_a_request,
    requests_behind_a_request,
    unread_pages,
    unread_answers,
    unread_tiny_chunks,
    tiny_chunks_for_a_deaf_tool,
    unread_websocket,
)


@dataclass
class Seen:
    """MiB, and the 99th percentile of other visitors' milliseconds."""

    idle: float
    peak: float
    after: float
    quiet_p99: float
    p99: float
    open: int


async def look(attack: Attack, options: argparse.Namespace) -> Seen:
    """One attack, from the first connection until the process has settled."""
    async with proxy() as at:
        quiet = await p99(at, options.seconds / 2)
        idle, peaks = at.rss, [at.rss]
        async with attacked(at, attack, options.connections):
            watching = asyncio.create_task(watch(at, peaks))
            during = await p99(at, options.seconds)
            still_open = await at.gauge("oauth_proxy_connections")
            watching.cancel()
        await asyncio.sleep(options.settle)
        return Seen(idle, max(peaks), at.rss, quiet, during, still_open)


async def watch(at: Process, peaks: list[float]) -> None:
    """Look at its memory ten times a second."""
    while True:
        peaks.append(at.rss)
        await asyncio.sleep(0.1)


@asynccontextmanager
async def attacked(at: Process, attack: Attack, number: int) -> AsyncIterator[None]:
    """That many strangers at it, none of whom reads."""
    loop = asyncio.get_running_loop()
    sockets = []
    tasks = []
    for _ in range(number):
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * KIB)
        sock.bind((ATTACKER, 0))
        await loop.sock_connect(sock, ("127.0.0.1", at.port))
        sockets.append(sock)
        tasks.append(asyncio.create_task(quietly(attack(at, sock))))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for sock in sockets:
            sock.close()


async def quietly(attacking: Awaitable[None]) -> None:
    with suppress(OSError):  # the proxy hung up
        await attacking


async def p99(at: Process, seconds: float) -> float:
    """What other visitors, in a process of their own, wait for a small answer."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.load.visitors", str(at.port), str(seconds), stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    return float(told)


async def main(options: argparse.Namespace) -> None:
    """All attacks, and the table."""
    rows = []
    for attack in ATTACKS:
        name = attack.__name__.replace("_", " ")
        if options.only in name:
            tell(name)
            seen = await look(attack, options)
            row = (
                f"{seen.idle:.0f} | {seen.peak - seen.idle:+.0f} | {seen.after - seen.idle:+.0f} | {seen.open}"
                f" | {seen.quiet_p99:.1f} | {seen.p99:.1f}"
            )
            tell(row)
            rows.append(f"| {name} | {row} |")
    print(f"{options.connections} connections, {options.seconds:g} s each; after: {options.settle:g} s later.\n")
    print("| attack | idle MiB | during | after | still open | others' p99 ms, quiet | during |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="hostile-load", description=__doc__)
    parser.add_argument("--connections", type=int, default=200, help="of strangers (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="for which each attack lasts (%(default)s)")
    parser.add_argument(
        "--settle", type=float, default=60, help="seconds after which memory is read (%(default)s)"
    )
    parser.add_argument("--only", default="", help="attacks with these words in their name")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(parser.parse_args(sys.argv[1:])))
