"""The whole flow against authorization servers that somebody else wrote.

oidc-provider-mock checks the client's Basic credentials, the redirect URI and that codes are used once; it does
not look at PKCE and keeps one refresh token. Authlib's own grants, in `authlib_server`, check S256 and rotate.
"""

import base64
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import yaml
from aiohttp import ClientSession, web

from oauth_proxy.demo.tool import tool
from oauth_proxy.serving import running
from oauth_proxy.settings import parse
from tests.support.browser import Visitor
from tests.support.provider import s256
from tests.support.proxy import Clock, a_secret, free_port, serving, settings_tree
from tests.support.units import HOUR

# oidc-provider-mock uses parts of Authlib that Authlib has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore::authlib.deprecate.AuthlibDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning"),
]

SCOPES = ["openid", "email", "profile"]
PERSON = "editor@studio.example.com"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


@dataclass
class Foreign:
    """A foreign server and the app registered there."""

    url: str
    authorize_url: str
    token_url: str
    redirect_uri: str
    client_id: str
    client_secret: str | None
    kept: Any = None
    """What Authlib's server keeps."""
    revoke_url: str | None = None

    @property
    def site(self) -> str:
        return self.redirect_uri.removesuffix("/oauth2/callback")

    async def userinfo_status(self, bearer: str) -> int:
        headers = {"Authorization": bearer}
        async with ClientSession() as http, http.get(f"{self.url}/userinfo", headers=headers) as answer:
            return answer.status

    async def authorize(self, **changes: str) -> str | None:
        """The code for an authorization request of our own making; None where the server gives none."""
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(SCOPES),
            "state": "a-state-of-our-own",
            "code_challenge": s256(VERIFIER),
            "code_challenge_method": "S256",
        }
        url = f"{self.authorize_url}?{urlencode({**asked, **changes})}"
        async with ClientSession() as http, http.post(url, data={"sub": PERSON}, allow_redirects=False) as answer:
            query = parse_qs(urlsplit(answer.headers.get("Location", "")).query)
            return query.get("code", [None])[0]

    async def redeem(
        self, code: str | None, *, secret: str | None = None, **changes: str | None
    ) -> tuple[int, str]:
        """Status and error (empty for none) of a token request of our own making."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": VERIFIER,
            "client_id": self.client_id if self.client_secret is None else None,
            **changes,
        }
        headers = {}
        if self.client_secret is not None:
            pair = f"{self.client_id}:{secret or self.client_secret}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        sent = {name: value for name, value in form.items() if value is not None}
        async with ClientSession() as http, http.post(self.token_url, data=sent, headers=headers) as answer:
            return answer.status, (await answer.json()).get("error", "")


@pytest.fixture
async def secret_app(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Foreign]:
    """oidc-provider-mock, with an app that registered itself there (RFC 7591) and got a secret."""
    from oidc_provider_mock import User, run_server_in_thread

    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # plain http, on loopback
    people = [User(sub=PERSON, claims={"email": PERSON, "name": "Editor"})]
    with run_server_in_thread(require_client_registration=True, user_claims=people) as server:
        url = f"http://localhost:{server.server_port}"
        redirect_uri = f"http://localhost:{free_port()}/oauth2/callback"
        async with ClientSession() as http:
            registration = {"redirect_uris": [redirect_uri], "token_endpoint_auth_method": "client_secret_basic"}
            async with http.post(f"{url}/oauth2/clients", json=registration) as answer:
                app = await answer.json()
        yield Foreign(
            url,
            f"{url}/oauth2/authorize",
            f"{url}/oauth2/token",
            redirect_uri,
            app["client_id"],
            app["client_secret"],
        )


@pytest.fixture
async def pkce_app(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Foreign]:
    """Authlib's grants, with an app that has no secret."""
    from tests.support import authlib_server

    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    redirect_uri = f"http://localhost:{free_port()}/oauth2/callback"
    with authlib_server.serving(authlib_server.PublicClient("studio", redirect_uri)) as (url, server):
        yield Foreign(
            url, f"{url}/authorize", f"{url}/token", redirect_uri, "studio", None, server, f"{url}/revoke"
        )


