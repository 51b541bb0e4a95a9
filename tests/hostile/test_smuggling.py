"""One request in, one request out: no bytes are read as one request here and as two elsewhere.

Everything here runs with both of aiohttp's parsers: llhttp in this process, the one in Python in another.
"""

import asyncio
import os
import re
import sys

import pytest
from aiohttp import http_parser

from tests.support.browser import NAVIGATING
from tests.support.places import ROOT
from tests.support.proxy import RawAnswer
from tests.support.raw_http import TOOL_BYTES, Login, Wire, answers, location
from tests.tally import tried

PYTHON_PARSER = "AIOHTTP_NO_EXTENSIONS"
INNER = "GET /assets/smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked"


def inner(wire: Wire) -> bytes:
    return INNER.replace("{host}", wire.host).encode()


def post(wire: Wire, login: Login, lines: list[str], body: bytes = b"", target: str = "/page") -> bytes:
    """A POST of somebody who is signed in, whose framing lines are given; a kind last request follows."""
    last = wire.request("/last", "Connection: close", login.cookie)
    return wire.request(target, login.cookie, *lines, method="POST") + body + last


def heard(wire: Wire) -> list[str]:
    return [request.line.split(" ")[1] for request in wire.tool.heard]


def test_the_parser_is_the_one_that_was_asked_for() -> None:
    assert (http_parser.HttpRequestParser is http_parser.HttpRequestParserPy) == (PYTHON_PARSER in os.environ)


