"""one-replica.yaml, two-replicas.yaml and haproxy-replicas.cfg of config/, with real processes that are killed.

What a store does besides, for every kind of store, is tests/session's.
"""

import asyncio
import os
import re
import signal
import ssl
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from aiohttp import ClientSession

from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.people import App
from oauth_proxy.demo.tool import tool
from tests.support.browser import Visitor
from tests.support.command import APP, COMMAND, started
from tests.support.front_programs import haproxy
from tests.support.places import CONFIG
from tests.support.proxy import PROGRAM, a_secret, free_port, serving, settings_tree
from tests.support.redis import needs_redis, redis_server
from tests.support.units import PATIENCE

PASSWORD = "a-password"


@dataclass
class Site:
    """What all replicas of a site have in common."""

    url: str
    frameio_url: str
    tool_url: str
    environ: dict[str, str]

    def file(self, name: str, stand_ins: Mapping[str, str], folder: Path) -> Path:
        """The file of config/, with its examples replaced and Frame.io emulated."""
        text = replaced(
            name,
            {"https://review.example.com": self.url, '"*@example.com"': '"*@studio.example.com"', **stand_ins},
        )
        tree: dict[str, Any] = yaml.safe_load(text)
        plain = settings_tree(self.url, "v4", self.frameio_url, self.tool_url, client_secret=None, keys=[])
        tree["frameio"] = {**plain["frameio"], **tree["frameio"]}
        tree["log"] = {"access": "false"}
        folder.mkdir()
        (folder / "proxy.yaml").write_text(yaml.safe_dump(tree))
        return folder / "proxy.yaml"

    async def status(self, replica: int, cookie: str) -> int:
        """What the replica at that port answers to whoever has the cookie."""
        headers = {**PROGRAM, "Host": self.url.partition("//")[2], "Cookie": cookie}
        async with (
            ClientSession() as http,
            http.get(f"http://127.0.0.1:{replica}/echo", headers=headers) as answer,
        ):
            return answer.status

    async def refused(self, replica: int, cookie: str) -> None:
        """Returns once that replica lets this cookie in no more."""
        async with asyncio.timeout(PATIENCE):
            while await self.status(replica, cookie) != 401:  # noqa: ASYNC110 another process
                await asyncio.sleep(0.05)


def replaced(name: str, stand_ins: Mapping[str, str]) -> str:
    text = (CONFIG / name).read_text("utf-8")
    for example, real in stand_ins.items():
        assert example in text, f"config/{name} has no {example!r} any more"
        text = text.replace(example, real)
    return text


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def site(stack: AsyncExitStack, url: str) -> Site:
    emulator = FrameIO(time.time, calls_per_minute=100_000)
    app = App(APP["FRAMEIO_CLIENT_ID"], APP["FRAMEIO_CLIENT_SECRET"], (f"{url}/oauth2/callback",), api="v4")
    emulator.register(app)
    frameio_url = await stack.enter_async_context(serving(emulator.app()))
    tool_url = await stack.enter_async_context(serving(tool("v4")))
    return Site(url, frameio_url, tool_url, {**APP, "OAUTH_PROXY_SECRET": a_secret(), "REDIS_PASSWORD": PASSWORD})


@asynccontextmanager
async def replica(site: Site, file: Path) -> AsyncIterator[Process]:
    """A process of the proxy with this file, until it is killed."""
    with_environ = ["env", *(f"{name}={value}" for name, value in site.environ.items()), *COMMAND]
    async with started("run", file, sign=b"serving", command=with_environ) as process:
        yield process


def cookie_of(visitor: Visitor, site: Site) -> str:
    return visitor.cookie_line(site.url).removeprefix("Cookie: ")


