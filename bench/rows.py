"""What is measured: each row is one kind of work, done once per round in every column that can do it."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

from bench import mix, sockets
from bench.measure import Sample, parse_wrk
from bench.peers import LOGGING, OURS, Peer, World
from bench.programs import ALL_CORES, OTHER_CORE, PROXY_CORE, free_port
from bench.stage import GIB, MIB, Column, bytecode, entered, module
from bench.table import CONNECTIONS, IMPORTING, RELOADS, START, WHOLE, WORKERS
from bench.visitor import Visitor

POST, MIX = (Path(__file__).with_name(name) for name in ("post.lua", "mix.lua"))
CLOSE = ("Connection: close",)
IDLE_SOCKETS, TALKING_SOCKETS = 1000, 32
LATE = 200  # requests at expiry
SHORT = 3.0  # seconds of an access token's life, where its end is waited for
_BETWEEN = 2.0  # seconds from one reload to the next
VISITORS = 8  # who log in at the same time


@dataclass(frozen=True)
class Row:
    """A kind of work. `measure` does it for about `seconds`, where it takes any time one likes."""

    name: str
    measure: Callable[[Column, float], Sample]
    divisible: bool = False
    """Whether its seconds may be rounds of one second each, whose median the machine's moods disturb less."""
    proxies_only: bool = False
    ours_only: bool = False
    over_tls: bool = False
    """Only for those that are told how to speak it."""

    def fits(self, column: Column) -> bool:
        """Whether the column can do it."""
        if self.ours_only:
            return column.peer is OURS
        if self.over_tls:
            return column.peer is not None and column.peer.speaks_tls
        return column.peer is not None or not self.proxies_only


def _wrk(
    column: Column,
    seconds: float,
    *,
    path: str,
    connections: int,
    lines: Sequence[str] = (),
    script: Sequence[Path] = (),
    cores: int | str = OTHER_CORE,
) -> Sample:
    """What wrk measures, with these header `lines`; `script` is a Lua script and what it is told."""
    program = column.program
    lines = [f"Host: localhost:{column.public}", *column.lines, *lines]
    command = [
        "taskset",
        "-c",
        str(cores),
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "--latency",
    ]
    command += [part for line in lines for part in ("-H", line)]
    command += ["-s", str(script[0])] if script else []
    program.forget_peak()
    before = program.cpu()
    command.append(f"{'https' if column.tls else 'http'}://127.0.0.1:{column.port(path)}{path}")
    command += map(str, script[1:])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    used = program.cpu() - before
    if done.returncode:
        raise sockets.WrongAnswerError(f"wrk: {(done.stderr or done.stdout).strip()}")
    load = parse_wrk(done.stdout)
    return {
        "requests/s": load.rate,
        "p50 ms": load.p50 * 1000,
        "p99 ms": load.p99 * 1000,
        "CPU s per 1,000": used / load.requests * 1000,
        "peak MiB": program.peak() / MIB,
    }


def _connections(column: Column, seconds: float) -> Sample:
    return _wrk(column, seconds, path="/small", connections=32, lines=CLOSE)


def _bare_connections(column: Column, seconds: float) -> Sample:
    """What a connection takes of an event loop for Python that does nothing else."""
    with _bare(column, "protocol") as bare:
        return {"CPU s per 1,000": _connections(bare, seconds)["CPU s per 1,000"]}


@contextmanager
def _bare(column: Column, kind: str) -> Iterator[Column]:
    port = free_port()
    with module(column.world, "bench.bare", port, str(port), kind, core=PROXY_CORE) as program:
        yield replace(column, program=program)


def _start(column: Column, seconds: float) -> Sample:
    """From nothing to the first response, and what it holds then; beside what its libraries take alone."""
    del seconds
    importing = median(_import_time(column.world) for _ in range(5))
    began = time.perf_counter()
    with column.again() as fresh:
        _settle(fresh, 1)
        took, used = time.perf_counter() - began, fresh.program.cpu()
        _settle(fresh, 20)
        idle = fresh.program.memory()
    with _bare(column, "aiohttp") as bare:
        _settle(bare, 20)
        least = bare.program.memory()
    return {
        "s to the first response": took,
        "CPU s": used,
        IMPORTING: used / importing,
        "idle MiB": idle / MIB,
        "idle MiB of its libraries alone": least / MIB,
    }