@pytest.mark.skipif(PYTHON_PARSER in os.environ, reason="this is that process")
@pytest.mark.timeout(0)  # a whole run, in which each test has the time of one
async def test_the_parser_in_python_is_as_strict() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", __file__,
        cwd=ROOT, env={**os.environ, PYTHON_PARSER: "1"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


REFUSED = {
    "a length and chunks": (["Content-Length: 5", CHUNKED], b"0\r\n\r\n"),
    "chunks and a length": ([CHUNKED, "Content-Length: 0"], b"0\r\n\r\n"),
    "two lengths": (["Content-Length: 5", "Content-Length: 6"], b"hello!"),
    "one length twice": (["Content-Length: 5", "Content-Length: 5"], b"hello"),
    "a list of lengths": (["Content-Length: 5, 5"], b"hello"),
    "a signed length": (["Content-Length: +5"], b"hello"),
    "a negative length": (["Content-Length: -1"], b""),
    "a hexadecimal length": (["Content-Length: 0x5"], b"hello"),
    "a length with an underscore": (["Content-Length: 1_0"], b"hellohello"),
    "a length in Arabic digits": (["Content-Length: \u0665"], b"hello"),
    "a length of words": (["Content-Length: five"], b"hello"),
    "an empty length": (["Content-Length: "], b""),
    "an unknown coding": (["Transfer-Encoding: xchunked"], b"0\r\n\r\n"),
    "identity": (["Transfer-Encoding: identity"], b""),
    "chunked and then another coding": (["Transfer-Encoding: chunked, gzip"], b"0\r\n\r\n"),
    "two lines of chunked": ([CHUNKED, CHUNKED], b"0\r\n\r\n"),
    "chunked twice": (["Transfer-Encoding: chunked, chunked"], b"0\r\n\r\n"),
    "gzip and chunked": (["Transfer-Encoding: gzip, chunked"], b"0\r\n\r\n"),
    "chunked in quotes": (['Transfer-Encoding: "chunked"'], b"0\r\n\r\n"),
    "chunked behind a vertical tab": (["Transfer-Encoding: \x0bchunked"], b"0\r\n\r\n"),
    "a space before the colon": (["Content-Length : 5"], b"hello"),
    "a tab before the colon": (["Transfer-Encoding\t: chunked"], b"0\r\n\r\n"),
    "a folded line": (["X: a\r\n b"], b""),
    "a folded coding": (["Transfer-Encoding:\r\n chunked"], b"0\r\n\r\n"),
    "a first line that is folded": ([" Content-Length: 5"], b"hello"),
    "a bare LF": (["X: a\nContent-Length: 5"], b"hello"),
    "a bare CR": (["X: a\rContent-Length: 5"], b"hello"),
    "a NUL in a value": (["X: a\x00b"], b""),
    "a NUL in a name": (["X\x00Y: b"], b""),
    "a control in a value": (["X: a\x01b"], b""),
    "a name with a space": (["X Y: b"], b""),
    "a name in parentheses": (["(X): b"], b""),
    "a line without a colon": (["nonsense"], b""),
    "an empty name": ([": b"], b""),
    "a second Host": (["Host: evil.com"], b""),
    "our Host again": (["Host: {host}"], b""),
    "a chunk size in words": ([CHUNKED], b"zz\r\nhello\r\n0\r\n\r\n"),
    "a chunk size with a prefix": ([CHUNKED], b"0x5\r\nhello\r\n0\r\n\r\n"),
    "a signed chunk size": ([CHUNKED], b"+5\r\nhello\r\n0\r\n\r\n"),
    "a chunk size with an underscore": ([CHUNKED], b"0_5\r\nhello\r\n0\r\n\r\n"),
    "a chunk longer than its size": ([CHUNKED], b"2\r\nhello\r\n0\r\n\r\n"),
    "a bare LF in a chunk's extension": ([CHUNKED], b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    "a bare LF after a chunk size": ([CHUNKED], b"5\nhello\r\n0\r\n\r\n"),
    "a bare CR after a chunk size": ([CHUNKED], b"5\rXhello\r\n0\r\n\r\n"),
    "an empty chunk size": ([CHUNKED], b"\r\n\r\nhello"),
}


async def test_a_request_that_can_be_read_in_two_ways_is_400_and_ends_the_connection(
    wire: Wire, editor: Login
) -> None:
    found = {}
    for what, (lines, body) in tried(REFUSED.items()):
        lines = [line.replace("{host}", wire.host) for line in lines]
        sent = post(wire, editor, lines, body + inner(wire))
        found[what] = [answer.status for answer in await wire.send(sent)]
    assert {what: statuses for what, statuses in found.items() if statuses != [400]} == {}
    assert not wire.tool.heard, "the tool never has the whole of any"


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        (["Content-Length: 5"], b"hello"),
        ([CHUNKED], b"5\r\nhello\r\n0\r\n\r\n"),
        ([CHUNKED], b"2;name=value\r\nhe\r\n3;x\r\nllo\r\n0\r\nX-Trailer: t\r\n\r\n"),
        (["transfer-encoding: Chunked"], b"05\r\nhello\r\n000\r\n\r\n"),
    ],
)
async def test_a_body_in_either_framing_arrives_whole_without_extensions_and_trailers(
    wire: Wire, editor: Login, lines: list[str], body: bytes
) -> None:
    found = await wire.send(post(wire, editor, lines, body))
    assert {answer.status for answer in found} == {200}
    assert (wire.tool.heard[0].line, wire.tool.heard[0].body) == ("POST /page HTTP/1.1", b"hello")
    assert heard(wire)[1:] == ["/last"] * (len(found) - 1)
    assert not re.search(rb"trailer|name=value", wire.tool.heard[0].raw, re.IGNORECASE)


async def test_a_trailer_never_becomes_a_header_of_the_next_request_on_the_connection(
    wire: Wire, editor: Login
) -> None:
    """aiohttp 3.14.5 with llhttp gives the last trailer to the next request: perhaps somebody else's."""
    for method, target in tried((
        ("POST", "/page"), ("POST", "/hook"), ("POST", "/oauth2/sign_out"), ("PUT", "/oauth2/start"),
        ("TRACE", "/page"), ("GET", "/oauth2/sign_in"), ("GET", "/oauth2/auth"), ("GET", "/healthz"),
        ("OPTIONS", "*"), ("GET", "//evil.com/x"),
    )):  # fmt: skip
        for lines in tried(([CHUNKED], [CHUNKED, editor.cookie])):
            body = b"2\r\nhi\r\n0\r\nX-Other: x\r\nCookie: planted=1\r\n\r\n"
            first = wire.request(target, *lines, method=method) + body
            await wire.send(first + wire.request("/assets/next", "Connection: close"))
    assert not [request for request in wire.tool.heard if re.search(rb"planted|X-Other", request.raw)]


