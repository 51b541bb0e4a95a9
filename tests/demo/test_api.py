"""The emulated API: who a bearer is, what they are in their account, and how it refuses."""

from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientResponse
from yarl import URL

from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.people import EDIT_TEAM, EDITOR, ELSEWHERE_ACCOUNT, GUEST, REVIEWER, STUDIO_ACCOUNT
from tests.demo.conftest import APPS, Client, Clock
from tests.support.units import DAY

TEAM_SCOPE = "account.read team.read"


async def token(client: Client, person: str = "Editor", **changes: str | None) -> str:
    answer = await client.redeem((await client.callback(person, **changes)).query["code"])
    return str(answer.fields["access_token"])


async def test_v2_says_who_i_am(secret_app: Client) -> None:
    answer = await secret_app.ask("/v2/me", await token(secret_app, "Reviewer"))
    assert answer.status == 200
    assert answer.fields == {
        "_type": "user",
        "id": REVIEWER.id,
        "email": "reviewer@studio.example.com",
        "name": "Reviewer",
        "account_id": STUDIO_ACCOUNT,
    }


async def test_v4_says_who_i_am_and_which_accounts_i_have(v4_app: Client) -> None:
    bearer = await token(v4_app)
    me = (await v4_app.ask("/v4/me", bearer)).fields
    assert me == {"data": {"id": EDITOR.id, "email": EDITOR.email, "name": "Editor"}}
    accounts = (await v4_app.ask("/v4/accounts", bearer)).fields
    assert [described(account) for account in accounts["data"]] == [(STUDIO_ACCOUNT, "Studio", ["admin"])]
    assert accounts["links"] == {"next": None}
    userinfo = (await v4_app.ask("/ims/userinfo/v2", bearer)).fields
    assert userinfo == {"sub": EDITOR.id, "email": EDITOR.email, "name": "Editor"}


async def test_v4_calls_everybody_below_an_admin_a_member(v4_app: Client) -> None:
    accounts = (await v4_app.ask("/v4/accounts", await token(v4_app, "Guest"))).fields
    assert [described(account) for account in accounts["data"]] == [(ELSEWHERE_ACCOUNT, "Elsewhere", ["member"])]


def described(account: dict[str, Any]) -> tuple[Any, ...]:
    return account["id"], account["display_name"], account["roles"]


async def test_v4_s_accounts_come_in_pages(frameio: FrameIO, v4_app: Client) -> None:
    further = {f"account-{number}": "member" for number in range(6)}
    frameio.put_person(replace(EDITOR, accounts=further))
    bearer = await token(v4_app)
    path: Any = "/v4/accounts?page_size=3"
    seen: list[str] = []
    for size in (3, 3, 1):
        page = (await v4_app.ask(path, bearer)).fields
        assert len(page["data"]) == size
        seen += [account["id"] for account in page["data"]]
        path = page["links"]["next"]
    assert path is None
    assert seen == [STUDIO_ACCOUNT, *further]
    for wrong in ("page_size=0", "page_size=101", "page_size=x", "after=zz", "after=2d31"):
        assert (await v4_app.ask(f"/v4/accounts?{wrong}", bearer)).status in (400, 422), wrong


async def test_a_developer_token_is_good_for_v4_by_its_header_only(frameio: FrameIO, v4_app: Client) -> None:
    legacy, own = frameio.developer_token(EDITOR), await token(v4_app)
    assert (await v4_app.ask("/v4/me", legacy)).status == 401
    assert (await v4_app.ask("/v4/me", legacy, x_frameio_legacy_token_auth="true")).status == 200
    assert (await v4_app.ask("/v4/me", own, x_frameio_legacy_token_auth="true")).status == 401
    assert (await v4_app.ask("/v2/me", legacy)).status == 200


async def test_v2_says_what_i_am_in_my_account(secret_app: Client) -> None:
    bearer = await token(secret_app)
    answer = await secret_app.ask(f"/v2/accounts/{STUDIO_ACCOUNT}/membership", bearer)
    assert answer.fields == {"account": "admin", "team": "team_manager", "reviewer": False}
    answer = await secret_app.ask(f"/v2/accounts/{ELSEWHERE_ACCOUNT}/membership", bearer)
    assert (answer.status, answer.fields["code"]) == (404, 404)


async def test_a_role_one_does_not_have_is_left_out(frameio: FrameIO, secret_app: Client) -> None:
    bearer = frameio.developer_token(GUEST)
    answer = await secret_app.ask(f"/v2/accounts/{ELSEWHERE_ACCOUNT}/membership", bearer)
    assert answer.fields == {"reviewer": True}


