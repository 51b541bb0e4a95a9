"""Nothing of an address is lost on the way through a login: neither its fragment nor a long query."""

import html
import logging
import re
from pathlib import Path
from urllib.parse import quote

import pytest
from yarl import URL

from oauth_proxy.paths import LONGEST_RETURN
from oauth_proxy.responses import LONGEST_RD
from oauth_proxy.session import LongAddresses
from oauth_proxy.session.attempts import LONGEST_SEALED
from oauth_proxy.session.long_addresses import MOST, MOST_OF_ONE
from oauth_proxy.telemetry import JsonFormatter
from tests.support.browser import IN_A_WINDOW, NAVIGATING, Visitor
from tests.support.login import query, records, way_on
from tests.support.proxy import SCRIPT, Stage, on_stage, replica

WINDOW = [f"{name}: {value}" for name, value in IN_A_WINDOW.items()]
FRAGMENT = "#at=00:01:02&note=a%20b/c?d=\\e|f{g}^'()!$*+,;:@~-_.%23%2F%C3%A9"
UNFRIENDLY = "".join(
    f"&k{i:04x}=%{i % 256:02X}%{i * 7 % 256:02X}{(i * 2654435761) % 2**32:08x}" for i in range(600)
)


async def form_posted(stage: Stage, visitor: Visitor, rd: str, query: str = "") -> str:
    """Where the form of our page leads, as its script sends it."""
    posted = await visitor.session.post(
        URL(f"{stage.url}/oauth2/start{query}"), data={"rd": rd}, headers=IN_A_WINDOW, allow_redirects=False
    )
    assert posted.status == 302, await posted.text()
    return posted.headers["Location"]


async def callback_of(stage: Stage, visitor: Visitor, location: str) -> str:
    page = await visitor.follow(URL(location, encoded=True))
    if page.headers["X-Emulated-Page"] == "login":
        await visitor.press(page, "Editor")
        page = await visitor.get(page.url)
    return (await visitor.press(page, "Allow")).headers["Location"]


async def lands(visitor: Visitor, callback: str) -> str:
    """The address to which a callback redirects, byte for byte."""
    answer = await visitor.get(callback)
    assert answer.status == 302, await answer.text()
    return answer.headers["Location"]


async def test_a_browsers_window_gets_a_page_whose_script_goes_to_the_login_with_the_fragment(
    stage: Stage,
) -> None:
    page = await stage.ask("/board?shot=12&a=b", *WINDOW)
    assert page.status == 401, "a service worker that keeps what is 200 must not keep it"
    assert (page.get("Cache-Control"), page.get("X-OAuth-Proxy")) == ("no-store", "answer")
    assert page.get("WWW-Authenticate")
    text = page.body.decode()
    assert "location.replace(" in text
    start = f"{stage.url}/oauth2/start?rd={quote(f'{stage.url}/board?shot=12&a=b', safe='')}"
    assert f'href="{html.escape(start)}"' in text
    assert not re.search("localStorage|sessionStorage|document.cookie|indexedDB", text)
    assert not page.all("Set-Cookie")


@pytest.mark.parametrize(
    "lines",
    [
        NAVIGATING,
        ["Accept: text/html"],
        [*NAVIGATING, "Sec-Fetch-Dest: iframe"],
    ],
    ids=["no destination", "no Fetch Metadata", "a frame"],
)
async def test_who_cannot_be_known_to_have_a_window_is_redirected_as_ever(stage: Stage, lines: list[str]) -> None:
    answer = await stage.ask("/board?a=b", *lines)
    assert answer.status == 302
    assert answer.get("Location") == f"{stage.url}/oauth2/start?rd={quote(f'{stage.url}/board?a=b', safe='')}"


@pytest.mark.parametrize("lines", [["Sec-Purpose: prefetch;prerender"], ["Sec-Purpose: prefetch"]])
async def test_what_nobody_looks_at_yet_starts_no_login(stage: Stage, lines: list[str]) -> None:
    answer = await stage.ask("/board", *WINDOW, *lines)
    assert (answer.status, answer.get("Content-Type")) == (401, "application/json; charset=utf-8")


