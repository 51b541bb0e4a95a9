import json

import pytest
from aiohttp import web

from oauth_proxy.demo.people import EDITOR
from oauth_proxy.errors import ProviderNonsense
from oauth_proxy.identity import Identity
from oauth_proxy.provider import APIS
from tests.support.provider import answering, asking


def test_v2_points_at_frame_ios_own_addresses_by_default() -> None:
    api = APIS["v2"]
    assert api.authorize_url == "https://applications.frame.io/oauth2/auth"
    assert api.token_url == "https://applications.frame.io/oauth2/token"
    assert api.api_url + api.profile_path == "https://api.frame.io/v2/me"
    assert api.revoke_url is None


async def test_a_v2_profile_says_who_and_of_which_account() -> None:
    async with asking("v2") as asked:
        identity = await asked.provider.profile((await asked.tokens()).access, owner="o")
    assert identity == Identity(EDITOR.id, EDITOR.email, EDITOR.name, EDITOR.account_id)


async def read(body: bytes) -> Identity:
    async def profile(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    async with answering(profile) as url, asking("v2", api_url=url) as asked:
        return await asked.provider.profile("token", owner="o")


NOT_PROFILES: list[object] = [
    {},
    {"email": "editor@studio.example.com"},
    {"id": None},
    {"id": ""},
    {"id": 7},
    {"id": True},
    {"id": ["x"]},
    {"id": {"id": "x"}},
    {"id": "x" * 321},
    {"data": {"id": "x"}},
    [],
    [{"id": "x"}],
    "x",
    7,
    None,
    True,
]


@pytest.mark.parametrize("answer", NOT_PROFILES, ids=lambda answer: json.dumps(answer)[:40])
async def test_an_answer_without_a_usable_id_is_no_profile(answer: object) -> None:
    with pytest.raises(ProviderNonsense, match="not what was asked for"):
        await read(json.dumps(answer).encode())


@pytest.mark.parametrize("body", [b"", b"<h1>Hello</h1>", b"\xff\xfe\xff", b"[" * 100_000, b'{"id": "x"'])
async def test_an_answer_that_is_not_json_is_no_profile(body: bytes) -> None:
    with pytest.raises(ProviderNonsense, match="not what was asked for"):
        await read(body)


@pytest.mark.parametrize("value", [None, "", 7, True, ["a@b.example"], {"a": 1}, "x" * 321, "x" * 200_000])
@pytest.mark.parametrize("field", ["email", "name", "account_id"])
async def test_an_optional_field_that_is_unusable_counts_as_absent(field: str, value: object) -> None:
    assert await read(json.dumps({"id": "x", field: value}).encode()) == Identity("x")


async def test_a_name_of_ten_megabytes_is_refused_unread() -> None:
    with pytest.raises(ProviderNonsense, match="longer than"):
        await read(json.dumps({"id": "x", "name": "x" * 10_000_000}).encode())
