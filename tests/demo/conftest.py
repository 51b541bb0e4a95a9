"""The emulated Frame.io on a loopback port, a stopped clock, and an app's own side of the flow done by hand."""

import base64
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestServer
from yarl import URL

from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.people import App
from tests.support.browser import Visitor
from tests.support.provider import s256
from tests.support.units import NOW

REDIRECT = "https://tool.studio.example.com/oauth2/callback"
SECRET_APP = App("secret-app", "s3cret/with:odd+%41", (REDIRECT,))
PKCE_APP = App("pkce-app", None, (REDIRECT,))
V4_SECRET_APP = App("v4-secret-app", "another secret", (REDIRECT,), api="v4")
V4_PKCE_APP = App("v4-pkce-app", None, (REDIRECT,), api="v4")
APPS = (SECRET_APP, PKCE_APP, V4_SECRET_APP, V4_PKCE_APP)
VERIFIER = "v" * 43


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def basic(client_id: str, secret: str) -> dict[str, str]:
    """The header, its two parts taken as they are."""
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


@dataclass
class Answer:
    """One response, read: JSON where it is JSON."""

    status: int
    headers: Mapping[str, str]
    fields: Any

    @property
    def error(self) -> str:
        assert self.fields["status_code"] == self.status
        assert self.fields["error_description"]
        assert self.fields["error_hint"]
        return str(self.fields["error"])


async def read(response: ClientResponse) -> Answer:
    json = response.content_type == "application/json"
    return Answer(response.status, response.headers, await (response.json() if json else response.text()))


class Client:
    """An OAuth app that sends exactly what it is told to send."""

    def __init__(self, root: URL, app: App) -> None:
        self.app = app
        self.visitor = Visitor()
        self.root = root
        v4 = app.api == "v4"
        self.authorize_url = root / ("ims/authorize/v2" if v4 else "oauth2/auth")
        self.token_url = root / ("ims/token/v3" if v4 else "oauth2/token")
        self.revoke_url = root / ("ims/revoke" if v4 else "oauth2/revoke")
        self.scope = "openid email profile offline_access" if v4 else "account.read offline"

    def question(self, **changes: str | None) -> URL:
        """The authorize URL; a parameter changed to None is left out."""
        query = {
            "response_type": "code",
            "client_id": self.app.client_id,
            "redirect_uri": REDIRECT,
            "scope": self.scope,
            "state": secrets.token_urlsafe(16),
            "code_challenge": s256(VERIFIER),
            "code_challenge_method": "S256",
        } | changes
        return self.authorize_url.with_query({k: v for k, v in query.items() if v is not None})

    async def callback(self, person: str = "Editor", button: str = "Allow", /, **changes: str | None) -> URL:
        """Where the browser is sent after the pages; nothing listens there, so the hop is not taken."""
        page = await self.visitor.get(self.question(**changes))
        if page.headers.get("X-Emulated-Page") == "login":
            signed_in = await self.visitor.press(page, person)
            page = await self.visitor.get(page.url.join(URL(signed_in.headers["Location"], encoded=True)))
        if page.headers.get("X-Emulated-Page") == "consent":
            page = await self.visitor.press(page, button)
        assert page.status == 303, await page.text()
        return URL(page.headers["Location"], encoded=True)

    async def code(self, **changes: str | None) -> str:
        return (await self.callback(**changes)).query["code"]

    def headers(self) -> dict[str, str]:
        if self.app.client_secret is None:
            return {}
        return basic(quote_plus(self.app.client_id), quote_plus(self.app.client_secret))

    async def post(self, url: URL, form: Mapping[str, str | None], headers: Mapping[str, str] | None) -> Answer:
        sent = {k: v for k, v in form.items() if v is not None}
        headers = self.headers() if headers is None else headers
        async with self.visitor.session.post(url, data=sent, headers=headers) as response:
            return await read(response)

    def identified(self) -> dict[str, str | None]:
        return {"client_id": self.app.client_id} if self.app.client_secret is None else {}

    async def redeem(
        self, code: str, headers: Mapping[str, str] | None = None, /, **changes: str | None
    ) -> Answer:
        form = self.identified() | {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT,
            "code_verifier": VERIFIER,
        }
        return await self.post(self.token_url, form | changes, headers)

    async def refresh(
        self, token: str, headers: Mapping[str, str] | None = None, /, **changes: str | None
    ) -> Answer:
        form = self.identified() | {"grant_type": "refresh_token", "refresh_token": token, "scope": self.scope}
        return await self.post(self.token_url, form | changes, headers)

    async def tokens(self, **changes: str | None) -> dict[str, Any]:
        """The token answer of a whole login."""
        answer = await self.redeem(await self.code(**changes))
        assert answer.status == 200, answer
        fields: dict[str, Any] = answer.fields
        return fields

    async def revoke(self, token: str) -> Answer:
        return await self.post(self.revoke_url, self.identified() | {"token": token}, None)

    async def ask(self, path: str, token: str, **more: str) -> Answer:
        """A call to the API with a bearer and `more` headers, whose names have _ for -."""
        headers = {"Authorization": f"Bearer {token}", **{name.replace("_", "-"): more[name] for name in more}}
        async with self.visitor.session.get(self.root.join(URL(path)), headers=headers) as response:
            return await read(response)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def frameio(clock: Clock) -> FrameIO:
    return FrameIO(clock, APPS)


@pytest.fixture
async def root(frameio: FrameIO) -> AsyncIterator[URL]:
    async with TestServer(frameio.app()) as server:
        yield server.make_url("/")


async def connect(root: URL, app: App) -> AsyncIterator[Client]:
    client = Client(root, app)
    yield client
    await client.visitor.session.close()


@pytest.fixture(params=APPS, ids=lambda app: app.client_id)
async def client(root: URL, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """Each kind of app in turn: with and without a secret, v2 and v4."""
    async for client in connect(root, request.param):
        yield client


@pytest.fixture(params=[app for app in APPS if app is not V4_PKCE_APP], ids=lambda app: app.client_id)
async def lasting(root: URL, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """Each kind of app that gets refresh tokens."""
    async for client in connect(root, request.param):
        yield client


@pytest.fixture
async def secret_app(root: URL) -> AsyncIterator[Client]:
    async for client in connect(root, SECRET_APP):
        yield client


@pytest.fixture
async def pkce_app(root: URL) -> AsyncIterator[Client]:
    async for client in connect(root, PKCE_APP):
        yield client


@pytest.fixture
async def v4_spa(root: URL) -> AsyncIterator[Client]:
    async for client in connect(root, V4_PKCE_APP):
        yield client


@pytest.fixture
async def v4_app(root: URL) -> AsyncIterator[Client]:
    async for client in connect(root, V4_SECRET_APP):
        yield client
