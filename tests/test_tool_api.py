"""The listener where a tool asks for a visitor's fresh token: who has no good handle learns nothing there."""

import asyncio
import json
import logging
import secrets
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from oauth_proxy import server
from oauth_proxy.demo.faults import Fault
from oauth_proxy.inherited import addresses
from oauth_proxy.seal import Sealer
from oauth_proxy.session.handles import Handles
from oauth_proxy.telemetry import JsonFormatter, TextFormatter
from tests.support.browser import Visitor
from tests.support.login import records, session_cookie
from tests.support.proxy import RawAnswer, Stage, on_stage
from tests.support.sessions import bearer, signed_in
from tests.support.tool_api import HANDLE, asked, connected, handle_of, received, said, token, with_tool_api, works
from tests.support.units import HOUR


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with with_tool_api() as with_port:
        yield with_port


async def test_the_tool_gets_the_visitors_token_for_the_handle_that_came_with_their_request(
    stage: Stage, visitor: Visitor
) -> None:
    cookie = await signed_in(stage, visitor)
    answer = await asked(stage, await handle_of(stage, cookie))
    assert answer.status == 200
    assert answer.get("Content-Type") == "application/json; charset=utf-8"
    assert answer.get("Cache-Control") == "no-store"
    given = json.loads(answer.body)
    assert given == {"access_token": given["access_token"], "expires_at": stage.clock.now + HOUR}
    assert bearer(await stage.ask("/echo", cookie)) == f"Bearer {given['access_token']}"
    assert await works(stage, given["access_token"])


async def test_a_unix_socket_is_for_its_owner_and_its_group(tmp_path: Path, visitor: Visitor) -> None:
    socket = tmp_path / "tool.sock"
    async with with_tool_api(tool_api={"listen": f"unix:{socket}"}) as stage:
        assert stat.S_IMODE(socket.stat().st_mode) == 0o660
        handle = await handle_of(stage, await signed_in(stage, visitor))
        assert await works(stage, await token(stage, handle))


async def test_a_handle_is_short_and_the_same_from_request_to_request_and_each_visitor_has_another(
    stage: Stage, visitor: Visitor
) -> None:
    cookie = await signed_in(stage, visitor)
    handle = await handle_of(stage, cookie)
    assert handle == await handle_of(stage, cookie)
    assert len(handle) < 150
    async with Visitor() as other:
        theirs = await handle_of(stage, await signed_in(stage, other, "Reviewer"))
    assert theirs != handle
    assert await token(stage, theirs) != await token(stage, handle)


@pytest.mark.parametrize("name", [HANDLE, HANDLE.lower(), "X_OAuth_Proxy_Handle", "X-OAuth.Proxy-Handle"])
@pytest.mark.parametrize("on", [True, False])
async def test_a_visitors_own_handle_never_reaches_the_tool(visitor: Visitor, name: str, on: bool) -> None:
    access = {"public": ["/echo/open"]}
    async with with_tool_api(access=access) if on else on_stage(access=access) as stage:
        cookie = await signed_in(stage, visitor)
        forged = [f"{name}: forged", f"{name}: forged again"]
        assert received(await stage.ask("/echo/open", *forged)) == []
        ours = received(await stage.ask("/echo", cookie))
        assert len(ours) == on
        assert received(await stage.ask("/echo", cookie, *forged)) == ours
        assert received(await stage.ask("/echo", cookie, f"Connection: {HANDLE}")) == ours


async def test_under_a_name_of_ones_own_the_handle_is_as_good(visitor: Visitor) -> None:
    async with with_tool_api(headers={"X-Ask": "Handle {handle}"}) as stage:
        answer = await stage.ask("/echo", await signed_in(stage, visitor), "X-Ask: mine", f"{HANDLE}: mine")
        [value] = received(answer, "X-Ask")
        assert received(answer) == []
        assert await works(stage, await token(stage, value.removeprefix("Handle ")))


async def test_a_program_with_a_token_of_its_own_has_no_handle(visitor: Visitor) -> None:
    async with with_tool_api(access={"bearer": True}) as stage:
        await signed_in(stage, visitor)
        [own] = stage.frameio.issued("access")
        assert received(await stage.ask("/echo", f"Authorization: Bearer {own}")) == []


def sealed(stage: Stage, handle: str, site: str, purpose: str = "handle", *, key: bytes | None = None) -> str:
    """What this good handle holds, sealed otherwise."""
    sealer = Sealer([key] if key else stage.settings.session.keys, purpose)
    return sealer.seal(opened(stage, handle), site)


def opened(stage: Stage, handle: str) -> bytes:
    """What a good handle holds."""
    return Sealer(stage.settings.session.keys, "handle").open(handle, stage.settings.public_url)


Handed = Callable[[Stage, Visitor, str], list[str]]
WRONG: dict[str, Handed] = {
    "none": lambda stage, visitor, good: [],
    "empty": lambda stage, visitor, good: [""],
    "garbage": lambda stage, visitor, good: [secrets.token_urlsafe(80)],
    "not base64": lambda stage, visitor, good: ["%00{}'\"; drop"],
    "not ASCII": lambda stage, visitor, good: ["h\u00e4ndle" + "\udcff" * 20],
    "cut short": lambda stage, visitor, good: [good[:-3]],
    "one letter changed": lambda stage, visitor, good: [good[:40] + ("A" if good[40] != "A" else "B") + good[41:]],
    "two in one line": lambda stage, visitor, good: [f"{good}, {good}"],
    "twice": lambda stage, visitor, good: [good, good],
    "with a stranger's": lambda stage, visitor, good: [good, ""],
    "huge": lambda stage, visitor, good: [good * 400],
    "a session's cookie": lambda stage, visitor, good: [str(session_cookie(visitor)).partition(".")[2]],
    "an attempt's": lambda stage, visitor, good: [sealed(stage, good, stage.settings.public_url, "attempt")],
    "another site's": lambda stage, visitor, good: [sealed(stage, good, "https://other.example.com")],
    "another secret's": lambda stage, visitor, good: [
        sealed(stage, good, stage.settings.public_url, key=secrets.token_bytes(32))
    ],
}


