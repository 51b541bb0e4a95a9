from collections.abc import Callable
from urllib.parse import quote

import pytest
from aiohttp import ClientResponse
from yarl import URL

from oauth_proxy.cookies import Cookies
from oauth_proxy.demo.people import EDITOR
from oauth_proxy.headers import Fields
from oauth_proxy.oauth import Attempt, digest
from oauth_proxy.paths import Site
from oauth_proxy.seal import Sealer
from oauth_proxy.session import Attempts
from tests.support.browser import Visitor
from tests.support.login import (
    COOKIE,
    at_the_door,
    attempts,
    complaints,
    cookies,
    nothing_leaked,
    query,
    session_cookie,
    way_on,
)
from tests.support.proxy import PROGRAM, Stage

pytestmark = pytest.mark.usefixtures("everything_logged")


async def opened(stage: Stage, visitor: Visitor, callback: str) -> ClientResponse:
    """What a callback answers that must redeem nothing and sign nobody in, whatever its code is worth."""
    redeemed = stage.frameio.calls["token"]
    answer = await visitor.get(callback)
    assert not [line for line in answer.headers.getall("Set-Cookie", []) if line.startswith(f"{COOKIE}=")]
    assert not session_cookie(visitor)
    assert stage.frameio.calls["token"] == redeemed
    assert not stage.tool_requests
    return answer


async def begun_anew(stage: Stage, visitor: Visitor, callback: str) -> URL:
    """Open a callback that leads to a login of the visitor's own; where it leads."""
    answer = await opened(stage, visitor, callback)
    assert answer.status == 302
    location = answer.headers["Location"]
    assert location.startswith(f"{stage.frameio_url}/oauth2/auth?")
    assert query(location)["state"] != query(callback)["state"]
    return URL(location, encoded=True)


STATES: dict[str, Callable[[str], str]] = {
    "missing": lambda state: "",
    "empty": lambda state: "&state=",
    "too short": lambda state: "&state=abc",
    "forged": lambda state: "&state=" + "A" * len(state),
    "cut": lambda state: f"&state={state[:-1]}",
    "longer": lambda state: f"&state={state}A",
    "another case": lambda state: f"&state={state.swapcase()}",
    "its nonce alone": lambda state: f"&state={state.partition('.')[0]}",
    "without its nonce": lambda state: f"&state=.{state.partition('.')[2]}",
    "padded": lambda state: f"&state=%20{state}",
    "said twice": lambda state: f"&state={state}&state={state}",
    "said first and forged": lambda state: f"&state={state}&state=forged-forged",
    "no text": lambda state: "&state=%FF%00%0d%0a",
    "huge": lambda state: "&state=" + "A" * 12_000,
}


