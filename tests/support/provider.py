"""The provider room alone, before the emulated Frame.io or a server that misbehaves."""

import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import web

from oauth_proxy.demo.dialects import V2, V4
from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.people import Api, App
from oauth_proxy.identity import Tokens
from oauth_proxy.oauth import Attempt, Client
from oauth_proxy.provider import APIS, Provider
from oauth_proxy.provider import Memberships as AskedAbout
from oauth_proxy.settings import DEFAULT_SCOPES
from tests.support.browser import Visitor
from tests.support.proxy import SECRET, Clock, serving
from tests.support.units import NOW

CALLBACK = "http://localhost:4180/oauth2/callback"
STATE = "a-state-nobody-can-guess"
HELD = Tokens("held-access-token", NOW, NOW + 3600, "held-refresh-token", "account.read offline")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Memberships:
    """A provider, the Frame.io it asks, and somebody who signs in there."""

    provider: Provider
    frameio: FrameIO
    url: str
    clock: Clock
    visitor: Visitor

    async def code(self, attempt: Attempt) -> str:
        """The code Frame.io sends back once the Editor has allowed it."""
        page = await self.visitor.get(self.provider.authorize_url(STATE, attempt))
        if page.headers["X-Emulated-Page"] == "login":
            page = await self.visitor.press(page, "Editor")
            page = await self.visitor.get(page.url.join(page.url))
        back = await self.visitor.press(page, "Allow")
        return parse_qs(urlsplit(back.headers["Location"]).query)["code"][0]

    async def tokens(self) -> Tokens:
        """The tokens of a login that went well."""
        attempt = Attempt.start(STATE, self.clock())
        return await self.provider.exchange(await self.code(attempt), attempt)


@asynccontextmanager
async def asking(
    api: Api = "v2",
    client_secret: str | None = SECRET,
    *,
    token_url: str | None = None,
    api_url: str | None = None,
    revoke_url: str | None = None,
    about: AskedAbout | None = None,
) -> AsyncIterator[Memberships]:
    """The provider before the emulated Frame.io; the addresses point some of its calls elsewhere."""
    clock = Clock()
    frameio = FrameIO(clock, [App("studio", client_secret, (CALLBACK,), api=api)])
    dialect = V2 if api == "v2" else V4
    async with (
        serving(frameio.app()) as url,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as http,
        Visitor() as visitor,
    ):
        described = replace(
            APIS[api],
            authorize_url=url + dialect.authorize,
            token_url=token_url or url + dialect.token,
            revoke_url=revoke_url or url + dialect.revoke,
            api_url=api_url or url,
        )
        client = Client("studio", CALLBACK, DEFAULT_SCOPES[api], client_secret)
        provider = Provider(described, client, http, clock, about or AskedAbout(), elapsed=clock)
        yield Memberships(provider, frameio, url, clock, visitor)


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[str]:
    """A server that gives every request to `handler`; its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with serving(app) as url:
        yield url


def s256(verifier: str) -> str:
    """The challenge of a verifier (RFC 7636 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
