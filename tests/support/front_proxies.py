"""nginx and Caddy as the recipes in config/ make them, before a proxy, an emulated Frame.io and a tool."""

import asyncio
import os
import ssl
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from aiohttp import web

from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.people import Api, App
from oauth_proxy.demo.tool import tool as demo_tool
from oauth_proxy.serving import Running, running
from oauth_proxy.settings import Settings, parse
from tests.support.browser import Visitor
from tests.support.places import CONFIG
from tests.support.proxy import Clock, a_secret, free_port, serving, settings_tree
from tests.support.units import PATIENCE

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

NGINX_SCRIPTS = "/usr/lib/nginx/modules/ngx_http_js_module.so"
CLIENT_SECRET = "an-emulated-secret"


@dataclass(frozen=True)
class Recipe:
    """A file in config/, the examples in it that stand for something else here, and whether it asks or forwards.

    `asks` is whether the front asks the proxy and goes to the tool itself, instead of through the proxy.
    """

    file: str
    examples: tuple[str, ...]
    asks: bool

    @property
    def is_nginx(self) -> bool:
        return self.file.startswith("nginx")

    def text(self, stand_ins: Mapping[str, str]) -> str:
        """The file with its examples replaced; each has to be there."""
        text = (CONFIG / self.file).read_text("utf-8")
        for example in self.examples:
            assert example in text, f"config/{self.file} has no {example!r} any more"
            text = text.replace(example, stand_ins[example])
        return text


SIDECAR, TOOL = "127.0.0.1:4180", "127.0.0.1:3000"
CERTIFICATE, KEY = "/etc/tls/tls.crt", "/etc/tls/tls.key"
NGINX_SITE = ("listen 443 ssl", "server_name review.example.com", SIDECAR, CERTIFICATE, KEY)
NGINX_ASKS = Recipe("nginx-auth-request.conf", (*NGINX_SITE, TOOL, "/etc/nginx/nginx-oauth-proxy.js"), asks=True)
NGINX_IN_FRONT = Recipe("nginx-in-front.conf", NGINX_SITE, asks=False)
CADDY_SITE = ("review.example.com {", SIDECAR, CERTIFICATE, KEY)
CADDY_ASKS = Recipe("Caddyfile", (*CADDY_SITE, TOOL), asks=True)
CADDY_IN_FRONT = Recipe("Caddyfile-in-front", CADDY_SITE, asks=False)


@dataclass
class Scene:
    """A front at `url`, everything behind it, and what the front said about itself so far."""

    url: str
    recipe: Recipe
    trust: ssl.SSLContext
    frameio: FrameIO
    frameio_url: str
    clock: Clock
    tool_requests: list[web.BaseRequest]
    """What reached the tool, in order."""
    routes: dict[str, Handler]
    """What the tool does at a path; anywhere else it is the demo's."""
    folder: Path
    settings: Settings
    said: list[str] = field(default_factory=list)
    _proxy: AsyncExitStack = field(default_factory=AsyncExitStack)

    def visitor(self) -> Visitor:
        """Somebody with a browser that trusts the front's certificate."""
        somebody = Visitor(ssl=self.trust)
        # aiohttp's jar keeps back what goes beyond 8190 bytes of Cookie header; browsers send it.
        somebody.cookies._limits_enabled = False
        return somebody

    async def start(self) -> Running:
        """The proxy, as its settings say."""
        return await self._proxy.enter_async_context(running(self.settings, sys.stderr, self.clock))

    async def restart(self) -> None:
        """The proxy stops, forgets everything, and is there again."""
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        """The proxy is gone; the front is not."""
        await self._proxy.aclose()