def _import_time(world: World) -> float:
    asks = "import os, uvloop, aiohttp.web; print(sum(os.times()[:2]))"
    return float(
        subprocess.check_output([sys.executable, "-c", asks], env=os.environ | bytecode(world), text=True)
    )


def _settle(column: Column, times: int) -> None:
    """Ask this many times, one after the other, whatever the response is."""
    for _ in range(times):
        with socket.create_connection(("127.0.0.1", column.program.port)) as sock:
            sock.sendall(column.head("GET", "/small", *CLOSE))
            while sock.recv(65536):
                pass


def _mixed(column: Column, seconds: float) -> Sample:
    """Pages with all that is on them; wrk sends the requests that it finds in a file."""
    return _wrk(column, seconds, path="/", connections=32, script=(MIX, mix.written(column)))


def _secure(column: Column, seconds: float) -> Sample:
    """Small GETs over TLS, on connections that stay."""
    with entered(_peer(column), column.world, tls=True) as secure:
        return _wrk(secure, seconds, path="/small", connections=32)


def _handshakes(column: Column, seconds: float, *, is_resumed: bool) -> Sample:
    """Connections over TLS with a small GET on each; the client is Python, so their rate says little."""
    with entered(_peer(column), column.world, tls=True) as secure:
        client = sockets.TlsClient(secure, "/small")
        if is_resumed:
            client.session = client.connect()
        before = secure.program.cpu()
        count = client.count(seconds)
        return {"CPU s per 1,000": (secure.program.cpu() - before) / count * 1000}


def _peer(column: Column) -> Peer:
    if column.peer is None:
        raise ValueError("the upstream is started once")
    return column.peer


def _logged(column: Column, seconds: float) -> Sample:
    """Two fresh processes, one that writes an access log and one that writes none, in turns of a second."""
    work = partial(_wrk, path="/small", connections=32, seconds=1)
    silent, told = 0.0, 0.0
    with column.again() as quiet, replace(column, peer=LOGGING).again() as logging:
        turns = 4 * max(1, round(seconds))
        for _ in range(turns):
            silent += work(quiet)["CPU s per 1,000"]
            told += work(logging)["CPU s per 1,000"]
    return {"CPU s per 1,000": told / turns, "CPU to none": told / silent}


def _gibibyte(column: Column, seconds: float, *, move: Callable[[Column, str, int], float], path: str) -> Sample:
    del seconds
    program = column.program
    idle = program.memory()
    program.forget_peak()
    before = program.cpu()
    took = move(column, path, GIB)
    return {
        "MiB/s": GIB / MIB / took,
        "CPU s": program.cpu() - before,
        "growth MiB": (program.peak() - idle) / MIB,
    }


def _fresh_process(column: Column, seconds: float) -> Sample:
    """A process of its own, because what was freed once hides what is taken next."""
    del seconds
    with column.again() as fresh:
        opened = sockets.websockets(fresh, "/live/ws", TALKING_SOCKETS)
        try:
            before = fresh.program.memory()
            opened += sockets.websockets(fresh, "/live/ws", IDLE_SOCKETS)
            grown = fresh.program.memory() - before
        finally:
            sockets.close(opened)
        return {"cold start s": fresh.program.cold_start, "KiB each": grown / IDLE_SOCKETS / 1024}


def _echo(column: Column, seconds: float) -> Sample:
    before = column.program.cpu()
    count = sockets.echoes(column, "/live/ws", TALKING_SOCKETS, seconds)
    used = column.program.cpu() - before
    return {"echoes/s": count / seconds, "CPU s per 1,000": used / count * 1000}


def _whole_machine(column: Column, seconds: float) -> Sample:
    """As many workers as there are cores; load generator and upstream have the same cores."""
    with column.whole_machine() as whole:
        return _wrk(whole, seconds, path="/small", connections=64, cores=ALL_CORES)


def _workers(column: Column, seconds: float) -> Sample:
    """One worker, then four: what each further one takes while it serves, and what the parent has of its own."""
    taken, own = [], 0
    for workers in (1, 4):
        with column.whole_machine(workers) as whole:
            _wrk(whole, seconds, path="/small", connections=64, cores=ALL_CORES)
            taken.append(whole.program.memory())
            own = whole.program.own()
    return {"MiB of each further one": (taken[1] - taken[0]) / 3 / MIB, "MiB of the parent's own": own / MIB}


