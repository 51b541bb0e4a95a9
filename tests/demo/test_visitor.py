"""The tests' visitor finds the way from an app through Frame.io's pages and back."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.people import App
from tests.support.browser import NAVIGATION, Visitor


@pytest.fixture
async def app_url(frameio: FrameIO, root: URL) -> AsyncIterator[URL]:
    """An app that sends everybody to Frame.io, and shows what it gets back."""

    async def start(request: web.Request) -> web.Response:
        query = {
            "response_type": "code",
            "client_id": "app",
            "redirect_uri": f"http://{request.host}/callback",
            "scope": "account.read",
            "state": "a state that is long enough",
        }
        response = web.HTTPFound((root / "oauth2/auth").with_query(query))
        response.set_cookie("attempt", "1")
        raise response

    async def callback(request: web.Request) -> web.Response:
        assert request.cookies["attempt"] == "1"
        assert NAVIGATION.items() <= dict(request.headers).items()
        return web.json_response(dict(request.query))

    app = web.Application()
    app.add_routes([web.get("/", start), web.get("/callback", callback)])
    async with TestServer(app) as server:
        url = server.make_url("/")
        frameio.register(App("app", "secret", (str(url / "callback"),)))
        yield url


async def test_a_login_ends_at_the_app_with_every_hop_kept(app_url: URL) -> None:
    async with Visitor() as visitor:
        answer = await visitor.login(app_url)
        assert (await answer.json())["code"]
        assert [hop.status for hop in visitor.hops] == [302, 200, 303, 200, 303, 200]
        assert len(visitor.trail()) == 6


async def test_a_visitor_may_say_no(app_url: URL) -> None:
    async with Visitor() as visitor:
        answer = await visitor.login(app_url, consent=False)
        assert (await answer.json())["error"] == "access_denied"


async def test_a_visitor_changes_accounts_where_another_is_signed_in(app_url: URL) -> None:
    async with Visitor() as visitor:
        await visitor.login(app_url, "Guest")
        await visitor.login(app_url, "Reviewer")
        consent = await visitor.follow(app_url)
        assert consent.headers["X-Emulated-Person"] == "Reviewer"


async def test_a_button_that_is_not_there_cannot_be_pressed(app_url: URL) -> None:
    async with Visitor() as visitor:
        page = await visitor.follow(app_url)
        with pytest.raises(LookupError, match=r"'Allow'.*'Editor', 'Guest', 'Reviewer'"):
            await visitor.press(page, "Allow")
