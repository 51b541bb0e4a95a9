"""The tool's page on which things go wrong on purpose, without a proxy; tests/browser has it with one."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from io import BytesIO

import pytest
from aiohttp import ClientConnectionError, ClientSession, FormData
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from oauth_proxy.demo.tool import tool
from tests.demo.test_serve import cast, ports
from tests.support.units import PATIENCE

Browser = TestClient[Request, Application]
IDENTITY = {"X-Forwarded-User": "3b7c1a52", "X-Forwarded-Email": "editor@studio.example.com"}
NOTE, SECRET = "one\r\nä € <b>", "s3cret"
SAME, OTHER = "Note and password are what you typed", "Note and password are not what you typed"


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with TestClient(TestServer(tool(status_url="http://127.0.0.1:4181/"))) as client:
        yield client


def a_form(digest: str, file: bytes) -> FormData:
    form = FormData({"note": NOTE, "secret": SECRET, "digest": digest}, default_to_multipart=True)
    form.add_field("file", BytesIO(file), filename="a.bin")
    return form


async def test_the_page_leads_operators_to_the_end_of_this_visitors_sessions(browser: Browser) -> None:
    html = await (await browser.get("/trouble", headers=IDENTITY)).text()
    assert 'href="http://127.0.0.1:4181/end?user=3b7c1a52"' in html
    assert "4181" not in await (await browser.get("/trouble")).text(), "nobody's sessions"


async def test_the_page_needs_nothing_from_elsewhere(browser: Browser) -> None:
    page = await browser.get("/trouble")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'; ")
    for path in ("/assets/style.css", "/assets/trouble.css", "/assets/trouble.js"):
        assert f'"{path}"' in await page.text()
        assert (await browser.get(path)).status == 200
    assert (await browser.get("/assets/page.js")).status == 200


@pytest.mark.parametrize(
    ("digest", "said", "unsaid"),
    [
        (hashlib.sha256(f"{NOTE}\0{SECRET}".encode()).hexdigest(), [SAME], [OTHER]),
        (hashlib.sha256(b"something else").hexdigest(), [OTHER], [SAME]),
        ("", [], [SAME, OTHER]),  # without scripts
    ],
)
async def test_a_form_is_told_what_came_of_it_but_never_its_password(
    browser: Browser, digest: str, said: list[str], unsaid: list[str]
) -> None:
    html = await (await browser.post("/note", data=a_form(digest, b"abc"), headers=IDENTITY)).text()
    sha256 = hashlib.sha256(b"abc").hexdigest()
    for each in [*said, "editor@studio.example.com", "ä € &lt;b&gt;", "6 bytes", "a.bin, 3 bytes", sha256]:
        assert each in html
    for each in [*unsaid, SECRET]:
        assert each not in html


async def test_what_is_no_form_of_ours_or_too_much_is_an_answer_and_no_failure(browser: Browser) -> None:
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    assert (await browser.post("/note", data=b"--y\r\n", headers=broken)).status == 400
    assert (await browser.post("/note", data=b"\xff")).status == 200
    assert (await browser.post("/note", data=a_form("", bytes(16 * 2**20)))).status == 413
    for path in ("/note", "/away"):
        assert (await browser.post(path, headers={"Sec-Fetch-Site": "cross-site"})).status == 403
    for seconds in ("0", "100", "-1", "a", ""):
        assert (await browser.post(f"/away?seconds={seconds}")).status == 400
    assert (await browser.post("/away?seconds=1")).status == 501, "nobody has said how"


async def test_it_is_away_for_a_while_and_back_at_its_port() -> None:
    async with cast() as process, ClientSession() as session:
        url = f"http://127.0.0.1:{(await ports(process))['tool']}"
        feed = await session.get(f"{url}/feed")
        async with session.post(f"{url}/away?seconds=1") as answer:
            assert (answer.status, await answer.json()) == (202, {"seconds": 1})
        await feed.read()  # to its end
        with pytest.raises(ClientConnectionError):
            await session.get(f"{url}/healthz")
        async with asyncio.timeout(PATIENCE):
            await answering(session, f"{url}/healthz")
        assert (await session.post(f"{url}/away?seconds=99")).status == 202
        process.terminate()
        assert await process.wait() == 0
        assert process.stderr is not None
        assert await process.stderr.read() == b""


async def answering(session: ClientSession, url: str) -> None:
    """Wait until something answers there."""
    while True:
        with suppress(ClientConnectionError):
            async with session.get(url):
                return
        await asyncio.sleep(0.05)
