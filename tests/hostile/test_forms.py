"""What is given back of a form: nobody's forgery, bounded for strangers, and in no log."""

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from oauth_proxy import forms, typed
from oauth_proxy.seal import Sealer
from tests.hostile.test_heads import counted
from tests.support.form_tool import FormTool, a_form
from tests.support.proxy import RawAnswer, Stage
from tests.support.sessions import cookie_of
from tests.support.tool import until
from tests.support.units import KIB, MIB
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


def request_for(stage: Stage, length: int, path: str = "/save") -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: localhost:{stage.port}", *OURS, f"Content-Length: {length}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def refusals(stage: Stage) -> float:
    [counted] = stage.proxy.metrics.refusals.collect()
    return sum(sample.value for sample in counted.samples)


@asynccontextmanager
async def posting(
    stage: Stage, length: int, body: bytes, path: str = "/save"
) -> AsyncIterator[asyncio.StreamReader]:
    """A connection on which a form of that length is announced, and `body` is all that comes of it."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that a page does not fit into it
    narrow.connect(("127.0.0.1", stage.listens_on))
    reader, writer = await asyncio.open_connection(sock=narrow, limit=4096)
    writer.write(request_for(stage, length, path) + body)
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
        for _ in range(number := typed.MOST_OF_ONE // forms.LONGEST):
            await stack.enter_async_context(posting(stage, forms.LONGEST, b"a" * (forms.LONGEST - 1)))
        await until(lambda: keeper.room.held == typed.MOST_OF_ONE - number)
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


async def test_forms_that_never_end_give_way_to_whoever_comes() -> None:
    """Each held its connection for a minute: one stranger at two addresses locked everybody out."""
    few = 16
    async with a_form(limits={"connections": str(few)}) as (stage, _), AsyncExitStack() as stack:
        for _ in range(few):
            await stack.enter_async_context(posting(stage, forms.LONGEST, b"a="))
        await until(lambda: stage.proxy.typed.room.held == 2 * few)  # what has come of it, not what was announced
        assert stage.proxy.capacity.trouble is None
        for _ in range(3):
            assert (await stage.ask("/oauth2/keys")).status == 200
        assert GIVEN_BACK in (await post(stage)).body
        await until(lambda: stage.proxy.typed.room.held < 2 * few)


async def test_the_names_of_parts_without_a_value_are_held_up_to_the_same_bound(
    form: tuple[Stage, FormTool],
) -> None:
    """Only values were counted before the end: 27 MiB of names were held, for which 256 KiB had been reserved."""
    stage, _ = form
    part = b'--X\r\nContent-Disposition: form-data; name="' + b"n" * 7 * KIB + b'"\r\n\r\n\r\n'
    kind = "Content-Type: multipart/form-data; boundary=X"
    lines = [*OURS[:-1], kind, f"Host: localhost:{stage.port}", f"Content-Length: {forms.LONGEST_WITH_FILES}"]
    head = "\r\n".join(["POST /save HTTP/1.1", *lines]).encode() + b"\r\n\r\n"
    with counted() as held:
        _, writer = await asyncio.open_connection("127.0.0.1", stage.listens_on)
        writer.write(head)
        for _ in range(40):
            writer.write(part * 20)
            await writer.drain()
        await asyncio.sleep(0.5)  # what the system has buffered
        seen, size = stage.proxy.typed.room.held, held.size
        writer.transport.abort()
    assert 0 < seen <= forms.LONGEST
    assert size < 3 * MIB


async def test_a_form_that_begins_a_login_is_no_longer_than_an_address_and_gives_way_until_it_is_there() -> None:
    """Each was read for ten seconds, up to a MiB, and could take a tenth of a second to decode."""
    few, path = 16, "/oauth2/start"
    async with a_form(limits={"connections": str(few)}) as (stage, _), AsyncExitStack() as stack:
        long, longest = b"rd=/" + b"%61" * 8191, b"rd=/" + b"%61" * 11_000
        assert (await post(stage, body=long, path=path)).status == 302
        assert (await post(stage, body=longest, path=path)).status == 413
        chunked = ["Transfer-Encoding: chunked", "Connection: close", f"Host: localhost:{stage.port}"]
        head = "\r\n".join([f"POST {path} HTTP/1.1", *chunked, *OURS]).encode()
        sent = b"%b\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (head, len(longest), longest)
        assert RawAnswer.read(await stage.raw(sent)).status == 413
        for _ in range(few):
            await stack.enter_async_context(posting(stage, 30_000, b"rd=", path=path))
        await until(lambda: stage.proxy.gateway.bodies.room.held == 3 * few)
        for _ in range(3):
            assert (await stage.ask("/oauth2/keys")).status == 200


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


async def test_no_page_of_another_site_has_us_lead_a_form_on() -> None:
    """A stranger's own failure brings the sealed address of a form that anybody may send."""
    async with a_form(access={"allow": ["everyone"], "public": ["POST /open"]}) as (stage, tool):
        await tool.stop()
        page = await post(stage, path="/open")
        found = re.search(r'action="[^"]*(/oauth2/send_again[^"]*)"', page.body.decode())
        assert found
        fixed = [line for line in OURS if not line.startswith("Sec-Fetch-Site")]
        for lines in tried(FORGERIES):
            answer = await stage.ask(found[1], *fixed, *lines, method="POST", body=b"text=forged")
            assert (answer.status, answer.get("Location")) == (400, None), lines
        for own in (["Sec-Fetch-Site: same-origin"], [f"Origin: {stage.url}"]):
            answer = await stage.ask(found[1], *fixed, *own, method="POST", body=b"text=mine")
            assert (answer.status, answer.get("Location")) == (307, f"{stage.url}/open")


async def test_a_page_with_ten_thousand_fields_is_made_while_others_are_answered(
    form: tuple[Stage, FormTool],
) -> None:
    stage, _ = form
    body = b"&".join([b"a=1"] * forms.MOST_ENTRIES)
    before, turns = refusals(stage), 0
    posted = asyncio.create_task(post(stage, body=body))
    while not posted.done():
        turns += stage.proxy.typed.room.held > 2 * len(body) and refusals(stage) == before
        await asyncio.sleep(0)
    page = await posted
    assert page.body.count(b'<input type="hidden"') == forms.MOST_ENTRIES
    assert turns > 1


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
