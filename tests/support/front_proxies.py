"""The recipes in config/ as their programs read them, before a proxy, an emulated Frame.io and a tool."""

import html
import re
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
import yaml
from aiohttp import ClientResponse, web
from yarl import URL

from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.people import Api, App
from oauth_proxy.demo.tool import tool as demo_tool
from oauth_proxy.serving import Running, running
from oauth_proxy.settings import Settings, parse
from tests.support.browser import Visitor
from tests.support.front_programs import Start, apache, caddy, haproxy, nginx, traefik
from tests.support.places import CONFIG
from tests.support.proxy import Clock, a_secret, free_port, serving, settings_tree

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CLIENT_SECRET = "an-emulated-secret"


@dataclass(frozen=True)
class Recipe:
    """A file in config/, the examples in it that stand for something else here, and the program that reads it.

    `asks` is whether the front asks the proxy and goes to the tool itself, instead of through the proxy, and
    `redirects` whether a stranger is led to the login, or gets a page with the way there.
    """

    file: str
    examples: tuple[str, ...]
    start: Start
    asks: bool = False
    redirects: bool = True

    def text(self, stand_ins: Mapping[str, str]) -> str:
        """The file with its examples replaced; each has to be there."""
        text = (CONFIG / self.file).read_text("utf-8")
        for example in self.examples:
            assert example in text, f"config/{self.file} has no {example!r} any more"
        # All in one go: in a port that takes the place of one example, another may be found.
        any_of = "|".join(map(re.escape, sorted(self.examples, key=len, reverse=True)))
        return re.sub(any_of, lambda found: stand_ins[found[0]], text)


SIDECAR, TOOL = "127.0.0.1:4180", "127.0.0.1:3000"
CERTIFICATE, KEY, BOTH = "/etc/tls/tls.crt", "/etc/tls/tls.key", "/etc/tls/tls.pem"
SCRIPT = "/etc/nginx/nginx-oauth-proxy.js"
NGINX_SITE = ("listen 443 ssl", "server_name review.example.com", SIDECAR, CERTIFICATE, KEY)
NGINX_ASKS = Recipe("nginx-auth-request.conf", (*NGINX_SITE, TOOL, SCRIPT), nginx, asks=True)
NGINX_IN_FRONT = Recipe("nginx-in-front.conf", NGINX_SITE, nginx)
CADDY_SITE = ("review.example.com {", SIDECAR, CERTIFICATE, KEY)
CADDY_ASKS = Recipe("Caddyfile", (*CADDY_SITE, TOOL), caddy, asks=True)
CADDY_IN_FRONT = Recipe("Caddyfile-in-front", CADDY_SITE, caddy)
HAPROXY_IN_FRONT = Recipe("haproxy-in-front.cfg", ("bind :443 ssl", SIDECAR, BOTH), haproxy)
APACHE_SITE = ("<VirtualHost *:443>", "ServerName review.example.com", SIDECAR, CERTIFICATE, KEY)
APACHE_IN_FRONT = Recipe("apache-in-front.conf", APACHE_SITE, apache)
TRAEFIK_SITE = ('address: ":443"', "Host(`review.example.com`)", SIDECAR)
ASKED, PUBLIC_HOST = "127.0.0.1:4182", "Host: review.example.com"
ASKING = (*TRAEFIK_SITE, PUBLIC_HOST, ASKED, TOOL)
TRAEFIK_ASKS = Recipe("traefik-forward-auth.yaml", ASKING, traefik, asks=True, redirects=False)
TRAEFIK_IN_FRONT = Recipe("traefik-in-front.yaml", TRAEFIK_SITE, traefik)
RECIPES = (NGINX_ASKS, NGINX_IN_FRONT, CADDY_ASKS, CADDY_IN_FRONT, HAPROXY_IN_FRONT, APACHE_IN_FRONT)
"""Those whose programs Debian has."""
BUILT = (TRAEFIK_ASKS, TRAEFIK_IN_FRONT)
"""Those whose program `make e2e` builds."""


class _AtSignIn(Visitor):
    """Somebody who presses the button of the sign-in page."""

    async def login(self, url: str | URL, person: str = "Editor", *, consent: bool = True) -> ClientResponse:
        if "/oauth2/start" in str(url):
            return await super().login(url, person, consent=consent)
        page = await self.get(url)
        assert page.status == 401
        [start] = re.findall(r'href="([^"]*/oauth2/start[^"]*)"', await page.text())
        return await super().login(html.unescape(start), person, consent=consent)


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
        return Visitor(ssl=self.trust) if self.recipe.redirects else _AtSignIn(ssl=self.trust)

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
            "bind :443 ssl": f"bind 127.0.0.1:{port} ssl",
            "<VirtualHost *:443>": f"Listen 127.0.0.1:{port}\n<VirtualHost *:{port}>",
            "ServerName review.example.com": "ServerName localhost",
            'address: ":443"': f"address: 127.0.0.1:{port}",
            "Host(`review.example.com`)": "Host(`localhost`)",
            PUBLIC_HOST: f"Host: localhost:{port}",
            ASKED: f"127.0.0.1:{free_port()}",
            SCRIPT: str(CONFIG / "nginx-oauth-proxy.js"),
            SIDECAR: f"127.0.0.1:{proxy_port}",
            TOOL: tool_url.removeprefix("http://"),
            CERTIFICATE: str(folder / "tls.pem"),
            KEY: str(folder / "tls.pem"),
            BOTH: str(folder / "tls.pem"),
        }
        await stack.enter_async_context(recipe.start(recipe.text(stand_ins), folder, scene.said))
        yield scene
