"""One redemption for each state: whoever opens a callback again lands where the first one landed."""

import asyncio
from pathlib import Path

import pytest

from oauth_proxy.demo.faults import Fault
from tests.support.browser import NAVIGATING, Visitor
from tests.support.login import at_the_door
from tests.support.proxy import RawAnswer, Stage, on_stage, replica
from tests.support.sessions import bearer, new_cookie_line, signed_in
from tests.support.units import HOUR


def exchanges(stage: Stage) -> int:
    return stage.frameio.calls["token:authorization_code"]


async def back(stage: Stage, url: str, cookie: str) -> RawAnswer:
    """The callback of a browser with these cookies."""
    return await stage.ask(url.removeprefix(stage.url), cookie, *NAVIGATING)


async def all_land(stage: Stage, answers: list[RawAnswer]) -> None:
    for answer in answers:
        assert (answer.status, answer.get("Location")) == (302, f"{stage.url}/echo")
    tokens = {bearer(await stage.ask("/echo", new_cookie_line(answer))) for answer in answers}
    assert len(tokens) == 1


async def test_ten_parallel_callbacks_with_one_code_make_one_token_request_and_all_land_signed_in(
    stage: Stage, visitor: Visitor
) -> None:
    url = await at_the_door(stage, visitor)
    cookie = visitor.cookie_line(url)
    answers = await asyncio.gather(*(back(stage, url, cookie) for _ in range(10)))
    await all_land(stage, answers)
    assert exchanges(stage) == 1


async def test_ten_callbacks_at_two_replicas_of_one_store_make_one_token_request(
    tmp_path: Path, visitor: Visitor
) -> None:
    async with on_stage(session={"store": f"sqlite:{tmp_path}/sessions.db"}) as a, replica(a) as b:
        url = await at_the_door(a, visitor)
        cookie = visitor.cookie_line(url)
        answers = await asyncio.gather(*(back((a, b)[n % 2], url, cookie) for n in range(10)))
        await all_land(a, answers)
        await all_land(b, [await back(b, url, cookie)])
        assert exchanges(a) == 1


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.LOST, Fault.INVALID_GRANT])
async def test_a_redemption_that_fails_fails_for_all_and_is_not_tried_again(
    tmp_path: Path, visitor: Visitor, fault: Fault
) -> None:
    async with on_stage(session={"store": f"sqlite:{tmp_path}/sessions.db"}) as a, replica(a) as b:
        url = await at_the_door(a, visitor)
        cookie = visitor.cookie_line(url)
        a.frameio.faults.plan("token", fault, 1)
        answers = await asyncio.gather(*(back(a, url, cookie) for _ in range(10)))
        assert len({answer.status for answer in answers}) == 1
        assert answers[0].status in (403, 503)
        elsewhere = await back(b, url, cookie)
        assert elsewhere.status == 302
        assert a.frameio_url in (elsewhere.get("Location") or ""), "a login is begun anew"
        assert exchanges(a) == 1


async def test_a_visitor_who_hangs_up_during_the_exchange_and_comes_back_lands_signed_in(
    stage: Stage, visitor: Visitor
) -> None:
    url = await at_the_door(stage, visitor)
    cookie = visitor.cookie_line(url)
    stage.frameio.faults.plan("token", Fault.HANG, 1)
    lines = [f"GET {url.removeprefix(stage.url)} HTTP/1.1", f"Host: localhost:{stage.port}", cookie, *NAVIGATING]
    _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    await stage.frameio.faults.hanging(1)
    writer.transport.abort()
    waiting = asyncio.create_task(back(stage, url, cookie))
    await asyncio.sleep(0.02)
    stage.frameio.faults.release()
    await all_land(stage, [await waiting, await back(stage, url, cookie)])
    assert exchanges(stage) == 1


async def test_1500_clients_with_one_attempts_cookie_and_bogus_codes_make_one_token_request_and_stop_no_refresh(
    stage: Stage, visitor: Visitor
) -> None:
    async with Visitor() as second:
        signed = await signed_in(stage, second, "Reviewer")
    url = await at_the_door(stage, visitor)
    cookie = visitor.cookie_line(url)
    before, _, after = url.partition("code=")
    rest = after[after.index("&") :] if "&" in after else ""
    made = exchanges(stage)
    stage.frameio.faults.plan("token:authorization_code", Fault.HANG)
    bogus: list[asyncio.Task[RawAnswer]] = []
    for hundred in range(15):
        codes = [f"bogus-{100 * hundred + number}" for number in range(100)]
        bogus += [asyncio.create_task(back(stage, f"{before}code={code}{rest}", cookie)) for code in codes]
        # It has accepted these by then; of more than its backlog of 128, some would wait for seconds or be reset.
        assert (await stage.ask("/oauth2/userinfo")).status == 401
    await stage.frameio.faults.hanging(1)
    stage.clock.advance(HOUR - 30)
    for _ in range(5):
        bearer(await stage.ask("/echo", signed))
    assert stage.frameio.calls["token:refresh_token"] == 1
    stage.frameio.faults.clear()
    assert {answer.status for answer in await asyncio.gather(*bogus)} <= {302, 403}
    assert exchanges(stage) == made + 1
