import asyncio
import json

from aiohttp import web

from tests.support.browser import Visitor
from tests.support.front_proxies import Scene
from tests.support.proxy import PROGRAM
from tests.support.units import HOUR

SESSION = "__Host-oauth_proxy"
"""The name of a session's first cookie; `-1`, `-2` … carry the rest."""


def pieces(visitor: Visitor) -> dict[str, str]:
    """The session in the browser's jar: its first cookie says how many there are."""
    kept = {cookie.key: cookie.value for cookie in visitor.cookies}
    count = int(kept[SESSION].partition(".")[0])
    names = [SESSION, *(f"{SESSION}-{number}" for number in range(1, count))]
    assert {name for name in kept if name == SESSION or name.removeprefix(f"{SESSION}-").isdigit()} == set(names)
    return {name: kept[name] for name in names}


async def asked(visitor: Visitor, scene: Scene, path: str = "/echo") -> list[str]:
    """The Set-Cookie lines on the tool's answer."""
    async with visitor.session.get(f"{scene.url}{path}", headers=PROGRAM) as answer:
        assert answer.status == 200, await answer.text()
        return answer.headers.getall("Set-Cookie", [])


async def bearer(visitor: Visitor, scene: Scene) -> str:
    """The token that the tool is given."""
    async with visitor.session.get(f"{scene.url}/echo", headers=PROGRAM) as answer:
        (value,) = [value for name, value in json.loads(await answer.text())["headers"] if name == "Authorization"]
        return str(value)


async def test_every_piece_of_a_refreshed_session_reaches_the_browser(scene: Scene, visitor: Visitor) -> None:
    scene.frameio.set_token_size(4000)
    await visitor.login(f"{scene.url}/echo")
    before, old_token = pieces(visitor), await bearer(visitor, scene)
    assert len(before) >= 3
    scene.clock.advance(HOUR)
    lines = await asked(visitor, scene)
    after = pieces(visitor)
    assert [line.partition("=")[0] for line in lines] == list(after)
    assert all("; Secure" in line and "; HttpOnly" in line and line.count("=") == 4 for line in lines)
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    # Restarted, the proxy knows nothing but what the browser brings: had a piece been lost, or the old session
    # come back, this would be a stranger's request.
    await scene.restart()
    assert not await asked(visitor, scene)
    assert await bearer(visitor, scene) != old_token
    assert scene.frameio.calls["token:refresh_token"] == 1


async def test_a_session_may_grow_and_shrink(scene: Scene, visitor: Visitor) -> None:
    await visitor.login(f"{scene.url}/echo")
    counts = [len(pieces(visitor))]
    for size in (4000, 512, 3000):
        scene.frameio.set_token_size(size)
        scene.clock.advance(HOUR)
        await asked(visitor, scene)
        counts.append(len(pieces(visitor)))
        await scene.restart()
        assert not await asked(visitor, scene)
    assert counts[0] < counts[1] > counts[2] < counts[3]
    assert scene.frameio.calls["token:refresh_token"] == 3


async def test_an_answer_without_a_refresh_sets_no_cookie(scene: Scene, visitor: Visitor) -> None:
    await visitor.login(f"{scene.url}/echo")
    await asked(visitor, scene)  # the count of logins that did not come back is cleared here
    for _ in range(3):
        assert not await asked(visitor, scene)


async def test_parallel_requests_refresh_once_and_all_carry_the_session(scene: Scene, visitor: Visitor) -> None:
    await visitor.login(f"{scene.url}/echo")
    scene.clock.advance(HOUR)
    for lines in await asyncio.gather(*(asked(visitor, scene, f"/echo/{number}") for number in range(20))):
        assert len(lines) >= 2
    assert scene.frameio.calls["token:refresh_token"] == 1


async def test_logins_that_succeed_are_no_loop(scene: Scene, visitor: Visitor) -> None:
    for _ in range(5):
        answer = await visitor.login(f"{scene.url}/echo")
        assert answer.status == 200
        await visitor.get(f"{scene.url}/oauth2/sign_out")


async def test_the_tool_s_own_cookies_cross_both_ways_and_ours_stay_away_from_it(
    scene: Scene, visitor: Visitor
) -> None:
    scene.routes["/set"] = setting_two_cookies
    await visitor.login(f"{scene.url}/set")
    scene.clock.advance(HOUR)
    lines = await asked(visitor, scene, "/set")
    assert [line.partition("=")[0] for line in lines].count("first") == 1
    assert [line.partition("=")[0] for line in lines].count("second") == 1
    assert len(lines) == 2 + len(pieces(visitor))
    await asked(visitor, scene, "/echo")
    sent = ";".join(scene.tool_requests[-1].headers.getall("Cookie"))
    assert sorted(cookie.strip() for cookie in sent.split(";")) == ["first=1", "second=a=b"]


async def test_a_cookie_of_another_name_that_looks_like_ours_is_the_tool_s(scene: Scene, visitor: Visitor) -> None:
    await visitor.login(f"{scene.url}/echo")
    visitor.cookies.update_cookies({"my_oauth_proxy": "kept", "oauth_proxy_theme": "dark"})
    await asked(visitor, scene)
    sent = ";".join(scene.tool_requests[-1].headers.getall("Cookie"))
    assert sorted(cookie.strip() for cookie in sent.split(";")) == [
        "my_oauth_proxy=kept",
        "oauth_proxy_theme=dark",
    ]


async def setting_two_cookies(request: web.Request) -> web.StreamResponse:
    answer = web.Response(text="two")
    answer.headers.add("Set-Cookie", "first=1; Path=/")
    answer.headers.add("Set-Cookie", "second=a=b; Path=/; Expires=Wed, 21 Oct 2037 07:28:00 GMT")
    return answer
