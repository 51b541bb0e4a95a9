"""Rules about Frame.io accounts, teams and roles, from the configuration to the door."""

from typing import Any

import pytest

from oauth_proxy.demo.faults import Fault
from oauth_proxy.demo.people import (
    CAST,
    EDIT_TEAM,
    EDITOR,
    ELSEWHERE_ACCOUNT,
    REVIEWER,
    STUDIO_ACCOUNT,
    Api,
    Person,
)
from oauth_proxy.errors import ConfigurationError
from tests.support.browser import Visitor
from tests.support.proxy import on_stage
from tests.support.units import HOUR

WITH_TEAMS = {"scopes": ["offline", "account.read", "team.read"]}
NAMES = [person.name for person in CAST]

V2_RULES: list[tuple[dict[str, Any], list[str]]] = [
    ({"account": STUDIO_ACCOUNT}, ["Editor", "Reviewer"]),
    ({"account": ELSEWHERE_ACCOUNT}, ["Guest"]),
    ({"account": STUDIO_ACCOUNT, "role": "admin"}, ["Editor"]),
    ({"account": STUDIO_ACCOUNT, "role": ["admin", "member"]}, ["Editor", "Reviewer"]),
    ({"account": STUDIO_ACCOUNT, "role": "owner"}, []),
    ({"account": ELSEWHERE_ACCOUNT, "role": "reviewer"}, ["Guest"]),
    ({"team": EDIT_TEAM}, ["Editor", "Reviewer"]),
    ({"team": EDIT_TEAM, "role": "team_manager"}, ["Editor"]),
    ({"team": STUDIO_ACCOUNT}, []),
]
V4_RULES: list[tuple[dict[str, Any], list[str]]] = [
    ({"account": STUDIO_ACCOUNT}, ["Editor", "Reviewer"]),
    ({"account": ELSEWHERE_ACCOUNT}, ["Guest"]),
    ({"account": STUDIO_ACCOUNT, "role": "admin"}, ["Editor"]),
    ({"account": STUDIO_ACCOUNT, "role": ["owner", "member"]}, ["Reviewer"]),
]


@pytest.mark.parametrize(
    ("api", "rule", "allowed"),
    [*(("v2", *row) for row in V2_RULES), *(("v4", *row) for row in V4_RULES)],
)
async def test_who_fits_the_rule_enters_and_everybody_else_is_told_no(
    api: Api, rule: dict[str, Any], allowed: list[str]
) -> None:
    app = WITH_TEAMS if api == "v2" else {}
    async with on_stage(api=api, app=app, access={"allow": [rule]}) as stage:
        for name in NAMES:
            async with Visitor() as visitor:
                answer = await visitor.login(f"{stage.url}/echo", name)
                assert answer.status == (200 if name in allowed else 403), name


async def test_standing_is_asked_at_login_and_refresh_and_not_in_between(visitor: Visitor) -> None:
    rule = {"team": EDIT_TEAM, "role": "team_manager"}
    async with on_stage(app=WITH_TEAMS, access={"allow": [rule]}) as stage:
        await visitor.login(f"{stage.url}/echo")
        cookie = visitor.cookie_line(stage.url)
        for _ in range(3):
            assert (await stage.ask("/echo", cookie)).status == 200
        assert stage.frameio.calls["team_membership"] == 1
        stage.frameio.put_person(_demoted(EDITOR))
        assert (await stage.ask("/echo", cookie)).status == 200
        stage.clock.advance(HOUR)
        assert (await stage.ask("/echo", cookie)).status == 403
        assert stage.frameio.calls["team_membership"] == 2


def _demoted(person: Person) -> Person:
    return Person(person.id, person.email, person.name, person.account_id, teams={EDIT_TEAM: "member"})


async def test_without_a_rule_about_it_nobody_is_asked_about_their_standing(visitor: Visitor) -> None:
    async with on_stage() as stage:
        await visitor.login(f"{stage.url}/echo")
        assert stage.frameio.calls["account_membership"] == stage.frameio.calls["team_membership"] == 0


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.HTML, Fault.NOT_AN_OBJECT])
async def test_a_standing_that_cannot_be_learned_lets_nobody_in(visitor: Visitor, fault: Fault) -> None:
    async with on_stage(app=WITH_TEAMS, access={"allow": [{"team": EDIT_TEAM}]}) as stage:
        stage.frameio.faults.plan("team_membership", fault)
        answer = await visitor.login(f"{stage.url}/echo", REVIEWER.name)
        assert answer.status in (502, 503)
        assert not stage.tool_requests


@pytest.mark.parametrize(
    ("api", "app", "rule", "sentence"),
    [
        ("v2", {}, {"team": EDIT_TEAM}, "needs the scope team.read"),
        ("v4", {}, {"team": EDIT_TEAM}, "v4 tells nothing of teams"),
        (
            "v4",
            {},
            {"account": STUDIO_ACCOUNT, "role": "reviewer"},
            "in Frame.io v4 a role is owner, admin or member",
        ),
        ("v2", {}, {"role": "admin"}, "a rule is everyone"),
    ],
)
async def test_a_rule_that_could_never_be_asked_stops_the_start(
    api: Api, app: dict[str, Any], rule: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        async with on_stage(api=api, app=app, access={"allow": [rule]}):
            pass
