import json

import pytest
from aiohttp import web

from oauth_proxy.demo.people import EDITOR
from oauth_proxy.errors import ProviderNonsense
from oauth_proxy.identity import Identity
from oauth_proxy.provider import APIS
from tests.support.provider import answering, asking


def test_v4_points_at_adobes_and_frame_ios_own_addresses_by_default() -> None:
    api = APIS["v4"]
    assert api.authorize_url == "https://ims-na1.adobelogin.com/ims/authorize/v2"
    assert api.token_url == "https://ims-na1.adobelogin.com/ims/token/v3"
    assert api.api_url + api.profile_path == "https://api.frame.io/v4/me"
    assert api.revoke_url == "https://ims-na1.adobelogin.com/ims/revoke"


async def test_a_v4_profile_stands_under_data() -> None:
    async with asking("v4") as asked:
        identity = await asked.provider.profile((await asked.tokens()).access, owner="o")
    assert identity == Identity(EDITOR.id, EDITOR.email, EDITOR.name)


async def test_v4_tokens_of_four_kilobytes_each_are_taken() -> None:
    async with asking("v4") as asked:
        asked.frameio.set_token_size(4096)
        tokens = await asked.tokens()
        assert len(tokens.access) == len(tokens.refresh or "") == 4096
        assert (await asked.provider.refresh(tokens, owner="o")).refresh != tokens.refresh


async def read(answer: object) -> Identity:
    async def profile(request: web.Request) -> web.StreamResponse:
        return web.Response(body=json.dumps(answer).encode(), content_type="application/json")

    async with answering(profile) as url, asking("v4", api_url=url) as asked:
        return await asked.provider.profile("token", owner="o")


NOT_PROFILES: list[object] = [
    {},
    {"id": "x"},
    {"data": None},
    {"data": []},
    {"data": [{"id": "x"}]},
    {"data": "x"},
    {"data": {}},
    {"data": {"id": None}},
    {"data": {"id": 7}},
    {"data": {"id": ""}},
    {"data": {"id": "x" * 321}},
    {"errors": [{"title": "Unauthorized", "detail": ""}]},
    [],
    [{"data": {"id": "x"}}],
    None,
    "data",
]


@pytest.mark.parametrize("answer", NOT_PROFILES, ids=lambda answer: json.dumps(answer)[:40])
async def test_an_answer_without_a_usable_id_under_data_is_no_profile(answer: object) -> None:
    with pytest.raises(ProviderNonsense, match="not what was asked for"):
        await read(answer)


@pytest.mark.parametrize("value", [None, "", 7, ["x"], {}, "x" * 321])
@pytest.mark.parametrize("field", ["email", "name"])
async def test_an_optional_field_that_is_unusable_counts_as_absent(field: str, value: object) -> None:
    assert await read({"data": {"id": "x", field: value}}) == Identity("x")
