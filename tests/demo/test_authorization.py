"""What the emulated Frame.io lets through to its login page, and where it sends the answer."""

import pytest
from yarl import URL

from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.people import App
from tests.demo.conftest import REDIRECT, Client


async def refusal(client: Client, **changes: str | None) -> int:
    """The status of a refusal that stays at the server."""
    page = await client.visitor.get(client.question(**changes))
    assert page.headers["X-Emulated-Page"] == "refused"
    assert "Location" not in page.headers
    return page.status


async def sent_back(client: Client, **changes: str | None) -> str:
    """The error the app gets at its redirect URI."""
    callback = await client.callback(**changes)
    assert str(callback.with_query(None)) == REDIRECT
    assert "code" not in callback.query
    assert callback.query["error_description"]
    return callback.query["error"]


async def test_a_yes_brings_code_and_state_to_the_redirect_uri(client: Client) -> None:
    callback = await client.callback(state="12345678")
    assert str(callback.with_query(None)) == REDIRECT
    assert callback.query["state"] == "12345678"
    assert callback.query["code"]


async def test_v2_says_the_scope_in_its_callback_and_v4_does_not(secret_app: Client, v4_app: Client) -> None:
    assert (await secret_app.callback()).query["scope"] == "account.read offline"
    assert "scope" not in (await v4_app.callback()).query


async def test_a_no_brings_access_denied_and_the_state(client: Client) -> None:
    callback = await client.callback("Editor", "Deny", state="12345678")
    assert callback.query["error"] == "access_denied"
    assert callback.query["state"] == "12345678"
    assert "code" not in callback.query


async def test_an_unknown_app_is_told_at_the_server(client: Client) -> None:
    assert await refusal(client, client_id="nobody") == 401
    assert await refusal(client, client_id=None) == 401


async def test_an_app_of_one_api_is_unknown_to_the_other(secret_app: Client, v4_app: Client) -> None:
    assert await refusal(secret_app, client_id=v4_app.app.client_id) == 401
    assert await refusal(v4_app, client_id=secret_app.app.client_id) == 401


@pytest.mark.parametrize(
    "uri", [None, "https://evil.example.org/", REDIRECT + "/", REDIRECT + "?x=1", REDIRECT.upper(), REDIRECT[:-1]]
)
async def test_v2_never_redirects_to_an_address_that_is_not_registered(
    secret_app: Client, uri: str | None
) -> None:
    assert await refusal(secret_app, redirect_uri=uri) == 400


async def test_v4_sends_a_visitor_with_an_unknown_address_to_the_default_one(v4_app: Client) -> None:
    callback = await v4_app.callback(redirect_uri="https://evil.example.org/")
    assert str(callback.with_query(None)) == REDIRECT
    answer = await v4_app.redeem(callback.query["code"])
    assert answer.status == 200


async def test_a_registered_query_in_the_redirect_uri_is_kept(frameio: FrameIO, secret_app: Client) -> None:
    uri = "https://tool.studio.example.com/callback?tenant=1"
    frameio.register(App(secret_app.app.client_id, "secret", (uri,)))
    callback = await secret_app.callback(redirect_uri=uri)
    assert callback.query["tenant"] == "1"
    assert callback.query["code"]


async def test_a_state_of_seven_characters_is_too_short_and_eight_are_enough(client: Client) -> None:
    assert await sent_back(client, state="1234567") == "invalid_state"
    assert await sent_back(client, state=None) == "invalid_state"
    assert (await client.callback(state="12345678")).query["code"]


async def test_v4_takes_a_state_of_4096_characters_and_no_more(v4_app: Client) -> None:
    assert (await v4_app.callback(state="s" * 4096)).query["code"]
    assert await refusal(v4_app, state="s" * 4097) == 400


async def test_only_the_code_flow_is_offered(client: Client) -> None:
    assert await sent_back(client, response_type="token") == "unsupported_response_type"


@pytest.mark.parametrize("scope", [None, "", "account.read everything"])
async def test_scopes_are_named_and_documented(client: Client, scope: str | None) -> None:
    assert await sent_back(client, scope=scope) == "invalid_scope"


async def test_a_pkce_app_sends_a_challenge_and_a_secret_app_may(client: Client) -> None:
    without = {"code_challenge": None, "code_challenge_method": None}
    if client.app.client_secret is None:
        assert await sent_back(client, **without) == "invalid_request"
    else:
        assert (await client.callback(**without)).query["code"]


@pytest.mark.parametrize("method", ["plain", "s256", None])
async def test_s256_is_the_only_challenge_method(client: Client, method: str | None) -> None:
    assert await sent_back(client, code_challenge_method=method) == "invalid_request"


@pytest.mark.parametrize("challenge", [None, "", "c" * 42, "c" * 44, "c" * 42 + "="])
async def test_a_challenge_is_a_sha256_in_base64url(client: Client, challenge: str | None) -> None:
    assert await sent_back(client, code_challenge=challenge) == "invalid_request"


async def test_a_repeated_parameter_is_refused(client: Client) -> None:
    question = client.question()
    page = await client.visitor.get(URL(f"{question}&state=another-state", encoded=True))
    assert page.status == 400
    assert page.headers["X-Emulated-Page"] == "refused"


@pytest.mark.parametrize(
    "uri", ["http://tool.example.com/cb", "ftp://localhost/cb", "https://tool.example.com/cb#x"]
)
def test_an_app_cannot_be_registered_with_an_unsafe_redirect_uri(uri: str) -> None:
    with pytest.raises(ValueError, match="redirect URI"):
        App("app", None, (uri,))


@pytest.mark.parametrize("uri", ["http://localhost:4180/cb", "http://127.0.0.1/cb", "http://[::1]:1/cb"])
def test_an_app_on_this_machine_may_use_http(uri: str) -> None:
    assert App("app", None, (uri,)).default_redirect_uri == uri
