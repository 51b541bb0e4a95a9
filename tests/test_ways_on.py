"""Where a page that tells of a failure leads: to what the visitor wanted, wherever that may still work."""

import html
import re

import pytest
from yarl import URL

from oauth_proxy.demo.faults import Fault
from tests.support.browser import Visitor
from tests.support.proxy import Stage, on_stage

PERSON = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
AWAY = "http://127.0.0.1:1"


def ways_on(page: str) -> list[tuple[str, str]]:
    """The links that look like buttons: the words, and where each leads."""
    found = re.findall(r'<a class="button[^"]*" href="([^"]*)"[^>]*>([^<]*)</a>', page)
    return [(words, html.unescape(url)) for url, words in found]


async def seen(
    visitor: Visitor, url: str, method: str = "GET", **headers: str
) -> tuple[int, list[tuple[str, str]]]:
    """What a person gets who opens the URL: the status, and the ways on."""
    async with visitor.session.request(method, URL(url, encoded=True), headers=PERSON | headers) as answer:
        return answer.status, ways_on(await answer.text())


async def test_a_tool_that_is_away_may_be_tried_again_where_one_was(visitor: Visitor) -> None:
    async with on_stage(upstreams={"/": "TOOL", "/render/": AWAY}) as stage:
        await visitor.login(f"{stage.url}/echo")
        target = "/render/7?frame=%2F12&b=c"
        assert await seen(visitor, stage.url + target) == (502, [("Try again", target)])


async def test_a_form_that_was_sent_is_not_offered_as_a_link(visitor: Visitor) -> None:
    async with on_stage(upstreams={"/": "TOOL", "/render/": AWAY}) as stage:
        await visitor.login(f"{stage.url}/echo")
        status, ways = await seen(visitor, f"{stage.url}/render/7", "POST")
        assert status == 502
        assert ("Try again", "/render/7") not in ways


async def test_frame_io_that_is_away_at_a_login_is_tried_again_by_another_login(
    stage: Stage, visitor: Visitor
) -> None:
    stage.frameio.faults.plan("token:authorization_code", Fault.SERVER_ERROR)
    page = await visitor.login(f"{stage.url}/echo?a=b")
    assert page.status == 503
    start = f"{stage.url}/oauth2/start?rd={stage.url.replace(':', '%3A').replace('/', '%2F')}%2Fecho%3Fa%3Db"
    assert ways_on(await page.text()) == [("Try again", start)]


async def test_who_was_not_signed_in_is_not_told_to_sign_in_again(stage: Stage, visitor: Visitor) -> None:
    status, ways = await seen(visitor, f"{stage.url}/oauth2/userinfo")
    assert status == 401
    assert [words for words, _ in ways] == ["Sign in"]


@pytest.mark.parametrize("path", ["/", "/nothing"])
async def test_the_page_of_an_address_that_leads_nowhere_does_not_lead_to_itself(
    visitor: Visitor, path: str
) -> None:
    async with on_stage(upstreams={"/app/": "TOOL"}) as stage:
        await visitor.login(f"{stage.url}/app/echo")
        front = [("Go to the start page", f"{stage.url}/")] if path != "/" else []
        assert await seen(visitor, stage.url + path) == (404, front)


async def test_who_did_not_ask_to_sign_out_may_stay_where_they_were(stage: Stage, visitor: Visitor) -> None:
    await visitor.login(f"{stage.url}/echo")
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Referer": "https://evil.example/"}
    assert await seen(visitor, f"{stage.url}/oauth2/sign_out", **elsewhere) == (
        200,
        [("Stay signed in", f"{stage.url}/")],
    )
    assert (await seen(visitor, f"{stage.url}/echo"))[0] == 200


@pytest.mark.parametrize(("rd", "shown"), [("/", None), ("/reel/7?a=b", "/reel/7"), ("/caf%C3%A9", "/café")])
async def test_the_sign_in_page_says_where_it_leads(
    stage: Stage, visitor: Visitor, rd: str, shown: str | None
) -> None:
    async with visitor.session.get(f"{stage.url}/oauth2/sign_in", params={"rd": rd}) as answer:
        page = (await answer.text()).replace("<wbr>", "")
    assert re.findall("<bdi>(.*?)</bdi>", page) == ([shown] if shown else [])
