import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import ClientResponse

from oauth_proxy.demo.faults import Fault
from oauth_proxy.demo.people import EDITOR, Api
from tests.support.browser import IN_A_WINDOW, NAVIGATION, Visitor
from tests.support.front_proxies import CADDY_ASKS, NGINX_ASKS, Recipe, Scene, behind
from tests.support.proxy import PROGRAM
from tests.support.units import HOUR


async def seen_by_tool(answer: ClientResponse) -> dict[str, list[str]]:
    """The header lines that the echoing tool got, by lower-case name."""
    assert answer.status == 200, await answer.text()
    lines: dict[str, list[str]] = {}
    for name, value in json.loads(await answer.text())["headers"]:
        lines.setdefault(name.lower(), []).append(value)
    return lines


@pytest.mark.parametrize("api", ["v2", "v4"])
async def test_a_stranger_is_led_through_the_login_to_their_path_and_query(
    recipe: Recipe, tmp_path: Path, api: Api
) -> None:
    async with behind(recipe, tmp_path, api=api) as scene, scene.visitor() as visitor:
        answer = await visitor.login(f"{scene.url}/echo/a%20b?c=d&e=%2Ff&g")
        assert json.loads(await answer.text())["path"] == "/echo/a%20b?c=d&e=%2Ff&g"
        headers = await seen_by_tool(answer)
        async with visitor.session.get(
            f"{scene.frameio_url}/{api}/me", headers={"Authorization": headers["authorization"][0]}
        ) as me:
            assert me.status == 200
        assert len(headers["authorization"]) == 1
        assert len(scene.tool_requests) == 1


async def test_the_tool_is_told_who_it_is_in_the_headers_it_knows_from_the_proxy(
    scene: Scene, visitor: Visitor
) -> None:
    headers = await seen_by_tool(await visitor.login(f"{scene.url}/echo"))
    assert headers["x-forwarded-email"] == ["editor@studio.example.com"]
    assert headers["x-forwarded-preferred-username"] == ["Editor"]
    assert headers["x-forwarded-user"] == [EDITOR.id]
    assert set(headers["x-forwarded-for"][0].split(", ")) == {"127.0.0.1"}
    assert headers["x-forwarded-proto"] == ["https"]
    assert "upgrade" not in headers.get("connection", [])
    assert headers["host"] == headers["x-forwarded-host"] == [scene.url.removeprefix("https://")]


@pytest.mark.parametrize(
    ("method", "lines"),
    [
        ("GET", PROGRAM),
        ("GET", {"Accept": "*/*"}),
        ("POST", PROGRAM),
        ("POST", NAVIGATION),  # a form: what it held would be lost on the way through a login
        ("DELETE", {"Accept": "text/html"}),
    ],
)
async def test_what_cannot_go_through_a_login_gets_a_401_that_names_it(
    scene: Scene, visitor: Visitor, method: str, lines: dict[str, str]
) -> None:
    async with visitor.session.request(
        method, f"{scene.url}/echo/x?y=z", headers=lines, allow_redirects=False
    ) as answer:
        assert answer.status == 401
        assert answer.headers["X-OAuth-Proxy"]
        assert "Set-Cookie" not in answer.headers
        if lines != NAVIGATION:
            login_url = (await answer.json())["login_url"]
            assert login_url.startswith(f"{scene.url}/oauth2/start?rd=")
    assert not scene.tool_requests


async def test_a_stranger_s_401_leads_back_to_where_the_script_s_page_is(scene: Scene, visitor: Visitor) -> None:
    lines = {**PROGRAM, "Referer": f"{scene.url}/echo/page?x"}
    async with visitor.session.get(f"{scene.url}/echo/data", headers=lines) as answer:
        login_url = (await answer.json())["login_url"]
    landed = await visitor.login(login_url)
    assert json.loads(await landed.text())["path"] in ("/echo/page?x", "/echo/data")


