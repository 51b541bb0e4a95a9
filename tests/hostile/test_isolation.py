"""Nobody gets what is somebody else's: the tool's bytes without a session, a token, another's cookies."""

import asyncio
import base64
import json
import re
from itertools import cycle

import pytest

from oauth_proxy.demo.faults import Fault
from tests.support.browser import NAVIGATING, Visitor
from tests.support.login import issued_codes, issued_tokens
from tests.support.proxy import SCRIPT, WANTED, RawAnswer
from tests.support.raw_http import HANDSHAKE, TOOL_BYTES, Heard, Login, Wire, location, saying, wired
from tests.support.units import HOUR
from tests.tally import tried

KINDS = [
    ("GET", []), ("GET", NAVIGATING), ("GET", SCRIPT),
    ("HEAD", []), ("HEAD", NAVIGATING), ("POST", ["Content-Type: application/json"]), ("POST", []),
    ("POST", ["Expect: 100-continue"]), ("PUT", []), ("PATCH", []), ("DELETE", []),
    ("OPTIONS", ["Origin: https://evil.com", "Access-Control-Request-Method: GET"]), ("PROPFIND", []),
    ("GET", HANDSHAKE), ("GET", ["Range: bytes=0-10"]), ("GET", ["If-None-Match: *"]),
    ("GET", ["Authorization: Bearer whatever"]), ("GET", ["Authorization: Basic YTpi"]),
    ("GET", ["Accept: text/event-stream"]), ("GET", ["Cookie: oauth_proxy=1.AAAA"]),
    ("GET", ["Sec-Purpose: prefetch", *NAVIGATING]), ("GET", ["Upgrade: h2c", "Connection: Upgrade"]),
]  # fmt: skip


@pytest.mark.parametrize("target", ["/", "/page?x=/healthz", "/oauth2", "/%2e%2e/", "/healthz/.."])
async def test_a_strangers_answer_holds_none_of_the_tools_bytes_and_the_tool_hears_nothing(
    wire: Wire, target: str
) -> None:
    """CVE-2025-31492."""
    for method, lines in KINDS:
        for body in tried((b"", b"x" * 100) if method in ("POST", "PUT", "PATCH") else (b"",)):
            found = await wire.send(wire.request(target, "Connection: close", *lines, method=method, body=body))
            assert [answer.status in (302, 401) for answer in found] == [True], (method, lines, found)
            assert TOOL_BYTES not in found[0].body
            assert found[0].get("X-OAuth-Proxy")
            assert found[0].get("Cache-Control") == "no-store"
    assert not wire.tool.heard


async def test_the_same_requests_with_a_session_reach_the_tool(wire: Wire, editor: Login) -> None:
    for method, lines in KINDS:
        lines = [
            line
            for line in lines
            if not line.startswith(("Cookie", "Expect", "Connection", "Upgrade", "Authorization"))
        ]
        found = await wire.send(wire.request("/page", "Connection: close", editor.cookie, *lines, method=method))
        assert [answer.status for answer in found] == [200], (method, lines)
    assert len(wire.tool.heard) == len(KINDS)


async def test_a_post_without_body_or_type_is_no_fault(wire: Wire) -> None:
    """CVE-2025-3891."""
    for target in tried(("/page", "/oauth2/sign_out", "/oauth2/callback", "/oauth2/start", "/oauth2/sign_in")):
        for lines in tried(
            (
                [],
                ["Content-Length: 0"],
                ["Content-Type: "],
                ["Content-Type: multipart/form-data"],
                ["Content-Type: ;;"],
            )
        ):
            assert (await wire.ask(target, *lines, method="POST")).status in (200, 401, 403, 405)


def tokens_of(wire: Wire) -> set[str]:
    """Every token, code and verifier of every login so far, as Frame.io knows them."""
    issued = issued_codes(wire.stage) | issued_tokens(wire.stage)
    verifiers = {
        request.form[name]
        for request in wire.stage.frameio.token_requests
        for name in request.form
        if name == "code_verifier"
    }
    return issued | verifiers | set(wire.stage.keys)


