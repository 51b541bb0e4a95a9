"""The demo's cast as a process: it says its ports, and it never outlives whoever started it."""

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession

from tests.support.proxy import free_port

PUBLIC = "http://127.0.0.1:4180"


@asynccontextmanager
async def cast(*arguments: str, secret: str | None = None) -> AsyncIterator[Process]:
    environment = {name: value for name, value in os.environ.items() if name != "FRAMEIO_CLIENT_SECRET"}
    if secret is not None:
        environment["FRAMEIO_CLIENT_SECRET"] = secret
    always = ("-m", "oauth_proxy.demo", "--public-url", PUBLIC, "--client-id", "demo")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *always, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ports(process: Process) -> dict[str, int]:
    assert process.stdout is not None
    found: dict[str, int] = json.loads(await process.stdout.readline())
    return found


@pytest.mark.parametrize(
    ("api", "path", "scope"), [("v2", "oauth2/auth", "account.read"), ("v4", "ims/authorize/v2", "openid")]
)
async def test_it_says_where_both_listen_and_knows_the_proxy_s_callback(api: str, path: str, scope: str) -> None:
    async with cast("--api", api, secret="demo-secret") as process, ClientSession() as session:
        found = await ports(process)
        query = {"response_type": "code", "client_id": "demo", "scope": scope, "state": "12345678"}
        url = f"http://127.0.0.1:{found['frameio']}/{path}"
        async with session.get(url, params=query | {"redirect_uri": f"{PUBLIC}/oauth2/callback"}) as page:
            assert page.headers["X-Emulated-Page"] == "login"
        async with session.get(f"http://127.0.0.1:{found['tool']}/") as page:
            assert f"/frameio/{api}/me" in await page.text()


@pytest.mark.parametrize("secret", ["demo-secret", "", None])
async def test_without_a_secret_in_the_environment_the_app_is_a_pkce_app(secret: str | None) -> None:
    async with cast(secret=secret) as process, ClientSession() as session:
        url = f"http://127.0.0.1:{(await ports(process))['frameio']}/oauth2/token"
        form = {"client_id": "demo", "grant_type": "refresh_token", "refresh_token": "x"}
        async with session.post(url, data=form) as response:
            assert (await response.json())["error"] == ("invalid_client" if secret else "invalid_grant")


async def test_it_ends_when_its_standard_input_does() -> None:
    async with cast() as process:
        await ports(process)
        assert process.stdin is not None
        process.stdin.write(b"what is said there does not matter")
        await process.stdin.drain()
        process.stdin.close()
        assert await process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_in_peace_on_a_signal(number: signal.Signals) -> None:
    async with cast() as process:
        await ports(process)
        process.send_signal(number)
        assert await process.wait() == 0
        assert process.stderr is not None
        assert await process.stderr.read() == b""


async def test_open_streams_do_not_keep_it_alive() -> None:
    async with cast() as process, ClientSession() as session:
        url = f"http://127.0.0.1:{(await ports(process))['tool']}/feed"
        feed = await session.get(url)
        await feed.content.readline()
        process.terminate()
        assert await process.wait() == 0
        feed.close()


async def test_it_takes_the_ports_it_is_given_or_fails() -> None:
    port = str(free_port())
    with socket.create_server(("127.0.0.1", int(port))):
        async with cast("--tool-port", port) as process:
            assert await process.wait() == 1
    async with cast("--tool-port", port) as process:
        assert str((await ports(process))["tool"]) == port
