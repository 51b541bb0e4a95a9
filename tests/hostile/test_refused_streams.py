"""Refusals in the words of WebSockets and EventSources: only for a page of this site, and the tool never hears."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from oauth_proxy import client_connection
from oauth_proxy.endings import Ending
from oauth_proxy.settings import Member
from oauth_proxy.upstream.frames import close_frame
from tests.support.browser import Visitor
from tests.support.metrics import metrics
from tests.support.proxy import RawAnswer, free_port
from tests.support.raw_http import HANDSHAKE, Tool, Wire, wired
from tests.support.tool import until
from tests.support.units import PATIENCE
from tests.tally import tried

EVENTS = ["Accept: text/event-stream", "Cache-Control: no-cache"]
"""What an EventSource says of itself."""
NEVER = b"\x89\x80mask"
"""A Ping of a client's, which is no answer to a Close."""


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who is told here answers, but where a test says so."""
    monkeypatch.setattr(client_connection, "PAUSE", 0.0)
    monkeypatch.setattr(client_connection, "LINGER", 0.05)


def close(code: int, reason: str) -> bytes:
    return close_frame(Ending(code, reason), masked=False)


def our_page(wire: Wire) -> str:
    return f"Origin: {wire.origin}"


async def told(wire: Wire, target: str, *lines: str) -> RawAnswer:
    """All that comes back after a handshake, until the proxy hangs up."""
    [answer] = await wire.send(wire.request(target, *HANDSHAKE, *lines))
    return answer


@asynccontextmanager
async def away() -> AsyncIterator[Wire]:
    """A proxy whose tool refuses connections."""
    log = {"access": "true"}
    async with wired(upstreams={"/": f"http://127.0.0.1:{free_port()}"}, log=log) as wire:
        yield wire


async def test_a_strangers_socket_of_our_page_is_told_why_and_known_as_a_401(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with wired(log={"access": "true", "format": "json"}) as wire:
        answer = await told(wire, "/socket?token=x", our_page(wire))
        assert (answer.status, answer.body) == (101, close(4401, "sign_in_required"))
        assert answer.get("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 1.3
        assert (answer.get("X-OAuth-Proxy"), answer.get("Cache-Control")) == ("answer", "no-store")
        assert not [name for name, _ in answer.headers if "Extensions" in name or "Protocol" in name]
        assert not wire.tool.heard
        counted = await metrics(wire.stage.admin_url)
        assert counted['oauth_proxy_refusals_total{reason="sign_in_required"}'] == 1
        assert counted["oauth_proxy_streams"] == 0
    sys.stderr.flush()
    [line] = [json.loads(line) for line in capsys.readouterr().err.splitlines() if '"status"' in line]
    assert (line["status"], line["by"], line["cause"]) == (401, "proxy", "no session: no cookie")


ELSEWHERE = [
    "Origin: null", "Origin: https://evil.com", "Origin: http://localhost", "Origin: http://localhost:1",
    "Origin: {origin}.evil.com", "Origin: {origin}/", "Origin: {origin}/x", "Origin: {upper}",
    "Origin: https://{host}", "Origin: http://u@{host}", "Origin: {origin}, {origin}", "Origin:",
    "Origin: {origin}\r\nOrigin: {origin}", "Origin: {origin}\r\nOrigin: https://evil.com", "X-Origin: {origin}",
    "Sec-WebSocket-Origin: {origin}", "Referer: {origin}/", "Origin: file://", "Origin: {origin}\x00",
]  # fmt: skip


async def test_no_other_origin_is_told(wire: Wire) -> None:
    for template in tried(ELSEWHERE):
        origin = template.format(origin=wire.origin, upper=wire.origin.upper(), host=wire.host)
        answers = await wire.send(wire.request("/socket", *HANDSHAKE, origin))
        assert [answer.status for answer in answers] in ([401], [400])
    assert not wire.tool.heard


async def test_a_page_of_a_neighbour_in_the_cookies_domain_is_another_site(shared: Wire) -> None:
    for origin in tried(("https://evil.example.com", "https://example.com", "http://review.example.com")):
        assert (await told(shared, "/socket", f"Origin: {origin}")).status == 401
    assert (await told(shared, "/socket", our_page(shared))).status == 101


async def test_what_is_no_handshake_is_not_told(wire: Wire) -> None:
    upgrade, connection, version, key = HANDSHAKE
    wrong: list[tuple[str, list[str]]] = [
        ("POST", HANDSHAKE),
        ("HEAD", HANDSHAKE),
        ("GET", [upgrade, connection, version]),
        ("GET", [*HANDSHAKE, key]),
        ("GET", [upgrade, connection, version, "Sec-WebSocket-Key: short"]),
        ("GET", [upgrade, connection, version, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"]),
        ("GET", [upgrade, connection, "Sec-WebSocket-Version: 12", key]),
        ("GET", [upgrade, connection, key]),
        ("GET", [upgrade, version, key]),
        ("GET", ["Upgrade: h2c", connection, version, key]),
        ("GET", [*HANDSHAKE, "Sec-WebSocket-Protocol: a,,b"]),
        ("GET", [*HANDSHAKE, "Sec-WebSocket-Protocol: a b"]),
        ("GET", [*HANDSHAKE, "Sec-WebSocket-Protocol: a;b"]),
        ("GET", [*HANDSHAKE, "Sec-WebSocket-Protocol: "]),
        ("GET", [*HANDSHAKE, f"Sec-WebSocket-Protocol: {'a' * 129}"]),
    ]
    for method, lines in tried(wrong):
        found = await wire.send(
            wire.request("/socket", "Connection: close", *lines, our_page(wire), method=method)
        )
        assert [answer.status for answer in found] == [401], lines
    with_body = wire.request("/socket", *HANDSHAKE, our_page(wire), body=b"x")
    assert {answer.status for answer in await wire.send(with_body)} <= {400, 401}
    assert not wire.tool.heard


async def test_of_the_subprotocols_asked_for_the_first_is_named_because_a_browser_wants_one(wire: Wire) -> None:
    asked = ["Sec-WebSocket-Protocol: v1.kernel , x", "Sec-WebSocket-Protocol: other"]
    answer = await told(wire, "/socket", our_page(wire), *asked, "Sec-WebSocket-Extensions: permessage-deflate")
    assert answer.all("Sec-WebSocket-Protocol") == ["v1.kernel"]
    assert not answer.all("Sec-WebSocket-Extensions")


async def test_whom_an_upstreams_rules_refuse_is_told_4403(visitor: Visitor) -> None:
    tool = Tool()
    async with tool.listening() as url:
        narrow = {"url": url, "allow": [{"email": "reviewer@studio.example.com"}]}
        async with wired(upstreams={"/": url, "/admin/": narrow}) as wire:
            login = await wire.login(visitor)
            answer = await told(wire, "/admin/socket", our_page(wire), login.cookie)
            assert (answer.status, answer.body) == (101, close(4403, "not_allowed"))
            assert not tool.heard


async def test_whom_newer_rules_keep_out_is_told_4403_and_loses_the_cookie(visitor: Visitor) -> None:
    async with wired() as wire:
        cookie = (await wire.login(visitor)).cookie
        narrower = wire.stage.settings.access.model_copy(update={"allow": (Member("account", "none"),)})
        wire.stage.proxy.obey(wire.stage.settings.model_copy(update={"access": narrower}))
        answer = await told(wire, "/socket", our_page(wire), cookie)
        assert (answer.status, answer.body) == (101, close(4403, "not_allowed"))
        assert [
            line for line in answer.all("Set-Cookie") if line.startswith("oauth_proxy=;") and "Max-Age=0" in line
        ]


async def test_a_tool_that_is_away_or_silent_is_told_by_its_code(visitor: Visitor) -> None:
    async with away() as wire:
        login = await wire.login(visitor)
        answer = await told(wire, "/socket", our_page(wire), login.cookie)
        assert (answer.status, answer.body) == (101, close(4502, "upstream_unreachable"))
        assert (await told(wire, "/socket", login.cookie)).status == 502
    tool = Tool()
    async with (
        tool.listening() as url,
        Visitor() as other,
        wired(upstreams={"/": {"url": url, "timeout": "1s"}}) as slow,
    ):
        login = await slow.login(other)
        tool.may_answer.clear()
        answer = await told(slow, "/socket", our_page(slow), login.cookie)
        assert (answer.status, answer.body) == (101, close(4504, "upstream_timeout"))
        tool.may_answer.set()


async def test_what_the_tool_itself_answers_is_the_tools(wire: Wire, visitor: Visitor) -> None:
    login = await wire.login(visitor)
    answer = await wire.handshake("/socket", our_page(wire), login.cookie)
    assert (answer.status, answer.get("X-OAuth-Proxy")) == (101, None)


async def test_a_program_reads_statuses_and_so_does_a_front_proxy_that_asks(wire: Wire) -> None:
    for target in tried(("/oauth2/auth", "/oauth2/userinfo", "/oauth2/nothing")):
        answer = await told(wire, target, our_page(wire))
        assert answer.status in (401, 404)
    async with wired(access={"bearer": "true"}) as programs:
        answer = await told(programs, "/socket", our_page(programs), "Authorization: Bearer not-a-token")
        assert answer.status == 401


async def test_who_is_told_hears_no_end_before_their_own_close_frame(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Firefox, which hears it first, says that the socket was not closed cleanly; so may a client's library."""
    monkeypatch.setattr(client_connection, "LINGER", 3600.0)
    async with wire.connected() as (reader, writer):
        writer.write(wire.request("/socket", *HANDSHAKE, our_page(wire)))
        await reader.readuntil(b"sign_in_required")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await reader.read(1)
        writer.write(b"\x88\x80ma")
        writer.write(b"sk")
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""


