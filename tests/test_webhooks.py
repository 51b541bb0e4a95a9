"""Frame.io's own calls, through the whole proxy: signed ones reach the tool as they came, others never do."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from oauth_proxy.upstream import whole
from tests.support.browser import NAVIGATION, Visitor
from tests.support.login import complaints
from tests.support.proxy import RawAnswer, Stage, on_stage
from tests.support.units import MIB
from tests.support.webhooks import HOOKS, SECRET, signature, signed_lines

BODY = b'{"type":"file.ready",  "resource": {"id":"\xc3\xa9"}}\r\n\x00\xff'


def a_tool() -> web.Application:
    """A tool that shows what it got, byte for byte."""
    app = web.Application(client_max_size=2 * MIB)

    async def show(request: web.Request) -> web.Response:
        body = await request.read()
        lines = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers]
        return web.json_response({"headers": lines, "body": body.hex(), "target": request.raw_path})

    app.router.add_route("*", "/{rest:.*}", show)
    return app


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with on_stage(tool=a_tool(), webhooks=HOOKS) as stage:
        yield stage


def signed(stage: Stage, body: bytes = BODY, *, age: float = 0, secret: str = SECRET) -> list[str]:
    return signed_lines(body, stage.clock.now - age, secret)


async def call(stage: Stage, *lines: str, path: str = "/hooks/frameio", body: bytes = BODY) -> RawAnswer:
    return await stage.ask(path, *lines, method="POST", body=body)


def chunked(stage: Stage, *lines: str, chunks: list[bytes]) -> bytes:
    head = ["POST /hooks/frameio HTTP/1.1", f"Host: localhost:{stage.port}", "Connection: close", *lines]
    head.append("Transfer-Encoding: chunked")
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body + b"0\r\n\r\n"


def refused(answer: RawAnswer, status: int, error: str) -> bool:
    assert answer.status == status, answer.body
    assert answer.get("Content-Type") == "application/json; charset=utf-8"
    assert answer.all("Set-Cookie") == []
    assert answer.get("Location") is None
    return bool(json.loads(answer.body)["error"] == error)


async def test_a_signed_call_reaches_the_tool_as_it_came_and_speaks_for_nobody(
    stage: Stage, visitor: Visitor
) -> None:
    await visitor.login(f"{stage.url}/")
    answer = await call(
        stage,
        *signed(stage),
        visitor.cookie_line(stage.url),
        "Authorization: Bearer forged",
        "X-Forwarded-User: forged",
        "X-Forwarded-Email: forged",
        "Content-Type: application/json",
    )
    assert answer.status == 200
    told = json.loads(answer.body)
    assert bytes.fromhex(told["body"]) == BODY
    headers = {name.lower(): value for name, value in told["headers"]}
    assert headers["content-length"] == str(len(BODY))
    assert headers["content-type"] == "application/json"
    assert headers["x-frameio-signature"] == signature(BODY, str(int(stage.clock.now)))
    assert not headers.keys() & {"authorization", "cookie", "x-forwarded-user", "x-forwarded-email"}
    assert answer.all("Set-Cookie") == []


@pytest.mark.parametrize("size", [0, 1, 65_536, 300_000, MIB])
async def test_a_body_of_any_bearable_size_arrives_whole(stage: Stage, size: int) -> None:
    body = (BODY * (size // len(BODY) + 1))[:size]
    answer = await call(stage, *signed(stage, body), body=body)
    assert answer.status == 200
    assert bytes.fromhex(json.loads(answer.body)["body"]) == body


@pytest.mark.parametrize("cuts", [(), (1,), (1, 2, 3), (70_000, 200_000)])
async def test_a_body_in_chunks_arrives_whole(stage: Stage, cuts: tuple[int, ...]) -> None:
    body = BODY * 6000
    pieces = [body[start:end] for start, end in zip((0, *cuts), (*cuts, len(body)), strict=True)]
    answer = RawAnswer.read(await stage.raw(chunked(stage, *signed(stage, body), chunks=pieces)))
    assert answer.status == 200
    assert body.hex().encode() in answer.body


async def test_a_caller_that_waits_to_be_asked_for_the_body_is_asked_once(stage: Stage) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    head = ["POST /hooks/frameio HTTP/1.1", f"Host: localhost:{stage.port}", "Connection: close", *signed(stage)]
    head += [f"Content-Length: {len(BODY)}", "Expect: 100-continue", "", ""]
    writer.write("\r\n".join(head).encode())
    async with asyncio.timeout(10):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        answer = RawAnswer.read(await reader.read())
    writer.close()
    assert answer.status == 200


async def test_two_calls_come_over_one_connection(stage: Stage) -> None:
    def request(body: bytes, *more: str) -> bytes:
        head = ["POST /hooks/frameio HTTP/1.1", f"Host: localhost:{stage.port}", *signed(stage, body), *more]
        return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body

    raw = await stage.raw(request(b"first") + request(b"second", "Connection: close"))
    assert raw.count(b"HTTP/1.1 200 OK") == 2
    assert raw.index(b"first".hex().encode()) < raw.index(b"second".hex().encode())


NOW = "1800000000"
GOOD = signature(BODY, NOW)


@pytest.mark.parametrize(
    ("signatures", "timestamps"),
    [
        ([], [NOW]),
        ([GOOD], []),
        ([], []),
        ([GOOD, GOOD], [NOW]),
        ([GOOD], [NOW, NOW]),
        ([f"{GOOD}, {GOOD}"], [NOW]),
        ([GOOD.removeprefix("v0=")], [NOW]),
        ([GOOD.replace("v0", "v1")], [NOW]),
        ([GOOD[:-1]], [NOW]),
        ([GOOD + "0"], [NOW]),
        (["v0="], [NOW]),
        (["v0=" + "0" * 64], [NOW]),
        (["v0=" + "é" * 64], [NOW]),
        ([signature(BODY, NOW, "another secret")], [NOW]),
        ([signature(BODY, NOW, "")], [NOW]),
        ([signature(BODY + b" ", NOW)], [NOW]),
        ([signature(b"", NOW)], [NOW]),
        ([GOOD], ["1800000001"]),
        ([signature(BODY, "1799999699")], ["1799999699"]),
        ([signature(BODY, "1800000301")], ["1800000301"]),
        ([signature(BODY, "01800000000")], ["+1800000000"]),
        ([signature(BODY, "1800000000.0")], ["1800000000.0"]),
        ([signature(BODY, "1800000000000")], ["1800000000000"]),
        ([signature(BODY, "1_800_000_000")], ["1_800_000_000"]),
        ([signature(BODY, "-1800000000")], ["-1800000000"]),
        ([signature(BODY, "")], [""]),
        ([signature(BODY, "now")], ["now"]),
        ([signature(BODY, "9" * 5000)], ["9" * 5000]),
        ([signature(BODY, "١٨٠٠٠٠٠٠٠٠")], ["١٨٠٠٠٠٠٠٠٠"]),
    ],
)
async def test_a_call_that_frame_io_did_not_sign_just_now_is_a_401_in_one_line(
    stage: Stage, caplog: pytest.LogCaptureFixture, signatures: list[str], timestamps: list[str]
) -> None:
    caplog.set_level(logging.INFO, "oauth_proxy")
    lines = [f"X-Frameio-Signature: {value}" for value in signatures]
    lines += [f"X-Frameio-Request-Timestamp: {value}" for value in timestamps]
    answer = await call(stage, *lines)
    assert refused(answer, 401, "signature_refused")
    assert answer.get("WWW-Authenticate") == 'Signature realm="frameio-oauth-proxy"'
    assert not stage.tool_requests
    [line] = complaints(caplog)
    assert SECRET not in line
    assert not any(value in line for value in [*signatures, *timestamps] if len(value) > 5)


@pytest.mark.parametrize("age", [300, 0, -300])
async def test_five_minutes_either_way_are_just_now(stage: Stage, age: int) -> None:
    assert (await call(stage, *signed(stage, age=age))).status == 200


async def test_the_digest_may_be_written_in_capitals(stage: Stage) -> None:
    name, _, digest = signed(stage)[0].partition("v0=")
    assert (await call(stage, f"{name}v0={digest.upper()}", signed(stage)[1])).status == 200


async def test_a_call_may_be_sent_again_while_it_is_fresh_and_no_longer(stage: Stage) -> None:
    lines = signed(stage)
    for _ in range(2):
        assert (await call(stage, *lines)).status == 200
    stage.clock.advance(301)
    assert refused(await call(stage, *lines), 401, "signature_refused")
    assert stage.tool_requests["/hooks/frameio"] == 2


async def test_each_path_has_its_own_secrets_and_any_of_them_will_do(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-a-file\n", "utf-8")
    hooks = {"/new": {"secret": ["the-new-one", "the-old-one"]}, "/file": {"secret_file": f"{tmp_path}/secret"}}
    async with on_stage(tool=a_tool(), webhooks=hooks) as stage:
        for path, secret, status in [
            ("/new", "the-new-one", 200),
            ("/new", "the-old-one", 200),
            ("/new", "from-a-file", 401),
            ("/file", "from-a-file", 200),
            ("/file", "the-new-one", 401),
        ]:
            assert (await call(stage, *signed(stage, secret=secret), path=path)).status == status
        assert stage.tool_requests == {"/new": 2, "/file": 1}


async def test_a_query_is_the_tool_s(stage: Stage) -> None:
    answer = await call(stage, *signed(stage), path="/hooks/frameio?team=7&x=%zz")
    assert json.loads(answer.body)["target"] == "/hooks/frameio?team=7&x=%zz"
    assert refused(await call(stage, path="/hooks/frameio?team=7"), 401, "signature_refused")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_a_webhook_s_path_takes_nothing_but_post_signed_in_or_not(
    stage: Stage, visitor: Visitor, method: str
) -> None:
    await visitor.login(f"{stage.url}/")
    asked = stage.tool_requests.total()
    navigating = [f"{name}: {value}" for name, value in NAVIGATION.items()]
    for lines in ([], [visitor.cookie_line(stage.url)], [visitor.cookie_line(stage.url), *navigating]):
        answer = await stage.ask("/hooks/frameio", *lines, *signed(stage, b""), method=method)
        assert (answer.status, answer.get("Allow")) == (405, "POST")
    assert stage.tool_requests.total() == asked


@pytest.mark.parametrize(
    "path",
    [
        "/hooks/frameio/",
        "/Hooks/FrameIO",
        "/hooks//frameio",
        "/hooks/./frameio",
        "/x/../hooks/frameio",
        "/hooks/frameio;x=1",
        "/hooks/frameio%2f",
        "/hooks%2fframeio",
        "/hooks/%2566rameio",
        "/hooks/frameio%3fx",
        "/hooks%5cframeio",
        "//hooks/frameio",
        "/hooks;x/frameio",
        "/;x/hooks/frameio",
        "/;%23/hooks/frameio",
        "/;%2fb/hooks/frameio",
        "/hooks/frameio.",
        "/hooks/frameio%20",
        "/hooks/frameio%2500",
        "/%252568ooks/frameio",
        "/x/..;/hooks/frameio",
        "/hooks/%c0%a6rameio",
        "/hooks/%u0066rameio",
    ],
)
async def test_another_spelling_of_a_webhook_s_path_is_refused_to_those_who_are_signed_in_too(
    stage: Stage, visitor: Visitor, path: str
) -> None:
    await visitor.login(f"{stage.url}/")
    asked = stage.tool_requests.total()
    for lines in ([visitor.cookie_line(stage.url)], signed(stage)):
        assert refused(await call(stage, *lines, path=path), 400, "bad_request")
    assert stage.tool_requests.total() == asked


async def test_an_escaped_letter_is_the_same_path_and_needs_the_same_signature(stage: Stage) -> None:
    assert refused(await call(stage, path="/hooks/%66rameio"), 401, "signature_refused")
    assert (await call(stage, *signed(stage), path="/hooks/%66rameio")).status == 200


async def test_neither_a_public_rule_nor_a_session_stands_in_for_a_signature(visitor: Visitor) -> None:
    access = {"public": ["POST /hooks/*"], "bearer": "true"}
    async with on_stage(tool=a_tool(), webhooks=HOOKS, access=access) as stage:
        await visitor.login(f"{stage.url}/")
        asked = stage.tool_requests.total()
        assert refused(await call(stage), 401, "signature_refused")
        assert refused(await call(stage, visitor.cookie_line(stage.url)), 401, "signature_refused")
        assert stage.tool_requests.total() == asked
        assert (await call(stage, path="/hooks/other")).status == 200
        assert (await call(stage, *signed(stage))).status == 200


async def test_beside_the_webhook_a_signature_opens_nothing(stage: Stage) -> None:
    for path in ("/", "/hooks", "/hooks/frameio/x", "/hooks/frameiox", "/oauth2/userinfo"):
        assert (await call(stage, *signed(stage), path=path)).status in (401, 405)
    assert not stage.tool_requests


async def test_a_body_that_is_too_large_is_a_413_and_is_not_read_where_it_says_so(stage: Stage) -> None:
    large = b"x" * (MIB + 1)
    head = ["POST /hooks/frameio HTTP/1.1", f"Host: localhost:{stage.port}", *signed(stage, large)]
    announced = "\r\n".join([*head, f"Content-Length: {len(large)}", "Expect: 100-continue", "", ""])
    assert refused(RawAnswer.read(await stage.raw(announced.encode())), 413, "body_too_large")
    endless = chunked(stage, *signed(stage, large), chunks=[large[:-1], b"x"])
    assert refused(RawAnswer.read(await stage.raw(endless)), 413, "body_too_large")
    assert not stage.tool_requests


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_come_is_a_408(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, framing: str
) -> None:
    monkeypatch.setattr(whole, "DEADLINE", 0.05)
    head = ["POST /hooks/frameio HTTP/1.1", f"Host: localhost:{stage.port}", *signed(stage), framing, "", "5"]
    answer = RawAnswer.read(await stage.raw("\r\n".join(head).encode()))
    assert refused(answer, 408, "request_too_slow")
    assert not stage.tool_requests


async def test_a_caller_who_hangs_up_in_the_middle_is_not_forwarded(stage: Stage) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    head = ["POST /hooks/frameio HTTP/1.1", f"Host: localhost:{stage.port}", *signed(stage), "Content-Length: 99"]
    writer.write("\r\n".join([*head, "", ""]).encode() + BODY)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await call(stage, *signed(stage))).status == 200
    assert stage.tool_requests == {"/hooks/frameio": 1}


async def test_a_tool_that_fails_says_so_itself_and_frame_io_may_send_the_call_again(stage: Stage) -> None:
    async with on_stage(webhooks=HOOKS) as bare:  # the demo's tool knows no such path
        lines = signed(bare)
        for _ in range(2):
            answer = await call(bare, *lines)
            assert (answer.status, answer.get("X-OAuth-Proxy")) == (404, None)
        assert bare.tool_requests["/hooks/frameio"] == 2


async def test_without_webhooks_the_path_is_like_any_other(visitor: Visitor) -> None:
    async with on_stage(tool=a_tool()) as stage:
        assert refused(await call(stage, *signed(stage)), 401, "sign_in_required")
        await visitor.login(f"{stage.url}/")
        assert (await call(stage, visitor.cookie_line(stage.url))).status == 200