@pytest.fixture(params=["secret_app", "pkce_app"])
def foreign(request: pytest.FixtureRequest) -> Foreign:
    app: Foreign = request.getfixturevalue(request.param)
    return app


def frame_ios_profile(foreign: Foreign) -> web.Application:
    """Frame.io's /v2/me, told from the foreign server's userinfo for the same bearer."""

    async def me(request: web.Request) -> web.StreamResponse:
        headers = {"Authorization": request.headers["Authorization"]}
        async with ClientSession() as http, http.get(f"{foreign.url}/userinfo", headers=headers) as answer:
            if answer.status != 200:
                return web.json_response({"code": 401}, status=401)
            claims = await answer.json()
        return web.json_response({"id": claims["sub"], "email": claims["email"], "name": claims["name"]})

    app = web.Application()
    app.router.add_get("/v2/me", me)
    return app


@asynccontextmanager
async def protecting(foreign: Foreign) -> AsyncIterator[Clock]:
    """The proxy at the app's redirect URI, before the demo's tool; the clock it goes by."""
    clock = Clock()
    async with serving(frame_ios_profile(foreign)) as api_url, serving(tool("v2")) as tool_url:
        secret = foreign.client_secret
        tree = settings_tree(foreign.site, "v2", api_url, tool_url, client_secret=secret, keys=[a_secret()])
        del tree["frameio"]["revoke_url"]
        if foreign.revoke_url is not None:
            tree["frameio"]["revoke_url"] = foreign.revoke_url
        tree["frameio"] |= {
            "client_id": foreign.client_id,
            "scopes": SCOPES,
            "authorize_url": foreign.authorize_url,
            "token_url": foreign.token_url,
        }
        settings = parse(yaml.safe_dump(tree), filename="foreign.yaml", environ={}, folder=Path.cwd())
        async with running(settings, sys.stderr, clock):
            yield clock


async def sign_in(visitor: Visitor, url: str) -> dict[str, Any]:
    """Through the foreign server's form to the tool; what the tool's echo received."""
    page = await visitor.follow(url)
    assert page.status == 200
    assert '<form method="post"' in await page.text()
    async with visitor.session.post(page.url, data={"sub": PERSON}, allow_redirects=False) as allowed:
        back = allowed.headers["Location"]
    answer = await visitor.follow(back)
    assert answer.status == 200, visitor.trail()
    return await echoed(answer)


async def echoed(answer: Any) -> dict[str, Any]:
    line = await answer.json()
    assert len(dict(line["headers"])) == len(line["headers"])
    return {"path": line["path"], **dict(line["headers"])}


async def test_a_stranger_signs_in_at_a_server_somebody_else_wrote(foreign: Foreign, visitor: Visitor) -> None:
    async with protecting(foreign):
        received = await sign_in(visitor, f"{foreign.site}/echo?project=7")
    assert received["path"] == "/echo?project=7"
    assert received["X-Forwarded-Email"] == PERSON
    assert received["X-Forwarded-Preferred-Username"] == "Editor"
    assert await foreign.userinfo_status(received["Authorization"]) == 200


async def test_three_refreshes_in_a_row_reach_the_tool(foreign: Foreign, visitor: Visitor) -> None:
    async with protecting(foreign) as clock:
        bearers = [(await sign_in(visitor, f"{foreign.site}/echo"))["Authorization"]]
        for _ in range(3):
            clock.advance(HOUR)
            answer = await visitor.get(f"{foreign.site}/echo")
            assert answer.status == 200
            bearers.append((await echoed(answer))["Authorization"])
            assert await foreign.userinfo_status(bearers[-1]) == 200
    assert len(set(bearers)) == 4
    assert await foreign.userinfo_status(bearers[0]) != 200


async def test_a_refresh_token_that_rotates_is_sent_once(pkce_app: Foreign, visitor: Visitor) -> None:
    async with protecting(pkce_app) as clock:
        await sign_in(visitor, f"{pkce_app.site}/echo")
        for _ in range(3):
            clock.advance(HOUR)
            await visitor.get(f"{pkce_app.site}/echo")
    sent = [form["refresh_token"] for form in pkce_app.kept.forms[1:]]
    assert len(sent) == len(set(sent)) == 3
    status, error = await pkce_app.redeem(None, grant_type="refresh_token", refresh_token=sent[-1])
    assert (status, error) == (400, "invalid_grant")