async def test_who_answers_is_let_go_and_who_floods_or_is_silent_keeps_nothing(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = wire.request("/socket", *HANDSHAKE, our_page(wire))
    for last in tried((b"\x88\x80mask", b"\x89\x80mask" * 3000, b"")):
        monkeypatch.setattr(client_connection, "LINGER", 3600.0 if last else 0.05)
        async with wire.connected() as (reader, writer), asyncio.timeout(PATIENCE):
            writer.write(asked)
            await reader.readuntil(b"sign_in_required")
            writer.write(last)
            assert await reader.read() == b""
    # Frames in the same breath as the handshake are no words for the tool either.
    [answer] = await wire.send(asked + b"\x81\x85mask" + b"hello" + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.body == close(4401, "sign_in_required")
    assert not wire.tool.heard


async def test_a_page_that_opens_its_socket_again_at_once_is_told_no_faster_than_the_pause(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_connection, "PAUSE", 3600.0)
    async with wire.connected() as (reader, writer):
        writer.write(wire.request("/socket", *HANDSHAKE, our_page(wire)))
        assert (await wire.ask("/socket", *HANDSHAKE[:2])).status == 401
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await reader.read(1)
        assert (await wire.ask("/healthz")).status == 200
    await until(lambda: wire.stage.proxy.capacity.open == 0)


async def test_who_was_told_gives_way_to_anybody_who_comes() -> None:
    async with wired(limits={"connections": "16"}) as wire, AsyncExitStack() as silent:
        for _ in range(16):
            reader, writer = await silent.enter_async_context(wire.connected())
            writer.write(wire.request("/socket", *HANDSHAKE, our_page(wire)))
            await reader.readuntil(b"sign_in_required")
        assert (await wire.ask("/healthz")).status == 200


async def test_an_event_source_whose_tool_is_away_is_asked_to_come_again(
    visitor: Visitor, capsys: pytest.CaptureFixture[str]
) -> None:
    waits = set()
    async with away() as wire:
        login = await wire.login(visitor)
        for _ in range(5):
            answer = await wire.ask("/feed", *EVENTS, login.cookie)
            assert (answer.status, answer.get("Content-Type")) == (200, "text/event-stream")
            assert (answer.get("X-OAuth-Proxy"), answer.get("Cache-Control")) == ("answer", "no-store")
            found = re.fullmatch(rb"retry: (\d+)\n\n", answer.body)
            assert found
            waits.add(int(found[1]))
        assert all(2000 <= wait < 5000 for wait in waits)
        assert len(waits) > 1, "not all tabs come at once"
        asking = wire.request("/feed", *EVENTS, login.cookie)
        assert await wire.statuses([asking, asking]) == [200, 200], "the connection goes on"
        old = asking.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        [closed] = await wire.send(old)
        assert (closed.status, closed.get("Connection")) == (200, "close")
        kept, _ = await wire.send(old.replace(b"Accept:", b"Connection: keep-alive\r\nAccept:", 1) + old)
        assert (kept.status, kept.get("Connection")) == (200, "keep-alive")
    assert "status=502" in capsys.readouterr().err


NO_EVENT_SOURCE = [
    ("GET", ["Accept: text/event-stream"]),  # fetch, which reads statuses
    ("GET", ["Accept: */*", "Cache-Control: no-cache"]),
    ("GET", ["Accept: text/event-stream, */*", "Cache-Control: no-cache"]),
    ("GET", ["Accept: application/json", "Accept: text/event-stream", "Cache-Control: no-cache"]),
    ("POST", EVENTS),
    ("HEAD", EVENTS),
]


async def test_everybody_else_gets_the_502_and_when_to_come_again(visitor: Visitor) -> None:
    async with away() as wire:
        login = await wire.login(visitor)
        for method, lines in tried(NO_EVENT_SOURCE):
            answer = await wire.ask("/feed", *lines, login.cookie, method=method)
            assert (answer.status, answer.get("Retry-After")) == (502, "2")
        for target in tried(("/oauth2/auth", "/oauth2/userinfo")):
            assert (await wire.ask(target, *EVENTS)).status == 401
        assert (await wire.ask("/feed", *EVENTS)).status == 401, "a stranger's is not to come again"
