"""Forked processes on one TLS context: `python -m tests.support.tls_workers PORT:STEM[,STEM…] …`.

The parent makes the context and knows no certificate. Each child listens on its port with its own certificates,
STEM.crt and STEM.key, answers every request, and prints a line once it can. They end when the parent's input does.
"""

import asyncio
import os
import signal
import ssl
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web

from oauth_proxy import server, tls
from oauth_proxy.errors import BadRequest
from oauth_proxy.outcomes import Outcome
from oauth_proxy.settings import Listen, Tls
from oauth_proxy.sockets import opened


async def answer(request: web.BaseRequest) -> Outcome:
    return Outcome(web.Response(text="served"))


def refuse(request: web.BaseRequest, error: BadRequest) -> Outcome:
    return Outcome(web.Response(status=error.status))


def unheard(request: web.BaseRequest, outcome: Outcome, seconds: float) -> None:
    """Nothing is written."""


async def serve(base: ssl.SSLContext, port: int, stems: list[str]) -> None:
    pairs = [Tls.model_construct(cert=Path(f"{each}.crt"), key=Path(f"{each}.key")) for each in stems]
    ours = tls.ServerTls(pairs)
    async with AsyncExitStack() as stack:
        handler = server.Server(answer, refusal=refuse, answered=unheard)
        listener = opened(Listen("127.0.0.1", port))
        await (await server.service(stack, handler, listener, ours.used(base))).accept()
        os.write(1, b"ready\n")
        await ours.forever(lambda: None)


def main(workers: list[str]) -> None:
    tls.LOOK_EVERY = 0.02
    base = tls.bare_context()
    children = []
    for worker in workers:
        port, _, stems = worker.partition(":")
        if child := os.fork():
            children.append(child)
        else:
            asyncio.run(serve(base, int(port), stems.split(",")))
    sys.stdin.read()
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


main(sys.argv[1:])