async def test_a_fragment_comes_back_byte_for_byte_and_is_seen_by_nobody_else(
    stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "oauth_proxy")
    asked = f"{stage.url}/echo?a=b{FRAGMENT}"
    started = await visitor.get(f"{stage.url}/oauth2/start?rd={quote(asked, safe='')}")
    callback = await callback_of(stage, visitor, started.headers["Location"])
    assert "#" not in started.headers["Location"]
    assert "00:01:02" not in started.headers["Location"]
    assert await lands(visitor, callback) == asked
    for record in records(caplog):
        assert "00:01:02" not in JsonFormatter().format(record)
        assert quote("00:01:02", safe="") not in JsonFormatter().format(record)


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(
    "rest",
    [
        "/echo?" + UNFRIENDLY,
        "/echo?" + "%E2%82%AC" * 900,
        "/echo?" + "&=" * 4000,
        "/echo#" + UNFRIENDLY,
        "/echo/" + "a" * 5000 + "?" + "b" * 2000 + "#" + "c" * 900,
    ],
    ids=["noise", "percent", "separators", "fragment", "all three"],
)
async def test_an_address_of_8_kib_comes_back_whole(
    stage: Stage, visitor: Visitor, rest: str, restarted: bool
) -> None:
    asked = (stage.url + rest)[:LONGEST_RETURN]
    location = await form_posted(stage, visitor, asked)
    assert len(location) < 4096, "Frame.io need not take long states"
    callback = await callback_of(stage, visitor, location)
    if restarted:  # the cookie is lost, and the login begins anew
        visitor.cookies.clear(lambda cookie: "-login-" in cookie.key)
        callback = await callback_of(stage, visitor, await lands(visitor, callback))
    assert await lands(visitor, callback) == asked


async def test_a_long_address_waits_in_a_form_for_who_has_no_script_or_no_fetch_metadata(
    stage: Stage, visitor: Visitor
) -> None:
    asked = f"/echo?{UNFRIENDLY}"[:8000]
    for lines in (WINDOW, NAVIGATING, ["Accept: text/html"]):
        page = await stage.ask(asked, *lines)
        assert page.status == 401
        (rd,) = re.findall(rb'name="rd" value="([^"]*)"', page.body)
        (action,) = re.findall(rb'action="([^"]*)"', page.body)
        assert html.unescape(rd.decode()) == stage.url + asked
        # Without the body (a service worker makes a GET of it) there is still the way back to the page.
        assert (
            html.unescape(action.decode()) == f"{stage.url}/oauth2/start?rd={quote(stage.url + '/echo', safe='')}"
        )
    location = await form_posted(stage, visitor, stage.url + asked, f"?rd={quote(stage.url + '/echo', safe='')}")
    assert await lands(visitor, await callback_of(stage, visitor, location)) == stage.url + asked


async def test_a_query_of_2100_characters_needs_no_form(stage: Stage, visitor: Visitor) -> None:
    asked = "/echo?q=" + UNFRIENDLY[:2100]
    redirected = await stage.ask(asked, *NAVIGATING)
    assert redirected.status == 302
    callback = await callback_of(stage, visitor, redirected.get("Location") or "")
    assert await lands(visitor, callback) == stage.url + asked


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("/echo?a=b#" + "f" * 9000, "/echo?a=b"),
        ("/echo?" + "q" * 9000 + "#f", "/echo"),
        ("/" + "p" * 9000, "/"),
    ],
)
async def test_what_is_longer_still_loses_its_end_and_nobody_an_error(
    stage: Stage, visitor: Visitor, sent: str, kept: str
) -> None:
    location = await form_posted(stage, visitor, stage.url + sent)
    assert await lands(visitor, await callback_of(stage, visitor, location)) == stage.url + kept


async def test_an_address_that_the_memory_lost_leads_to_the_same_page_with_a_shorter_one(
    stage: Stage, visitor: Visitor
) -> None:
    location = await form_posted(stage, visitor, f"{stage.url}/echo?a=b#{UNFRIENDLY}"[:LONGEST_RETURN])
    callback = await callback_of(stage, visitor, location)
    await stage.proxy.memory.drop("address " + query(callback)["state"].partition(".")[0])
    assert await lands(visitor, callback) == f"{stage.url}/echo?a=b"