def told(answer: RawAnswer) -> str:
    """Every byte of an answer, and what its base64 stretches decode to."""
    text = "\n".join(f"{name}: {value}" for name, value in answer.headers) + "\n" + answer.body.decode("latin-1")
    for stretch in re.findall(r"[A-Za-z0-9_-]{24,}", text):
        text += (
            base64.urlsafe_b64decode(stretch + "=" * (-len(stretch) % 4)).decode("latin-1")
            if len(stretch) % 4 != 1
            else ""
        )
    return text


async def test_no_answer_of_ours_holds_a_token_a_code_or_a_key(wire: Wire, visitor: Visitor) -> None:
    """CVE-2024-39315: pages, JSON, headers and cookies, of every route and in every state a visitor can be in."""
    login = await wire.login(visitor, "/page?x=1")
    collected = [login.started, login.answer, await wire.ask(login.callback, *NAVIGATING, login.attempt)]
    routes = [
        "/oauth2/start?rd=/x", "/oauth2/sign_in?rd=/x", "/oauth2/auth", "/oauth2/userinfo", "/oauth2/callback",
        "/oauth2/x", "/page", "/oauth2/callback?error=access_denied&state=x", "/oauth2/", "/oauth2/static/x",
    ]  # fmt: skip
    for method in ("GET", "HEAD", "POST", "TRACE", "OPTIONS"):
        for route in routes:
            for lines in (NAVIGATING, SCRIPT, *([HANDSHAKE] if route != "/page" else [])):
                for cookie in tried((login.cookie, login.attempt, "Cookie: oauth_proxy=x")):
                    found = await wire.send(
                        wire.request(route, "Connection: close", cookie, *lines, method=method)
                    )
                    collected += [answer for answer in found if answer.all("X-OAuth-Proxy")]
    wire.stage.clock.advance(HOUR)
    wire.stage.frameio.faults.plan("token:refresh_token", Fault.SERVER_ERROR)
    collected.append(await wire.ask("/page", *NAVIGATING, login.cookie))
    wire.stage.frameio.faults.clear()
    wire.stage.clock.advance(60)
    collected += [
        await wire.ask(target, login.cookie, WANTED)
        for target in ("/oauth2/auth", "/oauth2/userinfo", "/oauth2/sign_out")
    ]
    secrets = tokens_of(wire)
    assert len(secrets) >= 5
    assert len(collected) > 200
    assert {answer.status for answer in collected} >= {200, 202, 302, 401, 403, 404, 405, 503}
    for answer in collected:
        assert not [secret for secret in secrets if secret in told(answer)], answer
    assert any(secret in request.raw.decode() for request in wire.tool.heard for secret in secrets), (
        "the tool is told"
    )


async def test_a_front_proxy_that_asks_is_alone_told_the_token_and_only_at_its_own_route(visitor: Visitor) -> None:
    async with wired(auth_request_from=["127.0.0.1"]) as wire:
        login = await wire.login(visitor)
        answer = await wire.ask("/oauth2/auth", login.cookie)
        token = (answer.get("Authorization") or "").removeprefix("Bearer ")
        assert token in tokens_of(wire)
        others = [
            await wire.ask(f"/oauth2/{route}", *NAVIGATING, login.cookie)
            for route in ("userinfo", "sign_in", "start", "x")
        ]
        assert not [other for other in others if token in told(other)]


async def test_no_token_is_ever_in_an_address(wire: Wire, visitor: Visitor) -> None:
    """CVE-2021-29652: what the browser's history, a Referer or the tool's log would keep."""
    login = await wire.login(visitor, "/page")
    await wire.ask("/page", login.cookie)
    addresses = [location(login.started), location(login.answer), *(str(hop.url) for hop in visitor.hops)]
    addresses += [heard.line for heard in wire.tool.heard]
    tokens = issued_tokens(wire.stage)
    assert tokens
    assert not [address for address in addresses for token in tokens if token in address]


