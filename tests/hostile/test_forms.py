"""What is given back of a form: nobody's forgery, bounded for strangers, and in no log."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from oauth_proxy import forms, typed
from oauth_proxy.seal import Sealer
from tests.support.form_tool import FormTool, a_form
from tests.support.proxy import RawAnswer, Stage
from tests.support.sessions import cookie_of
from tests.support.tool import until
from tests.tally import tried

OURS = (
    "Accept: text/html",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Dest: document",
    "Content-Type: application/x-www-form-urlencoded",
)
SECRET = b"typed-in-confidence"
GIVEN_BACK = b"Nothing you typed is lost"


@pytest.fixture
async def form() -> AsyncIterator[tuple[Stage, FormTool]]:
    async with a_form() as made:
        yield made


async def post(stage: Stage, *lines: str, body: bytes = b"text=" + SECRET, path: str = "/save") -> RawAnswer:
    return await stage.ask(path, *OURS, *lines, method="POST", body=body)


def request_for(stage: Stage, length: int) -> bytes:
    lines = ["POST /save HTTP/1.1", f"Host: localhost:{stage.port}", *OURS, f"Content-Length: {length}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def refusals(stage: Stage) -> float:
    [counted] = stage.proxy.metrics.refusals.collect()
    return sum(sample.value for sample in counted.samples)


@asynccontextmanager
async def posting(stage: Stage, length: int, body: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """A connection on which a form of that length is announced, and `body` is all that comes of it."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that a page does not fit into it
    narrow.connect(("127.0.0.1", stage.listens_on))
    reader, writer = await asyncio.open_connection(sock=narrow, limit=4096)
    writer.write(request_for(stage, length) + body)
    try:
        yield reader
    finally:
        writer.transport.abort()


async def test_strangers_forms_are_held_up_to_a_bound_and_beyond_it_the_page_has_nothing(
    form: tuple[Stage, FormTool],
) -> None:
    stage, _ = form
    keeper = stage.proxy.typed
    async with AsyncExitStack() as stack:
        for _ in range(typed.MOST_OF_ONE // forms.LONGEST):
            await stack.enter_async_context(posting(stage, forms.LONGEST, b"a="))
        await until(lambda: keeper.room.held == typed.MOST_OF_ONE)
        page = await post(stage)
        assert page.status == 401
        assert GIVEN_BACK not in page.body
        assert SECRET not in page.body
    await until(lambda: not keeper.room.held)
    assert not keeper.room.by_client
    assert GIVEN_BACK in (await post(stage)).body


async def test_a_page_that_its_client_does_not_take_counts_until_the_client_is_gone(
    form: tuple[Stage, FormTool],
) -> None:
    stage, _ = form
    keeper = stage.proxy.typed
    body = b"&".join([b"a=%22%22%22"] * forms.MOST_ENTRIES)
    asked = 24  # more than the system buffers of a connection whose client takes nothing
    more = request_for(stage, len(body)) + body
    async with posting(stage, len(body), body + more * (asked - 1)):
        seen: tuple[int, float] | None = None
        while seen != (keeper.room.held, refusals(stage)) or keeper.room.held < 2 * len(body):
            seen = keeper.room.held, refusals(stage)
            await asyncio.sleep(0.2)
        assert refusals(stage) < asked
    await until(lambda: not keeper.room.held)


async def test_who_leaves_in_the_middle_of_a_form_leaves_nothing_behind(form: tuple[Stage, FormTool]) -> None:
    stage, tool = form
    cookie = await cookie_of(stage)
    for lines in tried([(), (cookie,)]):
        async with posting(stage, 1000, b"a=1"):
            await until(lambda: stage.proxy.typed.room.held > 0)
        await until(lambda: not stage.proxy.typed.room.held)
        del lines
    assert not tool.sent


async def test_only_a_seal_for_this_very_purpose_leads_a_form_anywhere(form: tuple[Stage, FormTool]) -> None:
    stage, tool = form
    cookie = await cookie_of(stage)
    content = b'["https://evil.example/", null]'
    keys = stage.settings.session.keys
    stolen = cookie.partition("=")[2].partition(".")[2]
    seals = [stolen, *(Sealer(keys, purpose).seal(content) for purpose in ("session", "attempt", "handle"))]
    for sealed in tried([*seals, Sealer([bytes(32)], "typed").seal(content), "", "A" * 100]):
        answer = await post(stage, cookie, path=f"/oauth2/send_again?form={sealed}")
        assert answer.status == 400
        assert b"evil.example" not in answer.body
    assert not tool.sent


FORGERIES = [
    ["Sec-Fetch-Site: cross-site"],
    ["Sec-Fetch-Site: same-site"],
    ["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"],
    ["Sec-Fetch-Site: same-origin, cross-site"],
    ["Origin: null"],
    ["Origin: http://localhost.evil.example"],
    ["Referer: http://evil.example/http://localhost/"],
    [],
]


async def test_a_form_that_may_be_another_sites_is_in_no_page_of_ours(
    form: tuple[Stage, FormTool],
) -> None:
    stage, tool = form
    cookie = await cookie_of(stage)
    await tool.stop()
    for lines in tried(FORGERIES):
        for who in ([], [cookie]):
            fixed = [line for line in OURS if not line.startswith("Sec-Fetch-Site")]
            answer = await stage.ask("/save", *fixed, *lines, *who, method="POST", body=b"text=" + SECRET)
            assert answer.status == (502 if who else 401)
            assert SECRET not in answer.body, lines


async def test_nothing_that_was_typed_is_logged(
    form: tuple[Stage, FormTool], caplog: pytest.LogCaptureFixture
) -> None:
    stage, tool = form
    caplog.set_level(logging.DEBUG)
    cookie = await cookie_of(stage)
    assert GIVEN_BACK in (await post(stage)).body
    await post(stage, body=b"broken" + SECRET)
    await tool.stop()
    assert GIVEN_BACK in (await post(stage, cookie)).body
    assert SECRET.decode() not in caplog.text


async def test_a_request_behind_a_form_is_answered_after_it(form: tuple[Stage, FormTool]) -> None:
    stage, _ = form
    head = ["POST /save HTTP/1.1", f"Host: localhost:{stage.port}", *OURS, "Content-Length: 3"]
    behind = ["GET /oauth2/keys HTTP/1.1", f"Host: localhost:{stage.port}", "Connection: close"]
    sent = "\r\n".join(head) + "\r\n\r\na=1" + "\r\n".join(behind) + "\r\n\r\n"
    first = RawAnswer.read(await stage.raw(sent.encode()))
    assert GIVEN_BACK in first.body
    assert RawAnswer.read(first.rest).status == 200
