"""Forwarding as the tool and the visitor see it, through the whole proxy."""

import asyncio
import gzip
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
import websockets
from aiohttp import web

from tests.support.browser import NAVIGATING, Visitor
from tests.support.proxy import Stage, free_port, on_stage, serving

GO = web.AppKey("go", AsyncIterator[bool])
FILE = Path(__file__).read_bytes()
GZIPPED = gzip.compress(b"squeezed " * 1000)


def saying(**answer: Any) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler whose every answer is `web.Response(**answer)`."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(**answer)

    return handler


def a_tool() -> web.Application:
    """A tool that does a little of everything a tool may do."""
    app = web.Application()

    async def echo(request: web.Request) -> web.Response:
        body = await request.read()
        return web.json_response(
            {
                "method": request.method,
                "target": request.raw_path,
                "headers": [
                    [name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers
                ],
                "sha256": hashlib.sha256(body).hexdigest(),
                "size": len(body),
            }
        )

    async def cookies(request: web.Request) -> web.Response:
        response = web.Response(text="ok")
        response.headers.add("Set-Cookie", "a=1; Path=/")
        response.headers.add("Set-Cookie", "b=2; Path=/")
        response.headers.add("X-Twice", "one")
        response.headers.add("x-twice", "two")
        return response

    async def feed(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        async for _ in request.app[GO]:
            await response.write(b"data: tick\n\n")
        return response

    async def socket(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(protocols=("v2.chat", "v1.chat"))
        await ws.prepare(request)
        async for message in ws:
            await ws.send_str(f"{ws.ws_protocol}:{message.data}")
        return ws

    async def file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(Path(__file__))

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response()

    app.router.add_get("/socket", socket)
    app.router.add_get("/cookies", cookies)
    app.router.add_get("/feed", feed)
    app.router.add_get("/slow", slow)
    app.router.add_get("/nothing", saying(status=204))
    app.router.add_get("/unchanged", saying(status=304, headers={"ETag": '"x"'}))
    app.router.add_get("/away", saying(status=302, headers={"Location": "https://evil.com/?a"}))
    app.router.add_get("/odd", saying(status=299, reason="Fine By Me", text="x"))
    app.router.add_get("/gzip", saying(body=GZIPPED, headers={"Content-Encoding": "gzip"}))
    app.router.add_get("/error", saying(status=500, text="the tool's own words"))
    app.router.add_get("/file", file)
    app.router.add_route("*", "/{rest:.*}", echo)
    return app


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with on_stage(tool=a_tool()) as plain:
        yield plain


@pytest.fixture
async def cookie(stage: Stage, visitor: Visitor) -> str:
    await visitor.login(f"{stage.url}/")
    return visitor.cookie_line(stage.url)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT"])
async def test_every_method_reaches_the_tool(stage: Stage, cookie: str, method: str) -> None:
    answer = await stage.ask("/x", cookie, method=method)
    assert json.loads(answer.body)["method"] == method


@pytest.mark.parametrize(
    "target",
    [
        "/a/../b",
        "/a//b/./c",
        "/%zz?x=%zz",
        "/a%2fb%2Fc",
        "/caf%C3%A9?q=caf%c3%a9",
        "/x?",
        "/x??a=?&&b==",
        "/x?u=http%3A%2F%2Fother&v=http://other/../",
        "/a;b=c,d/e@f:g",
        "/a+b?c+d",
        "//double",
    ],
)
async def test_path_and_query_arrive_byte_for_byte(stage: Stage, cookie: str, target: str) -> None:
    answer = await stage.ask(target, cookie)
    assert answer.status == 200
    assert json.loads(answer.body)["target"] == target


async def test_repeated_lines_keep_their_order_in_both_directions(stage: Stage, cookie: str) -> None:
    answer = await stage.ask("/x", cookie, "X-Many: 1", "x-other: a", "X-Many: 2", "x-many: 3")
    sent = [pair for pair in json.loads(answer.body)["headers"] if pair[0].lower() == "x-many"]
    assert sent == [["X-Many", "1"], ["X-Many", "2"], ["x-many", "3"]]
    back = await stage.ask("/cookies", cookie)
    assert back.all("Set-Cookie") == ["a=1; Path=/", "b=2; Path=/"]
    assert back.all("X-Twice") == ["one", "two"]


async def test_the_tool_sees_our_cookies_never_and_its_own_untouched(stage: Stage, cookie: str) -> None:
    both = cookie.replace("Cookie: ", 'Cookie: theme="dark; blue"; ') + "; x=%zz"
    answer = await stage.ask("/x", both)
    assert [value for name, value in json.loads(answer.body)["headers"] if name.lower() == "cookie"] == [
        'theme="dark; blue"; x=%zz'
    ]


async def test_a_body_arrives_whole_with_a_length_and_in_chunks(stage: Stage, cookie: str) -> None:
    body = bytes(range(256)) * 4000
    answer = await stage.ask("/x", cookie, method="POST", body=body)
    assert json.loads(answer.body)["sha256"] == hashlib.sha256(body).hexdigest()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:90_000], body[90_000:]))
    head = f"PUT /x HTTP/1.1\r\nHost: localhost:{stage.port}\r\n{cookie}\r\nTransfer-Encoding: chunked\r\n"
    raw = await stage.raw(head.encode() + b"Connection: close\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert hashlib.sha256(body).hexdigest().encode() in raw


async def test_head_204_and_304_have_no_body(stage: Stage, cookie: str) -> None:
    plain = await stage.ask("/file", cookie)
    head = await stage.ask("/file", cookie, method="HEAD")
    assert head.status == 200
    assert head.get("Content-Length") == plain.get("Content-Length")
    assert head.body == b""
    nothing = await stage.ask("/nothing", cookie)
    assert (nothing.status, nothing.body) == (204, b"")
    unchanged = await stage.ask("/unchanged", cookie)
    assert (unchanged.status, unchanged.body, unchanged.get("ETag")) == (304, b"", '"x"')


async def test_a_range_is_the_tools_to_answer(stage: Stage, cookie: str) -> None:
    answer = await stage.ask("/file", cookie, "Range: bytes=3-12")
    assert answer.status == 206
    assert answer.body == FILE[3:13]
    assert (answer.get("Content-Range") or "").startswith("bytes 3-12/")


async def test_gzip_passes_through_untouched(stage: Stage, cookie: str) -> None:
    answer = await stage.ask("/gzip", cookie, "Accept-Encoding: gzip")
    assert answer.get("Content-Encoding") == "gzip"
    assert answer.body == GZIPPED


async def test_a_redirect_of_the_tool_goes_to_the_browser(stage: Stage, cookie: str) -> None:
    answer = await stage.ask("/away", cookie)
    assert (answer.status, answer.get("Location")) == (302, "https://evil.com/?a")


async def test_the_tools_own_errors_and_reasons_are_its_own(stage: Stage, cookie: str) -> None:
    answer = await stage.ask("/error", cookie)
    assert (answer.status, answer.body) == (500, b"the tool's own words")
    assert answer.get("X-OAuth-Proxy") is None
    odd = f"GET /odd HTTP/1.1\r\nHost: localhost:{stage.port}\r\n{cookie}\r\nConnection: close\r\n\r\n"
    assert (await stage.raw(odd.encode())).startswith(b"HTTP/1.1 299 Fine By Me\r\n")


async def test_events_are_delivered_one_by_one(visitor: Visitor) -> None:
    tool = a_tool()
    events: asyncio.Queue[bool] = asyncio.Queue()

    async def go() -> AsyncIterator[bool]:
        while await events.get():
            yield True

    tool[GO] = go()
    async with on_stage(tool=tool) as stage:
        await visitor.login(f"{stage.url}/")
        async with visitor.session.get(f"{stage.url}/feed") as feed:
            assert feed.headers["Content-Type"] == "text/event-stream"
            for _ in range(3):
                await events.put(True)
                async with asyncio.timeout(10):
                    assert await feed.content.readany() == b"data: tick\n\n"
            await events.put(False)
            assert await feed.content.read() == b""


async def test_a_websocket_speaks_its_subprotocol_both_ways(stage: Stage, cookie: str) -> None:
    async with websockets.connect(
        f"ws://localhost:{stage.port}/socket",
        additional_headers={"Cookie": cookie.removeprefix("Cookie: ")},
        subprotocols=[websockets.Subprotocol("v9.chat"), websockets.Subprotocol("v1.chat")],
    ) as socket:
        assert socket.subprotocol == "v1.chat"
        await socket.send("hello")
        assert await socket.recv() == "v1.chat:hello"


async def test_a_websocket_without_a_session_is_refused_before_the_tool_hears_of_it(stage: Stage) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"ws://localhost:{stage.port}/socket")
    assert refused.value.response.status_code == 401
    assert b"login_url" in (refused.value.response.body or b"")
    assert not stage.tool_requests