async def test_a_cookie_that_the_tool_sets_for_one_visitor_never_reaches_another(wire: Wire) -> None:
    def with_a_cookie(heard: Heard) -> bytes:
        who = heard.all("X-Forwarded-Email")[0].partition("@")[0]
        return saying(f"Set-Cookie: tool={who}; Path=/", body=who.encode() + TOOL_BYTES)(heard)

    wire.tool.says = with_a_cookie
    async with Visitor() as one, Visitor() as two:
        cookies = {
            "editor": (await wire.login(one)).cookie,
            "guest": (await wire.login(two, person="Guest")).cookie,
        }
        for who, _ in zip(cycle(cookies), range(20), strict=False):
            answer = await wire.ask("/page", cookies[who])
            assert f"tool={who}; Path=/" in answer.all("Set-Cookie")
            assert answer.body == who.encode() + TOOL_BYTES
    assert not [heard for heard in wire.tool.heard if heard.all("Cookie")], (
        "neither brought one, and none was made up"
    )


async def test_two_hundred_interleaved_requests_each_carry_their_own_visitors_token(wire: Wire) -> None:
    def mirror(heard: Heard) -> bytes:
        own = {name: heard.all(name) for name in ("Authorization", "X-Forwarded-Email", "X-Number")}
        return saying(body=json.dumps(own).encode())(heard)

    async def ask(number: int, who: str, cookie: str) -> None:
        if number in (60, 140):
            wire.stage.clock.advance(HOUR)  # both must be refreshed, in the middle of all this
        told = json.loads((await wire.ask("/page", cookie, f"X-Number: {number}")).body)
        assert told["X-Number"] == [str(number)]
        assert told["X-Forwarded-Email"] == [who]
        bearers.setdefault(who, set()).add(told["Authorization"][0])

    wire.tool.says = mirror
    bearers: dict[str, set[str]] = {}
    async with Visitor() as one, Visitor() as two:
        people = [
            ("editor@studio.example.com", (await wire.login(one)).cookie),
            ("guest@elsewhere.example.org", (await wire.login(two, person="Guest")).cookie),
        ]
        await asyncio.gather(*(ask(number, *people[number % 2]) for number in range(200)))
        owners = {}
        for who, found in bearers.items():
            for bearer in found:
                async with one.session.get(
                    f"{wire.stage.frameio_url}/v2/me", headers={"Authorization": bearer}
                ) as me:
                    if me.status == 200:
                        owners[bearer] = (who, (await me.json())["email"])
    assert len(owners) >= 2
    assert all(who == owner for who, owner in owners.values())
    assert not bearers[people[0][0]] & bearers[people[1][0]]


async def test_one_visitors_sign_out_leaves_the_other_signed_in(wire: Wire) -> None:
    async with Visitor() as one, Visitor() as two:
        first, second = await wire.login(one), await wire.login(two)
        await wire.ask("/oauth2/sign_out", first.cookie, WANTED)
        assert (await wire.ask("/page", first.cookie)).status == 401
        assert (await wire.ask("/page", second.cookie)).status == 200


async def test_signing_in_as_somebody_else_ends_with_the_others_session_gone(wire: Wire, visitor: Visitor) -> None:
    """CVE-2026-34454, and the fixation row: the session presented at the callback is never the one that begins."""
    first = await wire.login(visitor)
    second = await wire.login(visitor, person="Guest", cookie=first.cookie)
    assert second.values["oauth_proxy"] != first.values["oauth_proxy"]
    await wire.ask("/page", second.cookie)
    assert wire.tool.heard[-1].all("X-Forwarded-Email") == ["guest@elsewhere.example.org"]


async def test_a_page_of_refusal_takes_the_session_with_it(visitor: Visitor) -> None:
    allow = {"allow": [{"email": "*@studio.example.com"}]}
    async with wired(access=allow) as wire:
        guest = await wire.login(visitor, person="Guest")
        answer = await wire.ask("/page", *NAVIGATING, guest.cookie)
        assert answer.status == 403
        assert b"guest@elsewhere.example.org" in answer.body.replace(b"<wbr>", b"")
        cleared = [line.partition("=")[0] for line in answer.all("Set-Cookie") if "Max-Age=0" in line]
        assert "oauth_proxy" in cleared
        assert not wire.tool.heard
        editor = await wire.login(visitor, person="Editor")
        assert (await wire.ask("/page", editor.cookie)).status == 200