UPGRADES = ["websocket", "WebSocket", "h2c", "tcp", "TLS/1.0", "foo, websocket", "websocket\r\nUpgrade: tcp"]


@pytest.mark.parametrize("upgrade", UPGRADES)
async def test_the_body_of_a_refused_upgrade_is_never_a_request(wire: Wire, editor: Login, upgrade: str) -> None:
    """CVE-2026-69243: exactly one answer, whoever asks, wherever and how."""
    wanted = ["Connection: Upgrade", f"Upgrade: {upgrade}"]
    for target in ("/page", "/healthz", "/hook", "/oauth2/auth"):
        for method in ("POST", "GET", "PUT", "OPTIONS"):
            for lines in tried((wanted, [*wanted, editor.cookie])):
                request = wire.request(target, *lines, method=method, body=inner(wire))
                assert len(await answers_to(wire, request)) == 1
    assert "/assets/smuggled" not in heard(wire)


async def answers_to(wire: Wire, request: bytes) -> list[RawAnswer]:
    """What comes on one connection: ours until it is closed, the tool's until somebody else has been served."""
    async with wire.connected() as (reader, writer), asyncio.timeout(10):
        writer.write(request)
        raw = await reader.read(65536)
        if TOOL_BYTES not in raw:
            raw += await reader.read()
        assert (await wire.ask("/assets/another")).status == 200
    return answers(raw)


async def test_an_upgrade_in_the_tail_of_another_is_not_read_either(wire: Wire) -> None:
    upgrade = wire.request(
        "/page", "Connection: Upgrade", "Upgrade: websocket", "Content-Length: 3", method="POST"
    )
    found = await wire.send(upgrade + b"abc" + upgrade + b"abc" + inner(wire))
    assert [answer.status for answer in found] == [401]


async def test_connect_is_refused_and_what_follows_it_is_not_read(wire: Wire, editor: Login) -> None:
    targets = ["evil.com:80", wire.host, "/page", "/oauth2/auth", f"http://{wire.host}/page", "*"]
    framings: list[list[str]] = [[], [f"Content-Length: {len(inner(wire))}"]]
    requests = [
        wire.request(target, editor.cookie, *lines, method="CONNECT") + inner(wire)
        for target in targets
        for lines in framings
    ]
    for found in await asyncio.gather(*map(wire.send, tried(requests))):
        assert [answer.status for answer in found] in ([400], [405], [421])
    assert not heard(wire)


async def test_trace_is_refused_and_nothing_is_echoed(wire: Wire, editor: Login) -> None:
    for target in tried(("/page", "/healthz", "/oauth2/auth")):
        answer = await wire.ask(target, editor.cookie, "X-Secret: echo-me", method="TRACE")
        assert answer.status == 405
        assert "TRACE" not in (answer.get("Allow") or "")
        assert b"echo-me" not in answer.body
    assert not heard(wire)


@pytest.mark.parametrize(
    "method",
    ["BREW", "get", "G\u00cbT", "GET\x00", "GET\t", "(GET)", "GE T", "X" * 300, "M-SEARCH", "PROPFIND", "QUERY"],
)
async def test_an_odd_method_is_refused_or_reaches_the_tool_as_it_is(
    wire: Wire, editor: Login, method: str
) -> None:
    found = await wire.send(wire.request("/page", editor.cookie, "Connection: close", method=method))
    assert [answer.status for answer in found] in ([200], [400], [405], [501])
    lines = [request.line for request in wire.tool.heard]
    assert lines == ([f"{method.upper()} /page HTTP/1.1"] if found[0].status == 200 else [])
    assert not (await wire.ask("/page", *NAVIGATING, method="HEAD")).body