async def test_a_grant_the_foreign_server_ended_leads_back_to_its_form(foreign: Foreign, visitor: Visitor) -> None:
    async with protecting(foreign) as clock:
        await sign_in(visitor, f"{foreign.site}/echo")
        if foreign.kept is not None:
            foreign.kept.refresh.clear()
        else:
            async with visitor.session.post(f"{foreign.url}/users/{PERSON}/revoke-tokens") as answer:
                assert answer.status == 204
        clock.advance(HOUR)
        assert (await visitor.follow(f"{foreign.site}/echo")).url.path.endswith("/authorize")


@pytest.mark.parametrize("error", ["invalid_grant", "invalid_token", "access_denied", "ride_AdobeID_acct_actreq"])
async def test_what_only_a_login_mends_leads_one_visitor_back_to_the_form_and_no_other(
    pkce_app: Foreign, visitor: Visitor, error: str
) -> None:
    async with protecting(pkce_app) as clock, Visitor() as other:
        await sign_in(visitor, f"{pkce_app.site}/echo")
        [token] = pkce_app.kept.refresh
        await sign_in(other, f"{pkce_app.site}/echo")
        pkce_app.kept.refuses[token] = error
        clock.advance(HOUR)
        assert (await visitor.follow(f"{pkce_app.site}/echo")).url.path.endswith("/authorize")
        assert (await other.get(f"{pkce_app.site}/echo")).status == 200
        await visitor.get(f"{pkce_app.site}/echo")
    assert [form.get("refresh_token") for form in pkce_app.kept.forms].count(token) == 1


async def test_signing_out_ends_both_tokens_where_one_does_not_end_the_other(
    pkce_app: Foreign, visitor: Visitor
) -> None:
    async with protecting(pkce_app):
        received = await sign_in(visitor, f"{pkce_app.site}/echo")
        assert (await visitor.get(f"{pkce_app.site}/oauth2/sign_out")).status == 200
    assert await pkce_app.userinfo_status(received["Authorization"]) == 401
    assert not pkce_app.kept.access
    assert not pkce_app.kept.refresh


# What the foreign servers refuse, so that the flow's success means something


async def test_the_foreign_server_takes_a_code_once_and_with_its_own_redirect_uri(foreign: Foreign) -> None:
    assert await foreign.redeem(await foreign.authorize()) == (200, "")
    code = await foreign.authorize()
    elsewhere = "http://localhost:1/oauth2/callback"
    assert await foreign.redeem(code, redirect_uri=elsewhere) == (400, "invalid_grant")
    assert await foreign.redeem(code) == (200, "")
    assert await foreign.redeem(code) == (400, "invalid_grant")
    assert await foreign.redeem("no-such-code") == (400, "invalid_grant")
    assert await foreign.authorize(redirect_uri=elsewhere) is None
    assert await foreign.authorize(client_id="nobody") is None


async def test_oidc_provider_mock_wants_the_secret_in_the_header(secret_app: Foreign) -> None:
    code = await secret_app.authorize()
    assert await secret_app.redeem(code, secret="wrong") == (401, "invalid_client")
    bare = Foreign(**{**vars(secret_app), "client_secret": None})
    assert await bare.redeem(code) == (401, "invalid_client")
    assert await bare.redeem(code, client_secret=secret_app.client_secret) == (401, "invalid_client")
    assert await secret_app.redeem(code) == (200, "")


async def test_authlib_checks_the_verifier_against_the_s256_challenge(pkce_app: Foreign) -> None:
    for verifier, error in [
        (VERIFIER[:-1] + "x", "invalid_grant"),
        (s256(VERIFIER), "invalid_grant"),
        ("too-short", "invalid_request"),
        (None, "invalid_request"),
    ]:
        assert await pkce_app.redeem(await pkce_app.authorize(), code_verifier=verifier) == (400, error)
    assert await pkce_app.redeem(await pkce_app.authorize()) == (200, "")
    assert await pkce_app.redeem(await pkce_app.authorize(), client_id="nobody") == (400, "invalid_client")