@pytest.mark.parametrize(("store", "is_whole"), [("sqlite:STORE", True), ("cookie", False)])
async def test_a_callback_at_another_replica_knows_the_whole_address_where_they_share_a_store(
    visitor: Visitor, tmp_path: Path, store: str, is_whole: bool
) -> None:
    """Without a store, or after a restart without one, it is the same page with what the state has of it."""
    store = store.replace("STORE", f"{tmp_path}/sessions.db")
    async with on_stage(session={"store": store}) as one, replica(one) as other:
        asked = f"{one.url}/echo?a=b#{UNFRIENDLY}"[:LONGEST_RETURN]
        callback = await callback_of(one, visitor, await form_posted(one, visitor, asked))
        cookie = visitor.cookie_line(callback)
        answer = await other.ask(callback.removeprefix(one.url), cookie, *NAVIGATING)
        assert answer.status == 302
        assert answer.get("Location") == (asked if is_whole else f"{one.url}/echo?a=b")


async def test_a_login_that_is_refused_still_knows_the_way_back(stage: Stage, visitor: Visitor) -> None:
    asked = f"{stage.url}/echo?a=b#shot=12"
    started = await visitor.get(f"{stage.url}/oauth2/start?rd={quote(asked, safe='')}")
    page = await visitor.login(URL(started.headers["Location"], encoded=True), consent=False)
    assert await way_on(page) == f"{stage.url}/oauth2/start?rd={quote(asked, safe='')}"


async def test_who_comes_to_the_start_by_a_front_proxy_gets_the_page_and_then_the_login(
    stage: Stage,
) -> None:
    page = await stage.ask("/oauth2/start", *WINDOW, "X-Auth-Request-Redirect: /board?a=b")
    assert page.status == 401
    start = f"/oauth2/start?rd={quote(f'{stage.url}/board?a=b', safe='')}"
    assert f'href="{stage.url}{start}"' in page.body.decode()
    again = await stage.ask(start, *WINDOW, "X-Auth-Request-Redirect: /board?a=b")
    assert again.status == 302
    assert (again.get("Location") or "").startswith(stage.frameio_url)


async def test_a_scripts_post_to_the_start_is_no_login(stage: Stage) -> None:
    answer = await stage.ask("/oauth2/start", *SCRIPT, method="POST", body=b"rd=/echo")
    assert answer.status == 401
    assert not answer.all("Set-Cookie")


async def test_what_strangers_may_store_is_bounded_for_each_of_them_and_for_all(stage: Stage) -> None:
    waiting = LongAddresses(stage.proxy.memory)
    await waiting.keep("early", "https://a/", "somebody")
    for number in range(3 * MOST_OF_ONE):
        await waiting.keep(f"flood{number}", f"https://a/{number}", "flooder")
    assert await waiting.find("early") == "https://a/", "one client's flood pushes out its own"
    found = [await waiting.find(f"flood{number}") is not None for number in range(3 * MOST_OF_ONE)]
    assert found == [False] * (2 * MOST_OF_ONE) + [True] * MOST_OF_ONE
    for number in range(MOST):
        await waiting.keep(f"many{number}", "https://a/", f"client{number}")
    assert await waiting.find("early") is None
    assert await waiting.find(f"many{MOST - 1}") == "https://a/"
    assert len(waiting) == MOST


async def test_an_address_that_waits_is_gone_when_the_login_may_no_longer_be_finished(stage: Stage) -> None:
    waiting = LongAddresses(stage.proxy.memory)
    await waiting.keep("once", "https://a/", "somebody")
    stage.clock.advance(16 * 60)
    assert await waiting.find("once") is None


def test_the_limits_leave_room_for_what_is_around_them() -> None:
    assert LONGEST_RD < 8192 - 1024  # of the request line: method, route, origin
    assert LONGEST_SEALED < 4096 - 1024
