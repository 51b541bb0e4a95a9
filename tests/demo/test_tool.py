"""The small tool: it shows what it received, streams both ways, and keeps nothing."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, WSMsgType
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from oauth_proxy.demo.tool import PATTERN, tool

Browser = TestClient[Request, Application]
IDENTITY = {
    "X-Forwarded-User": "3b7c1a52",
    "X-Forwarded-Email": "editor@studio.example.com",
    "X-Forwarded-Preferred-Username": "Editor",
}


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with TestClient(TestServer(tool(clock=lambda: 3661, interval=0.01))) as client:
        yield client


def cell(html: str, name: str) -> str:
    """What the page's table shows for a header."""
    return html.partition(f'<th scope="row">{name}</th><td>')[2].partition("</td>")[0]


async def test_the_page_says_who_the_visitor_is(browser: Browser) -> None:
    html = await (await browser.get("/", headers=IDENTITY)).text()
    assert '<p id="who">Editor</p>' in html
    assert "editor@studio.example.com" in html
    assert "3b7c1a52" in html


async def test_the_page_says_when_nobody_told_it(browser: Browser) -> None:
    html = await (await browser.get("/")).text()
    assert '<p id="who">Nobody the tool knows</p>' in html


async def test_the_page_shows_twelve_characters_of_a_token_and_its_length(browser: Browser) -> None:
    token = "0123456789abSECRET" + "x" * 69
    html = await (await browser.get("/", headers={"authorization": f"Bearer {token}", "X-Odd": "1"})).text()
    assert cell(html, "authorization") == "Bearer 0123456789ab… (87 characters)"
    assert cell(html, "X-Odd") == "1"
    assert "SECRET" not in html


async def test_headers_are_escaped_in_the_page(browser: Browser) -> None:
    html = await (await browser.get("/", headers=IDENTITY | {"X-Odd": "<script>alert(1)</script>"})).text()
    assert "<script>alert" not in html
    assert cell(html, "X-Odd") == "&lt;script&gt;alert(1)&lt;/script&gt;"


@pytest.mark.parametrize("api", ["v2", "v4"])
async def test_the_page_calls_the_api_it_was_told_of(api: str) -> None:
    async with TestClient(TestServer(tool("v4" if api == "v4" else "v2"))) as browser:
        assert f'data-url="/frameio/{api}/me"' in await (await browser.get("/")).text()


async def test_the_page_needs_nothing_from_elsewhere(browser: Browser) -> None:
    page = await browser.get("/")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'; ")
    html = await page.text()
    for path in ("/assets/style.css", "/assets/tool.js"):
        assert f'"{path}"' in html
        assert (await browser.get(path)).status == 200
    assert "http://" not in html
    assert "https://" not in html


async def test_the_clock_ticks_over_a_websocket(browser: Browser) -> None:
    async with browser.ws_connect("/clock") as socket:
        await socket.send_str("heard and forgotten")
        assert [await socket.receive_str() for _ in range(3)] == ["01:01:01"] * 3


async def test_the_feed_sends_one_event_after_the_other(browser: Browser) -> None:
    feed = await browser.get("/feed")
    assert feed.content_type == "text/event-stream"
    lines = [await feed.content.readline() for _ in range(6)]
    assert lines[0::3] == [b"id: 1\n", b"id: 2\n"]
    assert lines[1::3] == [b"data: event 1 at 01:01:01\n", b"data: event 2 at 01:01:01\n"]
    feed.close()


async def test_stopping_the_tool_ends_its_streams() -> None:
    server = TestServer(tool(interval=60))
    await server.start_server()
    async with ClientSession() as session:
        feed = await session.get(server.make_url("/feed"))
        await feed.content.readuntil(b"\n\n")
        async with session.ws_connect(server.make_url("/clock")) as socket:
            await socket.receive_str()
            stopping = asyncio.create_task(server.close())
            assert (await socket.receive()).type is WSMsgType.CLOSE
        assert await feed.content.read() == b""
        await stopping


async def test_an_upload_is_measured_and_hashed_as_it_streams(browser: Browser) -> None:
    pieces = [bytes([number]) * 100_000 for number in range(30)]

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    for method in ("POST", "PUT"):
        answer = await (await browser.request(method, "/upload", data=body())).json()
        assert answer == {"size": 3_000_000, "sha256": hashlib.sha256(b"".join(pieces)).hexdigest()}


def pattern(size: int) -> bytes:
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


@pytest.mark.parametrize("size", [0, 1, 250, len(PATTERN), len(PATTERN) + 1, 200_000])
async def test_a_download_has_the_size_asked_for(browser: Browser, size: int) -> None:
    response = await browser.get(f"/download?bytes={size}")
    assert response.status == 200
    assert response.headers["Content-Length"] == str(size)
    assert await response.read() == pattern(size)


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("0-0", 0, 1),
        ("100-299", 100, 300),
        ("70000-", 70_000, 100_000),
        ("-5", 99_995, 100_000),
        ("-200000", 0, 100_000),
        ("99999-200000", 99_999, 100_000),
    ],
)
async def test_a_range_is_that_part_of_the_whole(browser: Browser, asked: str, start: int, stop: int) -> None:
    response = await browser.get("/download?bytes=100000", headers={"Range": f"bytes={asked}"})
    assert response.status == 206
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/100000"
    assert await response.read() == pattern(100_000)[start:stop]


@pytest.mark.parametrize("asked", ["100000-", "-0"])
async def test_a_range_beyond_the_end_is_a_416(browser: Browser, asked: str) -> None:
    response = await browser.get("/download?bytes=100000", headers={"Range": f"bytes={asked}"})
    assert response.status == 416
    assert response.headers["Content-Range"] == "bytes */100000"


@pytest.mark.parametrize("asked", ["bytes=5-4", "bytes=-", "bytes=0-1,5-6", "lines=0-1"])
async def test_a_range_nobody_understands_is_ignored(browser: Browser, asked: str) -> None:
    response = await browser.get("/download?bytes=100", headers={"Range": asked})
    assert response.status == 200
    assert await response.read() == pattern(100)


async def test_the_head_of_a_download_has_its_length_and_no_body(browser: Browser) -> None:
    response = await browser.head("/download?bytes=1000")
    assert response.headers["Content-Length"] == "1000"
    assert await response.read() == b""
    assert (await browser.get("/healthz")).status == 200


@pytest.mark.parametrize("size", ["", "-1", "1e3", "٣", "9" * 16])
async def test_a_size_that_is_no_number_is_a_400(browser: Browser, size: str) -> None:
    assert (await browser.get("/download", params={"bytes": size})).status == 400


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PROPFIND"])
async def test_an_echo_says_what_was_on_the_wire(browser: Browser, method: str) -> None:
    url = browser.make_url("/echo").with_path("/echo/a%2Fb", encoded=True).with_query("q=%2f")
    headers = [("X-Two", "1"), ("x-other", ""), ("X-Two", "2")]
    answer = await (await browser.session.request(method, url, headers=headers, data=b"body")).json()
    assert answer["method"] == method
    assert answer["path"].startswith("/echo/a%2Fb?q=")
    assert [pair for pair in answer["headers"] if pair[0].startswith(("X-T", "x-o"))] == [
        list(pair) for pair in headers
    ]
    assert (answer["size"], answer["sha256"]) == (4, hashlib.sha256(b"body").hexdigest())


async def test_the_tool_says_that_it_is_well(browser: Browser) -> None:
    assert await (await browser.get("/healthz")).text() == "ok\n"