async def test_a_tool_that_is_down_is_a_502_page_and_json_for_programs(visitor: Visitor) -> None:
    async with on_stage(upstreams={"/down/": f"http://127.0.0.1:{free_port()}", "/": "TOOL"}) as stage:
        await visitor.login(f"{stage.url}/")
        cookie = visitor.cookie_line(stage.url)
        page = await stage.ask("/down/", cookie, *NAVIGATING)
        assert page.status == 502
        assert b"not running" in page.body
        program = await stage.ask("/down/", cookie)
        assert program.status == 502
        assert json.loads(program.body)["error"] == "upstream_unreachable"


async def test_a_tool_that_is_too_slow_is_a_504(visitor: Visitor) -> None:
    slow = {"url": "TOOL", "timeout": "200ms"}
    async with on_stage(tool=a_tool(), upstreams={"/": slow}) as stage:
        await visitor.login(f"{stage.url}/")
        cookie = visitor.cookie_line(stage.url)
        assert (await stage.ask("/slow", cookie, *NAVIGATING)).status == 504
        assert (await stage.ask("/x", cookie)).status == 200


async def test_the_longest_prefix_wins_and_is_replaced_by_the_urls_path(visitor: Visitor) -> None:
    async with serving(a_tool()) as other:
        upstreams = {
            "/": "TOOL",
            "/render/": other,
            "/render/deep/": f"{other}/base",
            "/own/": {"url": f"{other}/own", "host": "upstream"},
        }
        async with on_stage(tool=a_tool(), upstreams=upstreams) as stage:
            await visitor.login(f"{stage.url}/")
            cookie = visitor.cookie_line(stage.url)

            async def seen(path: str) -> tuple[str, dict[str, str]]:
                told = json.loads((await stage.ask(path, cookie)).body)
                return told["target"], dict(told["headers"])

            target, headers = await seen("/rendering/x?y")
            assert target == "/rendering/x?y"
            assert "X-Forwarded-Prefix" not in headers
            target, headers = await seen("/render/a%2fb//c?d=%zz")
            assert target == "/a%2fb//c?d=%zz"
            assert headers["X-Forwarded-Prefix"] == "/render"
            assert headers["Host"] == f"localhost:{stage.port}"
            assert (await seen("/render/deep/x"))[0] == "/base/x"
            assert (await seen("/render/"))[0] == "/"
            target, headers = await seen("/own/x")
            assert target == "/own/x"
            assert headers["Host"] == other.removeprefix("http://")
            assert headers["X-Forwarded-Host"] == f"localhost:{stage.port}"
            for climbing in ("/render/deep/../x", "/render/deep/%2e%2e/x", "/x/../render/y", "/render/..%2fx"):
                answer = await stage.ask(climbing, cookie)
                assert answer.status in (200, 400)
                if answer.status == 200:
                    assert json.loads(answer.body)["target"] == climbing, "only the root's tool sees it, as it is"