def without_date(answer: RawAnswer) -> tuple[int, list[tuple[str, str]], bytes]:
    return answer.status, [line for line in answer.headers if line[0] != "Date"], answer.body


@pytest.mark.parametrize("wrong", WRONG)
async def test_whoever_has_no_good_handle_is_told_that_and_nothing_else(
    stage: Stage, visitor: Visitor, wrong: str
) -> None:
    good = await handle_of(stage, await signed_in(stage, visitor))
    assert without_date(await asked(stage, *WRONG[wrong](stage, visitor, good))) == (
        401,
        [
            ("Cache-Control", "no-store"),
            ("Server", "oauth-proxy"),
            ("WWW-Authenticate", "Handle"),
            ("Content-Type", "application/json; charset=utf-8"),
            ("Content-Length", "93"),
            ("Connection", "close"),
        ],
        b'{"error": "sign_in_required", "message": "You are not signed in, or your session has ended."}',
    )
    assert await works(stage, await token(stage, good))


async def test_one_address_is_here_and_it_is_got(stage: Stage, visitor: Visitor) -> None:
    good = await handle_of(stage, await signed_in(stage, visitor))
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "HEAD"):
        answer = await asked(stage, good, method=method)
        assert (answer.status, answer.get("Allow")) == (405, "GET"), method
        assert b"access_token" not in answer.body
    for path in ("/", "/token/", "/Token", "//token", "/%74oken", "/metrics", "/oauth2/userinfo", "/echo"):
        assert (await asked(stage, good, path=path)).status == 404, path
    assert (await asked(stage, good, path="/token?why=not")).status == 200


async def test_visitors_cannot_ask_at_their_own_listener_nor_at_the_admins(stage: Stage, visitor: Visitor) -> None:
    cookie = await signed_in(stage, visitor)
    handle = f"{HANDLE}: {await handle_of(stage, cookie)}"
    stranger = await stage.ask("/token", handle)
    assert stranger.status == 401
    assert b"access_token" not in stranger.body
    assert (await stage.ask("/token", cookie, handle)).status == 404, "the tool's own answer"
    async with visitor.session.get(f"{stage.admin_url}/token", headers=dict([handle.split(": ")])) as answer:
        assert answer.status == 404


async def test_nothing_listens_for_tools_unless_it_is_set() -> None:
    async with on_stage() as stage:
        assert list(addresses(stage.settings)) == ["public", "admin"]
    async with with_tool_api() as stage:
        assert list(addresses(stage.settings)) == ["public", "admin", "tool_api"]


async def test_a_stranger_who_floods_it_is_cut_and_keeps_nobody_from_a_token(
    monkeypatch: pytest.MonkeyPatch, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "HEAD_DEADLINE", 2.0)
    async with with_tool_api() as stage, AsyncExitStack() as flood:
        good = await handle_of(stage, await signed_in(stage, visitor))
        crowd = [await flood.enter_async_context(connected(stage)) for _ in range(200)]
        for number, (_, writer) in enumerate(crowd):
            writer.write(b"GET /token HTTP/1.1\r\nX-Half: "[: number % 30])
        assert await works(stage, await token(stage, good))
        async with asyncio.timeout(60):
            for reader, _ in crowd:
                assert await reader.read() == b""
        for nonsense in (b"\x16\x03\x01\r\n\r\n", b"GET /token HTTP/1.1\r\nX: " + b"v" * 70_000 + b"\r\n\r\n"):
            answer = await said(stage, nonsense)
            assert answer.split()[1] in (b"400", b"431")
            assert b"vvv" not in answer
        assert await works(stage, await token(stage, good))
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]
    assert not [record for record in caplog.records if record.exc_info]


async def test_no_token_no_handle_and_no_session_is_in_the_log(
    stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    cookie = await signed_in(stage, visitor)
    handle = await handle_of(stage, cookie)
    session_id, _ = json.loads(opened(stage, handle))
    for wrong in WRONG.values():
        await asked(stage, *wrong(stage, visitor, handle))
    await said(stage, f"GET /token HTTP/1.1\r\n{HANDLE} : {handle}\x01\r\n\r\n".encode())
    stage.clock.advance(HOUR)
    stage.frameio.faults.plan("token", Fault.SERVER_ERROR)
    assert (await asked(stage, handle)).status == 503
    stage.frameio.faults.clear()
    stage.clock.advance(60)
    await token(stage, handle)
    await visitor.get(f"{stage.url}/oauth2/sign_out")
    assert (await asked(stage, handle)).status == 401
    private = [handle, session_id, *stage.keys, *stage.frameio.issued("access"), *stage.frameio.issued("refresh")]
    lines = [form().format(each) for each in records(caplog) for form in (TextFormatter, JsonFormatter)]
    assert any("no token for a tool" in line for line in lines)
    assert not [line for line in lines for secret in private if secret in line]


async def test_a_fault_of_ours_is_a_500_that_says_nothing_of_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: Handles, handle: str) -> None:
        raise ZeroDivisionError("a detail")

    monkeypatch.setattr(Handles, "session", broken)
    answer = await asked(stage, "any")
    assert answer.status == 500
    assert json.loads(answer.body)["error"] == "proxy_error"
    assert b"detail" not in answer.body
    assert "ZeroDivisionError" in caplog.text
