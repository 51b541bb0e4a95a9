"""What /oauth2/session.js is as an answer, and what /oauth2/userinfo says about the end of a session."""

import gzip
import json
from typing import Any

import pytest

from tests.support.browser import Visitor
from tests.support.proxy import WANTED, Stage, on_stage
from tests.support.units import DAY, NOW

LARGEST = 3 * 1024
"""Bytes of the script on the wire."""


async def info(stage: Stage, *lines: str, query: str = "?passive") -> dict[str, Any]:
    answer = await stage.ask(f"/oauth2/userinfo{query}", *lines)
    assert answer.status == 200
    told: dict[str, Any] = json.loads(answer.body)
    return told


async def test_anybody_gets_the_script_and_may_keep_it(stage: Stage) -> None:
    answer = await stage.ask("/oauth2/session.js")
    assert answer.status == 200
    assert answer.get("Content-Type") == "text/javascript; charset=utf-8"
    assert answer.get("X-Content-Type-Options") == "nosniff"
    assert answer.get("X-OAuth-Proxy") == "answer"
    assert answer.get("Cache-Control") == "public, max-age=300"
    assert not answer.all("Set-Cookie")
    assert b"oauthProxy" in answer.body
    assert b"//" not in answer.body.replace(b"https://", b""), "no comment is sent"


async def test_the_script_is_less_than_three_kibibytes_on_the_wire(stage: Stage) -> None:
    plain = await stage.ask("/oauth2/session.js")
    zipped = await stage.ask("/oauth2/session.js", "Accept-Encoding: gzip, br")
    assert (plain.get("Content-Encoding"), zipped.get("Content-Encoding")) == (None, "gzip")
    assert plain.get("Vary") == zipped.get("Vary") == "Accept-Encoding"
    assert gzip.decompress(zipped.body) == plain.body
    assert len(zipped.body) < LARGEST
    head = await stage.ask("/oauth2/session.js", method="HEAD")
    assert (head.status, head.body, head.get("ETag")) == (200, b"", plain.get("ETag"))


async def test_who_has_the_script_is_told_so_and_by_its_version_it_is_kept_for_ever(stage: Stage) -> None:
    tag = (await stage.ask("/oauth2/session.js")).get("ETag") or ""
    again = await stage.ask("/oauth2/session.js", f"If-None-Match: {tag}", "Accept-Encoding: gzip")
    assert (again.status, again.body, again.get("ETag")) == (304, b"", tag)
    assert (await stage.ask("/oauth2/session.js", 'If-None-Match: "another"')).status == 200
    version = tag.removeprefix("W/").strip('"')
    kept = await stage.ask(f"/oauth2/session.js?v={version}")
    assert kept.get("Cache-Control") == "public, max-age=31536000, immutable"
    # A page that a newer or older process has made must not keep this text under that version.
    other = await stage.ask("/oauth2/session.js?v=0000000000000000")
    assert (other.status, other.get("Cache-Control")) == (200, "no-cache")


async def test_userinfo_says_when_the_session_ends(stage: Stage, visitor: Visitor) -> None:
    await visitor.login(f"{stage.url}/echo")
    told = await info(stage, visitor.cookie_line(stage.url))
    assert (told["now"], told["session_expires_at"], told["idle_expires_at"]) == (NOW, NOW + 7 * DAY, NOW + DAY)


async def test_the_idle_end_is_never_said_to_be_later_than_the_sessions(visitor: Visitor) -> None:
    async with on_stage(session={"lifetime": "2h", "idle": "2h"}) as stage:
        await visitor.login(f"{stage.url}/echo")
        stage.clock.advance(3600)
        told = await info(stage, visitor.cookie_line(stage.url), query="")
        assert told["session_expires_at"] == told["idle_expires_at"] == NOW + 7200


async def test_the_times_are_right_by_a_machine_whose_clock_was_set_and_for_a_browser_whose_clock_is_wrong(
    stage: Stage, visitor: Visitor
) -> None:
    await visitor.login(f"{stage.url}/echo")
    stage.clock.wrong = 1000.0
    told = await info(stage, visitor.cookie_line(stage.url))
    assert told["now"] == NOW + 1000
    assert told["session_expires_at"] - told["now"] == 7 * DAY


async def test_to_ask_passively_keeps_no_session_alive(stage: Stage, visitor: Visitor) -> None:
    await visitor.login(f"{stage.url}/echo")
    cookie = visitor.cookie_line(stage.url)
    for _ in range(24):
        answer = await stage.ask("/oauth2/userinfo?passive", cookie)
        assert (answer.status, answer.all("Set-Cookie")) == (200, [])
        stage.clock.advance(3600)  # an access token's whole life, so that each of these would be a refresh
    assert (await stage.ask("/oauth2/userinfo?passive", cookie)).status == 401
    assert stage.frameio.calls.get("token:refresh_token", 0) == 0


async def test_to_ask_any_other_way_is_a_use(stage: Stage, visitor: Visitor) -> None:
    await visitor.login(f"{stage.url}/echo")
    stage.clock.advance(20 * 3600)
    answer = await stage.ask("/oauth2/userinfo", visitor.cookie_line(stage.url))
    told = json.loads(answer.body)
    assert told["idle_expires_at"] == told["now"] + DAY
    assert answer.all("Set-Cookie")


async def test_a_passive_question_about_a_session_that_was_signed_out_elsewhere_is_401(
    stage: Stage, visitor: Visitor
) -> None:
    await visitor.login(f"{stage.url}/echo")
    cookie = visitor.cookie_line(stage.url)
    await stage.ask("/oauth2/sign_out", cookie, WANTED)
    answer = await stage.ask("/oauth2/userinfo?passive", cookie)
    assert (answer.status, json.loads(answer.body)["error"]) == (401, "sign_in_required")


@pytest.mark.parametrize("query", ["", "?passive"])
async def test_a_program_is_told_when_its_token_ends_and_that_it_has_no_session(
    visitor: Visitor, query: str
) -> None:
    async with on_stage(access={"bearer": True}) as stage:
        await visitor.login(f"{stage.url}/echo")
        received = json.loads((await stage.ask("/echo", visitor.cookie_line(stage.url))).body)
        told = await info(stage, f"Authorization: {dict(received['headers'])['Authorization']}", query=query)
        assert told["session_expires_at"] is None
        assert told["idle_expires_at"] is None
        assert told["expires_at"] > told["now"]