async def test_a_browsers_window_gets_the_page_that_takes_the_fragment_along(
    scene: Scene, visitor: Visitor
) -> None:
    async with visitor.session.get(f"{scene.url}/echo?a=b", headers=IN_A_WINDOW, allow_redirects=False) as answer:
        assert answer.status == 401
        page = await answer.text()
    assert "encodeURIComponent(whole)" in page
    (way,) = re.findall(r'id="way" class="button" href="([^"]+)"', page)
    asked = quote(f"{scene.url}/echo?a=b#shot=12", safe="")
    await visitor.login(way.partition("?")[0] + f"?rd={asked}")
    assert visitor.hops[-2].headers["Location"] == f"{scene.url}/echo?a=b#shot=12"


async def test_signing_out_ends_it(scene: Scene, visitor: Visitor) -> None:
    await visitor.login(f"{scene.url}/echo")
    await visitor.get(f"{scene.url}/oauth2/sign_out")
    assert not [cookie.key for cookie in visitor.cookies if "oauth_proxy" in cookie.key]
    answer = await visitor.get(f"{scene.url}/echo")
    assert answer.status == 302
    assert len(scene.tool_requests) == 1


async def test_a_session_that_frame_io_ended_is_gone_from_the_browser(scene: Scene, visitor: Visitor) -> None:
    await visitor.login(f"{scene.url}/echo")
    scene.clock.advance(HOUR)
    scene.frameio.revoke_all(EDITOR)
    async with visitor.session.get(f"{scene.url}/echo", headers=PROGRAM) as answer:
        assert answer.status == 401
    assert not [cookie.key for cookie in visitor.cookies if "oauth_proxy" in cookie.key]


async def test_who_may_not_enter_is_told_as_whom_and_can_be_somebody_else(recipe: Recipe, tmp_path: Path) -> None:
    nobody = {"allow": [{"email": "producer@studio.example.com"}]}
    async with behind(recipe, tmp_path, access=nobody) as scene, scene.visitor() as visitor:
        refused = await visitor.login(f"{scene.url}/echo")
        assert refused.status == 403
        page = (await refused.text()).replace("<wbr>", "")
        assert "editor@studio.example.com" in page
        assert "switch=1" in page
        assert not scene.tool_requests


@pytest.mark.parametrize(("method", "lines"), [("GET", NAVIGATION), ("GET", PROGRAM), ("POST", PROGRAM)])
async def test_while_frame_io_is_down_an_expired_session_gets_503_and_is_kept(
    scene: Scene, visitor: Visitor, method: str, lines: dict[str, str]
) -> None:
    await visitor.login(f"{scene.url}/echo")
    scene.clock.advance(HOUR)
    scene.frameio.faults.plan("token", Fault.SERVER_ERROR)
    async with visitor.session.request(method, f"{scene.url}/echo", headers=lines) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"]
    scene.frameio.faults.clear()
    scene.clock.advance(60)
    async with visitor.session.get(f"{scene.url}/echo", headers=PROGRAM) as answer:
        assert answer.status == 200
    assert len(scene.tool_requests) == 2


async def test_while_the_proxy_is_down_nobody_reaches_the_tool(scene: Scene, visitor: Visitor) -> None:
    await visitor.login(f"{scene.url}/echo")
    await scene.stop()
    async with visitor.session.get(f"{scene.url}/echo", headers=PROGRAM) as answer:
        assert answer.status in (500, 502, 503)
    assert len(scene.tool_requests) == 1


async def test_a_head_too_large_for_the_proxy_gets_its_way_out(scene: Scene, visitor: Visitor) -> None:
    large = {"Cookie": "large=" + "x" * 50_000, "X-Large": "x" * 50_000}
    async with visitor.session.get(f"{scene.url}/echo", headers=NAVIGATION | large) as answer:
        assert answer.status == 431
        assert answer.headers["Clear-Site-Data"] == '"cookies"'
    assert not scene.tool_requests


@pytest.mark.parametrize("asking", [NGINX_ASKS, CADDY_ASKS], ids=lambda recipe: recipe.file)
async def test_what_the_proxy_s_file_calls_public_is_for_the_front_to_decide(
    asking: Recipe, tmp_path: Path
) -> None:
    public = {"allow": ["everyone"], "public": ["/echo"]}
    async with behind(asking, tmp_path, access=public) as scene, scene.visitor() as visitor:
        async with visitor.session.get(f"{scene.url}/echo", headers=PROGRAM) as answer:
            assert answer.status == 401
        assert (await visitor.get(f"{scene.url}/echo")).status == 302
        assert not scene.tool_requests