async def test_v2_says_which_teams_i_am_in(frameio: FrameIO, secret_app: Client) -> None:
    bearer = await token(secret_app, scope=TEAM_SCOPE)
    teams = (await secret_app.ask("/v2/teams", bearer)).fields
    assert [team["id"] for team in teams] == [EDIT_TEAM]
    assert (await secret_app.ask(f"/v2/teams/{EDIT_TEAM}/membership", bearer)).fields == {"role": "team_manager"}
    frameio.put_person(replace(EDITOR, teams={}))
    assert (await secret_app.ask("/v2/teams", bearer)).fields == []
    assert (await secret_app.ask(f"/v2/teams/{EDIT_TEAM}/membership", bearer)).status == 404


async def test_a_changed_email_shows_at_once(frameio: FrameIO, secret_app: Client) -> None:
    bearer = await token(secret_app)
    frameio.change_email(EDITOR, "editor@elsewhere.example.org")
    assert (await secret_app.ask("/v2/me", bearer)).fields["email"] == "editor@elsewhere.example.org"


async def test_an_endpoint_without_its_scope_is_a_403(secret_app: Client) -> None:
    bearer = await token(secret_app, scope="project.read")
    for path in ("/v2/me", f"/v2/accounts/{STUDIO_ACCOUNT}/membership", "/v2/teams"):
        answer = await secret_app.ask(path, bearer)
        assert answer.status == 403
        assert answer.fields["errors"][0].keys() == {"code", "status", "title", "detail"}


async def get(client: Client, path: str, *authorization: str) -> ClientResponse:
    headers = [("Authorization", value) for value in authorization]
    response = await client.visitor.session.get(client.root.join(URL(path)), headers=headers)
    await response.read()
    return response


async def test_no_bearer_a_wrong_one_or_two_are_a_401_in_the_api_s_own_shape(client: Client) -> None:
    bearer = f"Bearer {await token(client)}"
    path = f"/{client.app.api}/me"
    for headers in [(), ("Bearer unknown",), (bearer.replace("Bearer", "Basic"),), (bearer, bearer)]:
        response = await get(client, path, *headers)
        fields = await response.json()
        assert response.status == 401
        assert fields.keys() == ({"errors"} if client.app.api == "v4" else {"code", "message", "errors"})
    assert (await get(client, path, bearer.replace("Bearer", "bearer"))).status == 200


async def test_a_token_of_one_api_is_nobody_at_the_other(secret_app: Client, v4_app: Client) -> None:
    assert (await v4_app.ask("/v4/me", await token(secret_app))).status == 401
    assert (await secret_app.ask("/v2/me", await token(v4_app))).status == 401


async def test_there_is_nothing_elsewhere(frameio: FrameIO, client: Client) -> None:
    assert (await get(client, "/v3/me")).status == 404
    assert not frameio.calls


async def test_a_developer_token_works_until_it_is_revoked(
    frameio: FrameIO, clock: Clock, secret_app: Client
) -> None:
    bearer = frameio.developer_token(EDITOR)
    assert bearer.startswith("fio-u-")
    clock.now += 10 * 365 * DAY
    assert (await secret_app.ask("/v2/me", bearer)).status == 200
    frameio.revoke_all(EDITOR)
    assert (await secret_app.ask("/v2/me", bearer)).status == 401


class TestWithALimitOfThree:
    @pytest.fixture
    def frameio(self, clock: Clock) -> FrameIO:
        return FrameIO(clock, APPS, calls_per_minute=3)

    async def test_the_fourth_call_in_a_minute_is_a_429_for_that_person(
        self, frameio: FrameIO, clock: Clock, secret_app: Client
    ) -> None:
        editor, guest = frameio.developer_token(EDITOR), frameio.developer_token(GUEST)
        for _ in range(3):
            assert (await secret_app.ask("/v2/me", editor)).status == 200
        answer = await secret_app.ask("/v2/me", editor)
        assert answer.status == 429
        assert answer.headers["Retry-After"] == "60"
        assert answer.headers["x-ratelimit-limit"] == "3"
        assert answer.headers["x-ratelimit-remaining"] == "0"
        assert answer.headers["x-ratelimit-window"] == "60000"
        assert (await secret_app.ask("/v2/me", guest)).status == 200
        clock.now += 60
        assert (await secret_app.ask("/v2/me", editor)).status == 200