VERSIONS = [
    "HTTP/0.9",
    "HTTP/2.0",
    "HTTP/1.2",
    "HTTP/3.0",
    "HTTP/1.10",
    "HTTP/11.1",
    "HTTP/1",
    "http/1.1",
    "HTTP/1.1 x",
    "HTTP/1.1\t",
    "HTTP/\u0661.1",
    "HTP/1.1",
    "RTSP/1.0",
    "",
]


@pytest.mark.parametrize("version", VERSIONS)
async def test_another_version_is_refused_in_a_version_of_ours(wire: Wire, editor: Login, version: str) -> None:
    last = wire.request("/oauth2/sign_in", "Connection: close")
    async with wire.connected() as (reader, writer), asyncio.timeout(10):
        writer.write(f"GET /page {version}\r\nHost: {wire.host}\r\n{editor.cookie}\r\n\r\n".encode() + last)
        raw = await reader.read()
    statuses = re.findall(rb"^HTTP/([^ ]*) ([0-9]+)", raw, re.MULTILINE)
    assert statuses[0][1] in (b"400", b"505")
    assert {version for version, _ in statuses} <= {b"1.0", b"1.1"}
    assert not heard(wire)
    assert b"text/html" in raw or b"application/json" in raw


async def test_http_1_0_is_served_and_chunks_in_it_are_not_left_on_the_connection(
    wire: Wire, editor: Login
) -> None:
    def old(lines: list[str], body: bytes) -> bytes:
        head = ["POST /page HTTP/1.0", f"Host: {wire.host}", editor.cookie, *lines]
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body

    assert [answer.status for answer in await wire.send(old(["Content-Length: 5"], b"hello"))] == [200]
    found = await wire.send(old([CHUNKED, "Connection: keep-alive"], b"0\r\n\r\n") + inner(wire))
    assert len(found) == 1
    assert "/assets/smuggled" not in heard(wire)


async def test_http_2s_preface_is_refused(wire: Wire) -> None:
    found = await wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 64)
    assert [answer.status for answer in found] == [400]


async def test_bytes_that_are_no_text_are_refused_or_passed_on_and_never_a_fault(
    wire: Wire, editor: Login
) -> None:
    """llhttp refuses them; the parser in Python lets them through, as half characters."""
    nonce, _, sealed = location(editor.started).partition("state=")[2].partition("&")[0].partition(".")
    for target in tried(
        (
            f"/oauth2/callback?state=%.{sealed}",
            f"/oauth2/callback?state={nonce}.%",
            "/oauth2/start?rd=/%",
            "/%",
        )
    ):
        for cookie in tried(("", editor.cookie)):
            request = wire.request(target.replace("%", "HERE"), *NAVIGATING, cookie or "X: y", "Connection: close")
            [answer] = await wire.send(request.replace(b"HERE", b"\xff\xe9"))
            assert answer.status in (200, 302, 400, 403)
            assert location(answer).isascii()


async def test_requests_of_two_visitors_on_one_connection_keep_their_own_sessions(
    wire: Wire, editor: Login
) -> None:
    """A front proxy shares its connections: nothing is remembered from one request to the next."""
    requests = [wire.request("/page", editor.cookie), wire.request("/page"), wire.request("/page", editor.cookie)]
    assert await wire.statuses(requests) == [200, 401, 200]
    assert len(wire.tool.heard) == 2


@pytest.mark.parametrize("split", [1, 2, 7])
async def test_a_request_in_small_pieces_is_one_request(wire: Wire, editor: Login, split: int) -> None:
    data = post(wire, editor, ["Content-Length: 5"], b"hello")
    async with wire.connected() as (reader, writer), asyncio.timeout(10):
        for at in range(0, len(data), split):
            writer.write(data[at : at + split])
            await asyncio.sleep(0)
        raw = await reader.read()
    assert raw.count(b"HTTP/1.1 200") == 2
    assert heard(wire) == ["/page", "/last"]