@asynccontextmanager
async def behind(
    recipe: Recipe,
    folder: Path,
    *,
    api: Api = "v4",
    **changes: Any,
) -> AsyncIterator[Scene]:
    """The scene of a recipe; `changes` replace sections of the proxy's configuration."""
    clock, port, proxy_port = Clock(), free_port(), free_port()
    url = f"https://localhost:{port}"
    authority = trustme.CA()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    frameio = FrameIO(clock, calls_per_minute=100_000)
    frameio.register(App("studio", CLIENT_SECRET, (f"{url}/oauth2/callback",), api=api))
    application, seen, routes = demo_tool(api, interval=0.05), list[web.BaseRequest](), dict[str, Handler]()

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        seen.append(request)
        return await routes.get(request.path, handler)(request)

    application.middlewares.append(note)
    async with AsyncExitStack() as stack:
        frameio_url = await stack.enter_async_context(serving(frameio.app()))
        tool_url = await stack.enter_async_context(serving(application))
        tree = settings_tree(url, api, frameio_url, tool_url, client_secret=CLIENT_SECRET, keys=[a_secret()])
        # Asked about each request, the proxy has to have no way to the tool of its own.
        tree["upstreams"] = {"/": f"http://127.0.0.1:{free_port()}" if recipe.asks else tool_url}
        trusting = "auth_request_from" if recipe.asks else "trusted_proxies"
        tree |= {"listen": f"127.0.0.1:{proxy_port}", trusting: ["127.0.0.1"], **changes}
        settings = parse(yaml.safe_dump(tree), filename="scene.yaml", environ={}, folder=folder)
        scene = Scene(url, recipe, trust, frameio, frameio_url, clock, seen, routes, folder, settings)
        stack.push_async_callback(scene.stop)
        await scene.start()
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "tls.pem"))
        stand_ins = {
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "server_name review.example.com": "server_name localhost",
            "review.example.com {": f"localhost:{port} {{",
            "/etc/nginx/nginx-oauth-proxy.js": str(CONFIG / "nginx-oauth-proxy.js"),
            SIDECAR: f"127.0.0.1:{proxy_port}",
            TOOL: tool_url.removeprefix("http://"),
            CERTIFICATE: str(folder / "tls.pem"),
            KEY: str(folder / "tls.pem"),
        }
        start = nginx if recipe.is_nginx else _caddy
        await stack.enter_async_context(start(recipe.text(stand_ins), folder, scene.said))
        yield scene


NGINX = """
daemon off;
pid nginx.pid;
error_log stderr notice;
{as_root}
{modules}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include recipe.conf;
}}
"""
"""What Debian's /etc/nginx/nginx.conf is to a file in conf.d, on a folder of its own."""

CADDY = """
{
    admin off
    auto_https off
    default_bind 127.0.0.1
}
import recipe
"""


@asynccontextmanager
async def nginx(recipe: str, folder: Path, said: list[str]) -> AsyncIterator[None]:
    """Debian's nginx with this site, which keeps its files in `folder` and what it says in `said`."""
    program = _installed("nginx", "/usr/sbin/nginx")
    modules = ""
    if "js_import" in recipe:
        modules = f"load_module {_installed('libnginx-mod-http-js', NGINX_SCRIPTS)};"
    as_root = "user root;" if os.geteuid() == 0 else ""
    (folder / "recipe.conf").write_text(recipe, "utf-8")
    (folder / "nginx.conf").write_text(NGINX.format(as_root=as_root, modules=modules), "utf-8")
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    async with _serving(command, "start worker process", {}, said):
        yield


@asynccontextmanager
async def _caddy(recipe: str, folder: Path, said: list[str]) -> AsyncIterator[None]:
    program = _installed("caddy", "/usr/bin/caddy")
    (folder / "recipe").write_text(recipe, "utf-8")
    (folder / "Caddyfile").write_text(CADDY, "utf-8")
    command = [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    homes = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    async with _serving(command, "serving initial configuration", homes, said):
        yield


def _installed(package: str, path: str) -> str:
    if not Path(path).exists():
        pytest.skip(f"{path} is not there: apt-get install {package}")
    return path


@asynccontextmanager
async def _serving(
    command: Sequence[str], sign: str, environ: Mapping[str, str], said: list[str]
) -> AsyncIterator[None]:
    """A server from the moment it says `sign`; what it writes goes to `said`. It is stopped at the end."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, env={**os.environ, **environ}
    )
    is_up = asyncio.Event()
    listening = asyncio.create_task(_listen(process, sign, is_up, said))
    try:
        async with asyncio.timeout(PATIENCE):
            await is_up.wait()
        assert process.returncode is None, "".join(said)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            raise
        await listening


async def _listen(process: Process, sign: str, is_up: asyncio.Event, said: list[str]) -> None:
    """Notes each line, and says when the sign was among them, or when the server ended without it."""
    assert process.stderr is not None
    async for line in process.stderr:
        said.append(line.decode("utf-8", "replace"))
        if sign in said[-1]:
            is_up.set()
    await process.wait()
    is_up.set()
