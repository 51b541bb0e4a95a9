import base64
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web

from oauth_proxy.demo.people import Api
from oauth_proxy.errors import GrantEnded, ProviderUnavailable
from oauth_proxy.identity import Tokens
from oauth_proxy.oauth import Attempt, Client
from oauth_proxy.provider import APIS, Provider
from tests.support.provider import CALLBACK, HELD, STATE, answering, asking
from tests.support.proxy import SECRET, Clock
from tests.support.units import NOW


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


async def test_a_v4_refresh_names_no_scope() -> None:
    async with asking("v4") as asked:
        tokens = await asked.tokens()
        await asked.provider.refresh(tokens, owner="o")
        _, refresh = asked.frameio.token_requests
    assert refresh.form == {"grant_type": "refresh_token", "refresh_token": tokens.refresh}


@pytest.mark.parametrize(("api", "lifetime"), [("v2", 3600), ("v4", 86_400)])
async def test_tokens_whose_answer_names_no_lifetime_live_as_long_as_is_usual_there(
    api: Api, lifetime: int
) -> None:
    async def grant(request: web.Request) -> web.StreamResponse:
        return web.json_response({"access_token": "a", "token_type": "bearer"})

    async with answering(grant) as url, asking(api, token_url=url) as asked:
        exchanged = await asked.provider.exchange("code", Attempt.start(STATE, asked.clock()))
        refreshed = await asked.provider.refresh(HELD, owner="o")
    assert {tokens.expires_at - tokens.granted_at for tokens in (exchanged, refreshed)} == {lifetime}


@pytest.mark.parametrize(
    ("api", "token", "legacy"),
    [("v4", "fio-u-developer", "true"), ("v4", "eyJ.fio-u-.x", None), ("v2", "fio-u-developer", None)],
)
async def test_a_developer_token_is_announced_to_v4_and_no_other_token_is(
    api: Api, token: str, legacy: str | None
) -> None:
    seen: list[web.Request] = []

    async def note(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return web.json_response({"id": "x", "data": {"id": "x"}})

    async with answering(note) as url, asking(api, api_url=url) as asked:
        await asked.provider.profile(token, owner="o")
    assert [request.headers.get("x-frameio-legacy-token-auth") for request in seen] == [legacy]


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


@pytest.mark.parametrize("client_secret", [SECRET, None], ids=["secret app", "PKCE app"])
async def test_the_access_token_is_revoked_first_and_the_refresh_token_after_it(client_secret: str | None) -> None:
    forms: list[dict[str, object]] = []
    basic: list[bool] = []

    async def note(request: web.Request) -> web.StreamResponse:
        forms.append(dict(await request.post()))
        basic.append(request.headers.get("Authorization", "").startswith("Basic "))
        return web.Response()

    async with answering(note) as url, asking(client_secret=client_secret, revoke_url=url) as asked:
        await asked.provider.revoke(HELD)
        await asked.provider.revoke(replace(HELD, refresh=None))
    named = {} if client_secret else {"client_id": "studio"}
    access = {"token": "held-access-token", "token_type_hint": "access_token", **named}
    assert forms == [access, {"token": "held-refresh-token", "token_type_hint": "refresh_token", **named}, access]
    assert basic == [client_secret is not None] * 3


@pytest.mark.parametrize("failing", [["access_token"], ["refresh_token"], ["access_token", "refresh_token"]])
async def test_a_token_that_cannot_be_revoked_keeps_the_other_from_nothing_and_is_named(
    failing: list[str],
) -> None:
    tried: list[object] = []

    async def refuse(request: web.Request) -> web.StreamResponse:
        form = await request.post()
        tried.append(form["token_type_hint"])
        why = f"{form['token']!s} is unknown to {request.headers['Authorization']}"
        return web.Response(status=400 if form["token_type_hint"] in failing else 200, text=why)

    async with answering(refuse) as url, asking(revoke_url=url) as asked:
        with pytest.raises(ProviderUnavailable) as caught:
            await asked.provider.revoke(HELD)
    assert tried == ["access_token", "refresh_token"]
    for kind in tried:
        assert caught.value.cause.count(f"{kind} (provider_nonsense): ") == (kind in failing)
    assert "400: '… is unknown to Basic …'" in caught.value.cause


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
