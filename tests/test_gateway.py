import html
import re

from tests.support.browser import Visitor
from tests.support.proxy import PROGRAM, Stage, on_stage


async def test_a_stranger_is_sent_to_frame_io_and_comes_back_to_the_same_path_and_query(
    stage: Stage, visitor: Visitor
) -> None:
    answer = await visitor.login(f"{stage.url}/echo?project=7&filter=%C3%A9%20b&empty=")
    assert answer.status == 200
    assert (await answer.json())["path"] == "/echo?project=7&filter=%C3%A9%20b&empty="


async def test_the_tool_receives_the_visitors_own_bearer_and_identity(stage: Stage, visitor: Visitor) -> None:
    answer = await visitor.login(f"{stage.url}/echo")
    headers = dict((await answer.json())["headers"])
    async with visitor.session.get(
        f"{stage.frameio_url}/v2/me", headers={"Authorization": headers["Authorization"]}
    ) as me:
        assert (await me.json())["email"] == "editor@studio.example.com"
    assert headers["X-Forwarded-Email"] == "editor@studio.example.com"
    assert headers["X-Forwarded-Preferred-Username"] == "Editor"


async def test_a_program_without_a_session_is_told_where_the_login_is(stage: Stage, visitor: Visitor) -> None:
    async with visitor.session.get(f"{stage.url}/api", headers=PROGRAM) as answer:
        assert answer.status == 401
        assert answer.headers["X-OAuth-Proxy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert (await answer.json())["login_url"].startswith(f"{stage.url}/oauth2/start?rd=")
    assert not stage.tool_requests


async def test_somebody_who_may_not_enter_is_told_as_whom_and_can_come_back_as_somebody_else(
    visitor: Visitor,
) -> None:
    async with on_stage(access={"allow": [{"email": "*@studio.example.com"}]}) as stage:
        denied = await visitor.login(f"{stage.url}/echo?a=b", "Guest")
        page = await denied.text()
        assert denied.status == 403
        assert "guest@elsewhere.example.org" in page.replace("<wbr>", "")
        assert not [cookie for cookie in visitor.cookies if cookie.key.startswith("oauth_proxy")], (
            "nothing is kept"
        )
        [link] = [href for href in re.findall(r'href="([^"]+)"', page) if "/oauth2/start" in href]
        landed = await visitor.login(html.unescape(link), "Editor")
        assert (str(landed.url), landed.status) == (f"{stage.url}/echo?a=b", 200)
    assert stage.tool_requests == {"/echo?a=b": 1}