@needs_redis
async def test_two_replicas_behind_one_load_balancer_are_one_proxy_and_one_of_them_may_die(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    port, (one, two), admins = free_port(), (free_port(), free_port()), (free_port(), free_port())
    authority, trust = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trust)
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "tls.pem"))
    ours = await site(stack, f"https://localhost:{port}")
    redis = await stack.enter_async_context(redis_server("--requirepass", PASSWORD))
    processes = []
    for at, admin in zip((one, two), admins, strict=True):
        file = ours.file(
            "two-replicas.yaml",
            {
                "0.0.0.0:4180": f"127.0.0.1:{at}",
                "0.0.0.0:4181": f"127.0.0.1:{admin}",
                "10.0.0.20:6379": f"127.0.0.1:{redis.port}",
                "http://10.0.0.30:3000": ours.tool_url,
                "[10.0.0.5]": "[127.0.0.1]",
            },
            tmp_path / str(at),
        )
        processes.append(await stack.enter_async_context(replica(ours, file)))
    balancer = replaced(
        "haproxy-replicas.cfg",
        {
            "bind :443 ssl": f"bind 127.0.0.1:{port} ssl",
            "/etc/tls/tls.pem": str(tmp_path / "tls.pem"),
            "10.0.0.11:4180 check port 4181": f"127.0.0.1:{one} check port {admins[0]}",
            "10.0.0.12:4180 check port 4181": f"127.0.0.1:{two} check port {admins[1]}",
        },
    )
    said: list[str] = []
    await stack.enter_async_context(haproxy(balancer, tmp_path, said))
    async with Visitor(ssl=trust) as visitor, Visitor(ssl=trust) as other:
        for somebody, person in ((visitor, "Editor"), (other, "Reviewer")):
            assert (await somebody.login(f"{ours.url}/echo", person)).status == 200
        copied, theirs = cookie_of(visitor, ours), cookie_of(other, ours)
        for at in (one, two):
            assert await ours.status(at, copied) == await ours.status(at, theirs) == 200
        await visitor.get(f"{ours.url}/oauth2/sign_out")
        for at in (one, two):
            await ours.refused(at, copied)
            assert await ours.status(at, theirs) == 200
        processes[0].send_signal(signal.SIGKILL)
        async with asyncio.timeout(PATIENCE):
            while not [line for line in said if "/one is DOWN" in line]:
                async with other.session.get(f"{ours.url}/echo", headers=PROGRAM) as answer:
                    assert answer.status == 200
                await asyncio.sleep(0.1)
        assert not [line for line in said if "/two is DOWN" in line]
        assert await ours.status(two, copied) == 401


async def test_one_replica_that_is_killed_remembers_who_has_signed_out(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    at, admin = free_port(), free_port()
    ours = await site(stack, f"http://localhost:{at}")
    file = ours.file(
        "one-replica.yaml",
        {
            "127.0.0.1:4180": f"127.0.0.1:{at}",
            "http://127.0.0.1:3000": ours.tool_url,
            "/var/lib/oauth-proxy": str(tmp_path),
            "trusted_proxies:": f"admin: {{listen: '127.0.0.1:{admin}'}}\ntrusted_proxies:",
        },
        tmp_path / "etc",
    )
    async with Visitor() as visitor, Visitor() as other:
        async with replica(ours, file) as process:
            for somebody, person in ((visitor, "Editor"), (other, "Reviewer")):
                assert (await somebody.login(f"{ours.url}/echo", person)).status == 200
            copied, theirs = cookie_of(visitor, ours), cookie_of(other, ours)
            await visitor.get(f"{ours.url}/oauth2/sign_out")
            assert await ours.status(at, copied) == 401
            os.kill(process.pid, signal.SIGKILL)
        async with replica(ours, file):
            assert await ours.status(at, copied) == 401
            assert await ours.status(at, theirs) == 200


def test_a_replica_that_stops_serves_until_the_load_balancer_has_heard_it() -> None:
    tree = yaml.safe_load((CONFIG / "two-replicas.yaml").read_text("utf-8"))
    text = (CONFIG / "haproxy-replicas.cfg").read_text("utf-8")
    [(every, times)] = re.findall(r"inter (\d+)s fall (\d+)", text)
    assert int(tree["drain_delay"].removesuffix("s")) > (int(times) + 1) * int(every)