def _reloads(column: Column, seconds: float) -> Sample:
    """Ten reloads under load; wrk fails where a request is lost."""
    with column.whole_machine() as whole:
        load = partial(_wrk, whole, path="/small", connections=50, cores=ALL_CORES)
        quiet = load(seconds=max(5.0, seconds))
        reloading = threading.Thread(target=_reload, args=(whole, 10))
        reloading.start()
        during = load(seconds=10 * _BETWEEN)
        reloading.join()
    return {"p99 ms": during["p99 ms"], "p99 to quiet": during["p99 ms"] / quiet["p99 ms"], "lost": 0.0}


def _reload(column: Column, times: int) -> None:
    for _ in range(times):
        column.program.reload()
        time.sleep(_BETWEEN * 0.9)


def _logins(column: Column, seconds: float) -> Sample:
    """Whole logins, of browsers that know nobody yet: every redirect, page and button."""

    async def keep_logging_in(until: float) -> int:
        count = 0
        while time.perf_counter() < until:
            async with Visitor(str(column.world.certificate.authority)) as visitor:
                answer = await visitor.login(f"{column.url}/small")
            if answer.status != 200:
                raise sockets.WrongAnswerError(f"a login ended with {answer.status}")
            count += 1
        return count

    async def everybody() -> int:
        until = time.perf_counter() + seconds
        return sum(await asyncio.gather(*(keep_logging_in(until) for _ in range(VISITORS))))

    before, began = column.program.cpu(), time.perf_counter()
    count = asyncio.run(everybody())
    took = time.perf_counter() - began
    return {"logins/s": count / took, "CPU s per 1,000": (column.program.cpu() - before) / count * 1000}


def _expiry(column: Column, seconds: float) -> Sample:
    """A second proxy whose access tokens end soon; once they have, everybody comes at the same moment."""
    del seconds
    with entered(_peer(column), column.world, access_lifetime=SHORT) as late:
        time.sleep(SHORT)
        before = _token_calls(late.world)
        took = sockets.burst(late, "/small", LATE)
        return {"token calls": _token_calls(late.world) - before, "ms for all": took * 1000}


def _token_calls(world: World) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{world.frameio}/bench/calls", timeout=10) as answer:
        return int(json.load(answer)["token"])


ROWS = (
    Row("small GET, 1 connection", partial(_wrk, path="/small", connections=1), divisible=True),
    Row("small GET, 32 connections", partial(_wrk, path="/small", connections=32), divisible=True),
    Row("small GET, 256 connections", partial(_wrk, path="/small", connections=256), divisible=True),
    Row("16 KiB GET, 32 connections", partial(_wrk, path="/16k", connections=32), divisible=True),
    Row("1 MiB GET, 32 connections", partial(_wrk, path="/1m", connections=32), divisible=True),
    Row("POST 1 KiB, 32 connections", partial(_wrk, path="/post", connections=32, script=(POST,)), divisible=True),
    Row("a page with its 40 assets, 8 visitors, 32 connections", _mixed, divisible=True),
    Row(CONNECTIONS, _connections, divisible=True),
    Row("a connection for each, of a bare event loop", _bare_connections, divisible=True, ours_only=True),
    Row("small GET over TLS, 32 connections", _secure, over_tls=True),
    Row("TLS connection with a small GET, full handshake", partial(_handshakes, is_resumed=False), over_tls=True),
    Row("TLS connection with a small GET, resumed", partial(_handshakes, is_resumed=True), over_tls=True),
    Row("1 GiB download", partial(_gibibyte, move=sockets.download, path="/1g")),
    Row("1 GiB upload", partial(_gibibyte, move=sockets.upload, path="/live/upload")),
    Row("WebSocket echo, 32 connections", _echo),
    Row("a fresh process, then 1,000 idle WebSockets", _fresh_process, proxies_only=True),
    Row(START, _start, ours_only=True),
    Row(WHOLE, _whole_machine, proxies_only=True),
    Row(WORKERS, _workers, ours_only=True),
    Row(RELOADS, _reloads, ours_only=True),
    Row("small GET, access log on", _logged, ours_only=True),
    Row("logins, 8 browsers", _logins, ours_only=True),
    Row("200 requests at expiry", _expiry, ours_only=True),
)
