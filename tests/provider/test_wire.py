import base64
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web

from oauth_proxy.demo.people import Api
from oauth_proxy.errors import GrantEnded
from oauth_proxy.identity import Tokens
from oauth_proxy.oauth import Attempt, Client
from oauth_proxy.provider import APIS, Provider
from tests.cast import Clock
from tests.provider.stage import CALLBACK, SECRET, STATE, answering, asking

NOW = 1_800_000_000.0
HELD = Tokens("held-access-token", NOW, NOW + 3600, "held-refresh-token", "account.read offline")


async def test_a_secret_app_authenticates_by_basic_and_never_in_the_body() -> None:
    async with asking() as asked:
        attempt = Attempt.start(STATE, asked.clock())
        code = await asked.code(attempt)
        tokens = await asked.provider.exchange(code, attempt)
        await asked.provider.refresh(tokens, owner="o")
        exchange, refresh = asked.frameio.token_requests
    assert exchange.form == {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": attempt.verifier,
    }
    assert refresh.form == {
        "grant_type": "refresh_token",
        "refresh_token": tokens.refresh,
        "scope": "offline account.read",
    }
    for request in (exchange, refresh):
        scheme, _, pair = request.headers["Authorization"].partition(" ")
        assert scheme == "Basic"
        # Each half form-urlencoded before they are joined (RFC 6749 2.3.1).
        assert base64.b64decode(pair) == b"studio:an-emulated-secret%2Fwith%3Aodd%2B%2541characters"
        assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert request.headers["Accept"] == "application/json"
        assert "Cookie" not in request.headers


async def test_a_pkce_app_sends_no_authorization_header_and_its_client_id_in_the_body() -> None:
    async with asking(client_secret=None) as asked:
        attempt = Attempt.start(STATE, asked.clock())
        code = await asked.code(attempt)
        tokens = await asked.provider.exchange(code, attempt)
        await asked.provider.refresh(tokens, owner="o")
        exchange, refresh = asked.frameio.token_requests
    assert exchange.form == {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": attempt.verifier,
        "client_id": "studio",
    }
    assert refresh.form["client_id"] == "studio"
    assert refresh.form["refresh_token"] == tokens.refresh
    assert not [request for request in (exchange, refresh) if "Authorization" in request.headers]


async def test_a_refresh_asks_for_the_scope_that_was_granted() -> None:
    async with asking() as asked:
        await asked.provider.refresh(replace(await asked.tokens(), scope="offline"), owner="o")
        _, refresh = asked.frameio.token_requests
    assert refresh.form["scope"] == "offline"


async def test_the_profile_is_asked_with_the_bearer_and_nothing_else() -> None:
    seen: list[web.Request] = []

    async def note(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return web.json_response({"id": "x"})

    async with answering(note) as url, asking(api_url=url) as asked:
        await asked.provider.profile("the-token", owner="o")
    (request,) = seen
    assert (request.method, request.raw_path) == ("GET", "/v2/me")
    assert request.headers.getall("Authorization") == ["Bearer the-token"]


@pytest.mark.parametrize("client_secret", [SECRET, None], ids=["secret app", "PKCE app"])
@pytest.mark.parametrize("api", ["v2", "v4"])
async def test_a_revoked_grant_is_dead_at_frame_io(api: Api, client_secret: str | None) -> None:
    async with asking(api, client_secret) as asked:
        tokens = await asked.tokens()
        await asked.provider.revoke(tokens)
        with pytest.raises(GrantEnded):
            await asked.provider.profile(tokens.access, owner="o")
        with pytest.raises(GrantEnded):
            await asked.provider.refresh(tokens, owner="o")


async def test_without_a_revocation_address_nobody_is_asked() -> None:
    async with aiohttp.ClientSession() as http:
        pass
    client = Client("studio", CALLBACK, ("offline",), SECRET)
    await Provider(APIS["v2"], client, http, Clock()).revoke(HELD)  # a closed session asks nobody


async def test_without_a_refresh_token_nobody_is_asked() -> None:
    async with asking() as asked:
        with pytest.raises(GrantEnded):
            await asked.provider.refresh(Tokens("access", NOW, NOW + 3600), owner="o")
        assert asked.frameio.calls["token"] == 0


async def test_switching_accounts_asks_the_provider_for_a_new_login() -> None:
    async with asking() as asked:
        attempt = Attempt.start(STATE, asked.clock())
        plain = parse_qs(urlsplit(asked.provider.authorize_url(STATE, attempt)).query)
        switch = parse_qs(urlsplit(asked.provider.authorize_url(STATE, attempt, switch=True)).query)
    assert "prompt" not in plain
    assert switch == {**plain, "prompt": ["login"]}
