"""Rules of an upstream: who gets to its tool, and what becomes of whoever may not any more."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from oauth_proxy.demo.people import EDIT_TEAM, EDITOR
from oauth_proxy.settings import parse_email_pattern
from tests.session.test_open_exchanges import a_tool_without_end, are_open, opened
from tests.support.browser import NAVIGATING, Visitor
from tests.support.proxy import Stage, on_stage
from tests.support.sessions import signed_in
from tests.support.tool import until

REVIEWERS = [{"email": "reviewer@studio.example.com"}]


def upstreams(**rules: Any) -> dict[str, Any]:
    """One tool, all of it for everybody, and below /render/ with these rules."""
    return {"/": "TOOL", "/render/": {"url": "TOOL/", **rules}}


@pytest.mark.parametrize(
    "rules",
    [{"allow": REVIEWERS}, {"deny": [{"email": "editor@*.example.com"}, {"email": "editor@studio.example.com"}]}],
)
async def test_who_may_not_have_one_tool_keeps_the_session_and_the_others(rules: dict[str, Any]) -> None:
    async with on_stage(upstreams=upstreams(**rules)) as stage, Visitor() as one, Visitor() as two:
        theirs, others = await signed_in(stage, one), await signed_in(stage, two, "Reviewer")
        asked = stage.tool_requests.total()
        page = await stage.ask("/render/echo", *NAVIGATING, theirs)
        assert (page.status, page.all("Set-Cookie")) == (403, [])
        assert b"editor@studio.example.com" in page.body.replace(b"<wbr>", b"")
        assert (await stage.ask("/render/echo", theirs)).status == 403
        assert stage.tool_requests.total() == asked
        assert (await stage.ask("/echo", theirs)).status == 200
        assert (await stage.ask("/oauth2/auth", theirs)).status == 202
        assert (await stage.ask("/render/echo", others)).status == 200
        assert stage.frameio.calls["revoke"] == 0


async def test_a_group_is_written_once_and_holds_in_every_list() -> None:
    groups = {"reviewers": REVIEWERS, "editors": [{"email": "editor@studio.example.com"}]}
    allow = [{"group": name} for name in groups]
    tools = upstreams(allow=[{"group": "reviewers"}])
    async with on_stage(access={"groups": groups, "allow": allow}, upstreams=tools) as stage:
        for person, statuses in {"Editor": (200, 403), "Reviewer": (200, 200)}.items():
            async with Visitor() as visitor:
                cookie = await signed_in(stage, visitor, person)
                found = [(await stage.ask(path, cookie)).status for path in ("/echo", "/render/echo")]
                assert tuple(found) == statuses


async def test_frame_io_is_asked_about_teams_that_only_an_upstream_or_a_group_names() -> None:
    scopes = {"scopes": ["offline", "account.read", "team.read"]}
    groups = {"managers": [{"team": EDIT_TEAM, "role": "team_manager"}]}
    tools = upstreams(allow=[{"group": "managers"}])
    async with on_stage(app=scopes, access={"groups": groups}, upstreams=tools) as stage:
        for person, status in {"Editor": 200, "Reviewer": 403}.items():
            async with Visitor() as visitor:
                cookie = await signed_in(stage, visitor, person)
                assert (await stage.ask("/render/echo", cookie)).status == status


async def test_a_program_is_judged_by_the_rules_of_the_tool_too() -> None:
    async with on_stage(access={"bearer": "true"}, upstreams=upstreams(allow=REVIEWERS)) as stage:
        token = f"Authorization: Bearer {stage.frameio.developer_token(EDITOR)}"
        assert (await stage.ask("/echo", token)).status == 200
        assert (await stage.ask("/render/echo", token)).status == 403


async def read_again(stage: Stage) -> None:
    """Two looks at the files, and then one at what is open."""
    stage.proxy.contents.email_files.look()
    stage.proxy.contents.email_files.look()
    await stage.proxy.look()


@pytest.mark.parametrize("kind", ["event stream", "upload under way", "WebSocket"])
async def test_losing_one_tool_cuts_what_is_open_there_and_nothing_else(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "renderers.txt"
    path.write_text("editor@studio.example.com\nreviewer@studio.example.com\n")
    tools = upstreams(allow=[{"emails_file": str(path)}])
    async with (
        on_stage(tool=a_tool_without_end(), upstreams=tools) as stage,
        Visitor() as one,
        Visitor() as two,
    ):
        theirs, others = await signed_in(stage, one), await signed_in(stage, two, "Reviewer")
        async with (
            opened(stage, kind, theirs, "/render") as cut,
            opened(stage, kind, theirs) as going_on,
            opened(stage, kind, others, "/render") as others_there,
        ):
            await are_open((stage, 3))
            path.write_text("reviewer@studio.example.com\n")
            await read_again(stage)
            await cut.ends()
            await asyncio.sleep(0.1)
            assert not going_on.is_over
            assert not others_there.is_over
            assert (await stage.ask("/render/echo", theirs)).status == 403
            assert (await stage.ask("/echo", theirs)).status == 200


async def test_whom_a_list_names_no_more_is_out_of_the_site_and_what_they_have_open_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "people.txt"
    path.write_text("*@studio.example.com\n")
    access = {"allow": [{"emails_file": str(path)}]}
    async with on_stage(tool=a_tool_without_end(), access=access) as stage, Visitor() as one:
        cookie = await signed_in(stage, one)
        async with opened(stage, "WebSocket", cookie) as cut:
            await are_open((stage, 1))
            path.write_text("")  # broken: nobody is thrown out by that
            await read_again(stage)
            assert (await stage.ask("/echo", cookie)).status == 200
            path.write_text("reviewer@studio.example.com\n")
            await read_again(stage)
            await cut.ends()
        assert (await stage.ask("/echo", cookie)).status == 403


async def test_a_running_proxy_sees_a_changed_list_by_itself(tmp_path: Path, visitor: Visitor) -> None:
    path = tmp_path / "people.txt"
    path.write_text("reviewer@studio.example.com\n")
    access = {"deny": [{"emails_file": str(path)}]}
    async with on_stage(access=access) as stage:
        cookie = await signed_in(stage, visitor)
        path.write_text("editor@studio.example.com\n")
        await until(lambda: stage.proxy.contents.email_files.lists[path].has("editor", "studio.example.com"))
        assert (await stage.ask("/echo", cookie)).status == 403


async def test_rules_that_a_reload_brings_reach_what_this_process_still_has_open() -> None:
    only_reviewers = (parse_email_pattern("reviewer@studio.example.com"),)
    async with on_stage(tool=a_tool_without_end(), upstreams=upstreams()) as stage, Visitor() as one:
        cookie = await signed_in(stage, one)
        tools = dict(stage.settings.upstreams)
        tools["/render/"] = tools["/render/"].model_copy(update={"allow": only_reviewers})
        async with (
            opened(stage, "WebSocket", cookie, "/render") as cut,
            opened(stage, "WebSocket", cookie) as going_on,
        ):
            await are_open((stage, 2))
            stage.proxy.obey(stage.settings.model_copy(update={"upstreams": tools}))
            await cut.ends()
            assert not going_on.is_over
        assert (await stage.ask("/render/echo", cookie)).status == 403
        assert (await stage.ask("/echo", cookie)).status == 200


async def test_a_tool_that_a_reload_takes_away_is_not_open_to_all_until_this_process_ends() -> None:
    async with on_stage(upstreams=upstreams(allow=REVIEWERS)) as stage, Visitor() as one:
        cookie = await signed_in(stage, one)
        tools = {"/": stage.settings.upstreams["/"]}
        stage.proxy.obey(stage.settings.model_copy(update={"upstreams": tools}))
        assert (await stage.ask("/render/echo", cookie)).status == 403
        assert (await stage.ask("/echo", cookie)).status == 200