async def test_a_path_under_no_prefix_is_404(visitor: Visitor) -> None:
    async with on_stage(upstreams={"/app/": "TOOL"}) as stage:
        await visitor.login(f"{stage.url}/app/")
        answer = await stage.ask("/elsewhere", visitor.cookie_line(stage.url), *NAVIGATING)
        assert answer.status == 404
        assert not stage.tool_requests["/elsewhere"]


async def test_the_frame_io_api_can_be_an_upstream_that_scripts_call_without_a_token(visitor: Visitor) -> None:
    async with on_stage(upstreams={"/": "TOOL", "/frameio/": {"url": "FRAMEIO", "host": "upstream"}}) as stage:
        await visitor.login(f"{stage.url}/")
        answer = await stage.ask("/frameio/v2/me", visitor.cookie_line(stage.url))
        assert json.loads(answer.body)["email"] == "editor@studio.example.com"


async def test_a_tool_on_a_unix_socket_is_reached(visitor: Visitor, tmp_path: Path) -> None:
    path = tmp_path / "tool.sock"
    runner = web.AppRunner(a_tool())
    await runner.setup()
    await web.UnixSite(runner, path).start()
    try:
        async with on_stage(upstreams={"/": "TOOL", "/sock/": f"unix:{path}:/deep"}) as stage:
            await visitor.login(f"{stage.url}/")
            answer = await stage.ask("/sock/x?y", visitor.cookie_line(stage.url))
            assert json.loads(answer.body)["target"] == "/deep/x?y"
    finally:
        await runner.cleanup()


async def test_a_tool_with_https_is_reached_only_when_its_certificate_is_good(
    visitor: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    runner = web.AppRunner(a_tool())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with on_stage(upstreams={"/": url}) as stage:
            await visitor.login(f"{stage.url}/oauth2/start?rd=/oauth2/userinfo")
            assert (await stage.ask("/x", visitor.cookie_line(stage.url))).status == 502
        bundle = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(bundle))
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        async with on_stage(upstreams={"/": url}) as stage:
            await visitor.login(f"{stage.url}/oauth2/start?rd=/oauth2/userinfo")
            answer = await stage.ask("/x", visitor.cookie_line(stage.url))
            assert json.loads(answer.body)["target"] == "/x"
    finally:
        await runner.cleanup()


async def test_the_visitor_is_told_apart_only_by_what_a_trusted_proxy_says(visitor: Visitor) -> None:
    async def told(stage: Stage) -> dict[str, str]:
        await visitor.login(f"{stage.url}/")
        answer = await stage.ask("/x", visitor.cookie_line(stage.url), "X-Forwarded-For: 10.0.0.1, 192.0.2.7")
        return dict(json.loads(answer.body)["headers"])

    async with on_stage(tool=a_tool()) as stage:
        headers = await told(stage)
        assert headers["X-Forwarded-For"] == "127.0.0.1"
        assert headers["X-Forwarded-Proto"] == "http"
    async with on_stage(tool=a_tool(), trusted_proxies=["127.0.0.0/8"]) as stage:
        assert (await told(stage))["X-Forwarded-For"] == "192.0.2.7, 127.0.0.1"