@pytest.mark.parametrize("changed", STATES.values(), ids=STATES)
async def test_a_callback_with_a_state_that_is_not_ours_redeems_nothing(
    changed: Callable[[str], str], stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    good = query(await at_the_door(stage, visitor))
    page = await opened(stage, visitor, f"{stage.url}/oauth2/callback?code={good['code']}{changed(good['state'])}")
    assert page.status == 403
    assert "<h1>This login has expired</h1>" in await page.text()
    (line,) = complaints(caplog)
    assert "no login attempt of this browser" in line
    await nothing_leaked(stage, visitor, caplog)
    assert await way_on(page) == f"{stage.url}/oauth2/start?rd={quote(stage.url + '/', safe='')}"


async def test_somebody_elses_callback_signs_nobody_in_as_somebody_else(
    stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    """Login CSRF (RFC 6749 10.12): state and code are true, and were another browser's."""
    async with Visitor() as attacker:
        callback = await at_the_door(stage, attacker, person="Guest")
    own = await begun_anew(stage, visitor, callback)
    answer = await visitor.login(own)
    assert dict((await answer.json())["headers"])["X-Forwarded-Email"] == EDITOR.email
    await nothing_leaked(stage, visitor, caplog)


async def test_a_login_under_way_is_not_finished_by_somebody_elses_callback(
    stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    async with Visitor() as attacker:
        callback = await at_the_door(stage, attacker, person="Guest")
    own = await at_the_door(stage, visitor)
    await begun_anew(stage, visitor, callback)
    answer = await visitor.follow(own)
    assert dict((await answer.json())["headers"])["X-Forwarded-Email"] == EDITOR.email
    await nothing_leaked(stage, visitor, caplog)


async def test_an_attackers_code_under_the_visitors_own_state_fails_the_verifier(
    stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    async with Visitor() as attacker:
        injected = query(await at_the_door(stage, attacker, person="Guest"))["code"]
    own = query(await at_the_door(stage, visitor))
    page = await visitor.follow(f"{stage.url}/oauth2/callback?code={injected}&state={quote(own['state'])}")
    assert page.status == 403
    assert not session_cookie(visitor)
    assert not stage.tool_requests
    (line,) = complaints(caplog)
    assert "invalid_grant" in line


async def test_an_attempts_cookie_goes_with_no_other_attempt(stage: Stage, visitor: Visitor) -> None:
    """The seal holds the cookie's name: under another one it opens nothing."""
    await visitor.get((await visitor.get(f"{stage.url}/echo")).headers["Location"])
    (planted,) = cookies(visitor).values()
    async with Visitor() as other:
        callback = await at_the_door(stage, other)
        (name,) = attempts(other)
        forget_us(other)
        other.cookies.update_cookies({name: planted})
        await begun_anew(stage, other, callback)


async def test_an_attempt_whose_cookie_has_the_name_of_anothers_state_does_not_go_with_it(stage: Stage) -> None:
    """The name holds 48 bits of the state's digest, the sealed attempt all of them."""
    sealer, cookies = Sealer([bytes(32)], "attempt"), Cookies(COOKIE, secure=False)
    shortened = Site("http://localhost").shortened
    attempts = Attempts(cookies, sealer, lambda: 0.0, stage.proxy.memory, shortened)
    name = f"{COOKIE}-login-{digest('wanted-state')[:8]}"
    for state, found in [("wanted-state", True), ("another-state", False)]:
        sealed = sealer.seal(Attempt.start(state, 0.0).encode(), name)
        received = cookies.read(Fields([(b"Cookie", f"{name}={sealed}".encode())]))
        assert bool(attempts.find("wanted-state", received)) is found


async def test_an_attempt_expires_after_fifteen_minutes_and_another_one_reaches_the_target(
    stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    callback = await at_the_door(stage, visitor, "/echo?project=7")
    stage.clock.advance(16 * 60)
    answer = await visitor.login(await begun_anew(stage, visitor, callback))
    assert (await answer.json())["path"] == "/echo?project=7"
    assert not attempts(visitor)
    await nothing_leaked(stage, visitor, caplog)


async def test_an_attempt_lasts_as_long_as_frame_ios_code(stage: Stage, visitor: Visitor) -> None:
    callback = await at_the_door(stage, visitor)
    stage.clock.advance(9 * 60)
    assert (await visitor.follow(callback)).status == 200


async def test_the_back_button_after_a_login_leads_to_the_target_and_redeems_nothing(
    stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    callback = await at_the_door(stage, visitor, "/echo?project=7")
    await visitor.follow(callback)
    signed_in = session_cookie(visitor)
    for _ in range(2):
        answer = await visitor.follow(callback)
        assert (await answer.json())["path"] == "/echo?project=7"
    assert stage.frameio.calls["token"] == 1
    assert session_cookie(visitor) == signed_in
    assert not complaints(caplog)
    await nothing_leaked(stage, visitor, caplog)


async def test_a_callback_repeated_without_a_session_begins_a_login_anew(stage: Stage, visitor: Visitor) -> None:
    callback = await at_the_door(stage, visitor)
    await visitor.follow(callback)
    forget_us(visitor)
    stage.tool_requests.clear()
    answer = await visitor.login(await begun_anew(stage, visitor, callback))
    assert answer.status == 200


async def test_a_browser_that_keeps_no_cookie_of_ours_gets_a_page_and_not_a_loop(
    stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    callback = await at_the_door(stage, visitor, "/echo?project=7")
    forget_us(visitor)
    consent = await visitor.get(await begun_anew(stage, visitor, callback))
    callback = (await visitor.press(consent, "Allow")).headers["Location"]
    forget_us(visitor)
    page = await opened(stage, visitor, callback)
    assert page.status == 403
    assert "did not keep our cookie" in await page.text()
    (line,) = complaints(caplog)
    assert "cookie_not_returned" in line
    await nothing_leaked(stage, visitor, caplog)
    answer = await visitor.login(await way_on(page))  # cookies are allowed now
    assert (await answer.json())["path"] == "/echo?project=7"


def forget_us(visitor: Visitor) -> None:
    visitor.cookies.clear(lambda cookie: cookie.key.startswith(COOKIE))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first first", "last first"])
async def test_two_tabs_finish_in_either_order_on_their_own_targets(
    order: tuple[int, int], stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    tabs = [await visitor.follow(f"{stage.url}/echo?tab={number}") for number in (0, 1)]
    assert len(attempts(visitor)) == 2
    for number in order:
        answer = await visitor.login(tabs[number].url)
        assert (await answer.json())["path"] == f"/echo?tab={number}"
    assert not attempts(visitor)
    assert stage.frameio.calls["token"] == 2
    assert not complaints(caplog)


async def test_a_script_gets_no_login_cookie(stage: Stage, visitor: Visitor) -> None:
    for path in ("/echo", "/oauth2/start?rd=/echo"):
        async with visitor.session.get(stage.url + path, headers=PROGRAM, allow_redirects=False) as answer:
            assert answer.status == 401
    assert not cookies(visitor)
