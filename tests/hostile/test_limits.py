"""Whatever a stranger can make grow has an end: heads, cookies, connections in waiting, memory."""

import asyncio
import gc
import gzip
import logging
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from oauth_proxy import client_connection, server
from tests.hostile.test_heads import STRANGERS, counted, sent, strangers
from tests.support.browser import NAVIGATING
from tests.support.header_names import read_names
from tests.support.proxy import RawAnswer
from tests.support.raw_http import TOOL_BYTES, Login, Wire, saying, wired
from tests.support.units import KIB
from tests.tally import tried


async def test_a_flood_of_header_lines_is_refused(wire: Wire, editor: Login) -> None:
    many = [f"X-{n}: v" for n in range(200)]
    few_but_long = [f"X-{n}: {'v' * 60 * KIB}" for n in range(20)]
    for lines in (many, few_but_long):
        for target in tried(("/healthz", "/page", "/oauth2/start")):
            answer = await wire.ask(target, editor.cookie, *lines)
            assert answer.status in (400, 431)
            assert b"vvvv" not in answer.body
    assert not wire.tool.heard
    assert (await wire.ask("/page", editor.cookie, *many[:100], "X-Long: " + "v" * 40 * KIB)).status == 200


async def test_cookies_beyond_all_measure_are_431_and_the_browser_is_told_to_forget_them(wire: Wire) -> None:
    in_one = ["Cookie: " + "a" * 70 * KIB]
    in_several = [f"Cookie: c{n}={'a' * 30 * KIB}" for n in range(4)]
    for lines in tried((in_one, in_several)):
        answer = await wire.ask("/page", *NAVIGATING, *lines)
        assert answer.status == 431
        assert answer.get("Clear-Site-Data") == '"cookies"'
        assert b"aaaa" not in answer.body


@pytest.mark.parametrize("head", ["GET /" + "a" * 20 * KIB, "GET /?" + "a" * 20 * KIB, "A" * 20 * KIB])
async def test_a_request_line_beyond_all_measure_is_refused_and_not_repeated(wire: Wire, head: str) -> None:
    found = await wire.send(f"{head} HTTP/1.1\r\nHost: {wire.host}\r\n\r\n".encode())
    assert [answer.status for answer in found] in ([400], [414])
    assert b"aaaa" not in found[0].body.lower()


@pytest.mark.parametrize("begun", ["", "G", "GET / HT", "GET / HTTP/1.1\r\nHost: {host}\r\nX: slow"])
async def test_half_a_head_is_waited_for_no_longer_than_its_deadline(
    monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    monkeypatch.setattr(server, "HEAD_DEADLINE", 0.2)
    async with wired() as wire:
        assert await wire.send(begun.replace("{host}", wire.host).encode()) == []
        assert (await wire.ask("/healthz")).body == TOOL_BYTES


async def test_half_a_head_after_a_whole_request_has_the_same_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_DEADLINE", 0.2)
    async with wired() as wire:
        found = await wire.send(wire.request("/healthz") + b"GET / HTTP/1.1\r\nX-Slow: ")
        assert [answer.body for answer in found] == [TOOL_BYTES]


async def test_a_head_that_dribbles_is_cut_off_at_the_same_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte is progress, and none of it counts."""
    monkeypatch.setattr(server, "HEAD_DEADLINE", 0.2)
    async with wired() as wire, wire.connected() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")

        async def dribble() -> None:
            while not writer.is_closing():
                writer.write(b"x")
                await asyncio.sleep(0.01)

        dribbling = asyncio.create_task(dribble())
        try:
            async with asyncio.timeout(10):
                with suppress(ConnectionError):
                    assert not await reader.read(), "cut off, without a word"
        finally:
            dribbling.cancel()


async def test_ten_thousand_pipelined_requests_are_answered_in_order_a_few_at_a_time(
    wire: Wire, editor: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[int] = []
    receive = client_connection.ClientConnection.data_received

    def counting(self: client_connection.ClientConnection, data: bytes) -> None:
        receive(self, data)
        queued.append(len(self._heads))

    monkeypatch.setattr(client_connection.ClientConnection, "data_received", counting)
    targets = [f"/assets/{number}" if number % 100 else "/page" for number in range(10_000)]
    requests = [wire.request(target, editor.cookie if target == "/page" else "X: y") for target in targets]
    raw = await wire.stage.raw(b"".join(requests) + wire.request("/healthz", "Connection: close"))
    assert raw.count(TOOL_BYTES) == 10_001
    assert [heard.line.split(" ")[1] for heard in wire.tool.heard] == [*targets, "/healthz"]
    assert max(queued) < 500


STRANGE = [
    "TRACE /page",
    "PROPFIND /page",
    "POST /page",
    "OPTIONS //evil.com/x",
    "GET /oauth2/auth",
    "PUT /oauth2/start",
]


def strange(wire: Wire, number: int) -> bytes:
    """A request that ends in an answer of ours, full of names that nobody sent before."""
    method, _, target = STRANGE[number % len(STRANGE)].partition(" ")
    cookie = f"Cookie: oauth_proxy=1.{number}; oauth_proxy-login-{number:08}=x; c{number}=x"
    return wire.request(f"{target}?{number}", cookie, f"X-{number}: v", method=method)


@pytest.fixture
def unlogged() -> Iterator[None]:
    """pytest keeps every record; only what the proxy keeps is to be counted."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("unlogged")
async def test_memory_is_flat_under_twenty_thousand_requests_of_strangers(wire: Wire) -> None:
    """CVE-2024-52303, scaled down: a single object that stays of each request would show."""

    async def blocks_after(first: int, last: int) -> int:
        for at in tried(range(first, last, 500)):
            requests = [strange(wire, number) for number in range(at, at + 500)]
            raw = await wire.stage.raw(b"".join(requests) + wire.request("/page", "Connection: close"))
            assert raw.count(b"HTTP/1.1 401 ") + raw.count(b"HTTP/1.1 405 ") == 501
        gc.collect()
        return sys.getallocatedblocks()

    before = await blocks_after(0, 2000)
    after = await blocks_after(2000, 22_000)
    assert after - before < 2000, f"{(after - before) / 20_000:.2f} objects stay of each request"


async def test_a_stranger_cannot_fill_the_memory_of_header_names(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"X-{number}-{'n' * (number % 2 * 900)}" for number in range(2700)]
    requests = [[f"{name}: v" for name in names[at : at + 90]] for at in range(0, len(names), 90)]
    for lines in tried(requests):
        assert (await wire.ask("/healthz", *lines)).status == 200
    with read_names(monkeypatch) as again:
        for lines in requests:
            assert (await wire.ask("/healthz", *lines)).status == 200
    remembered = {name.encode() for name in names} - set(again)
    assert 0 < len(remembered) <= 1024, "not read again the second time"
    assert sum(map(sys.getsizeof, remembered)) < 200 * KIB


async def test_a_body_for_an_answer_of_ours_is_not_read_to_its_end(wire: Wire) -> None:
    """A stranger's upload is refused at its head: 401, and the connection does not stay for the rest."""
    async with wire.connected() as (reader, writer), asyncio.timeout(20):
        writer.write(wire.request("/page", f"Content-Length: {1 << 40}", method="POST") + b"x" * KIB)
        raw = await reader.read()
    assert RawAnswer.read(raw).status == 401
    assert not wire.tool.heard


async def test_nothing_is_held_of_a_body_that_was_refused(wire: Wire) -> None:
    """Its connection stays for as long as more comes, or for a while."""
    head = wire.request("/page", f"Content-Length: {1 << 40}", "Connection: close", method="POST")
    upload = head + b"x" * 200 * KIB
    async with strangers(wire) as sockets:
        with counted() as held:
            for each in sockets:
                assert await sent(each, upload)
            for each in sockets:
                assert (await asyncio.get_running_loop().sock_recv(each, 12)) == b"HTTP/1.1 401"
            assert wire.stage.proxy.capacity.open == STRANGERS
            assert held.size < STRANGERS * 32 * KIB


async def test_a_body_that_would_inflate_passes_as_the_bytes_it_is(wire: Wire) -> None:
    """CVE-2025-69223: ten megabytes in ten kilobytes, on its way to the tool and back."""
    bomb = gzip.compress(bytes(10_000 * KIB))
    wire.tool.says = saying("Content-Encoding: gzip", body=bomb)
    answer = await wire.ask("/hook", "Content-Encoding: gzip", method="POST", body=bomb)
    assert wire.tool.heard[0].body == answer.body == bomb
    refused = await wire.ask("/page", "Content-Encoding: gzip", method="POST", body=bomb)
    assert refused.status == 401


async def test_a_flood_of_trailers_or_of_chunk_extensions_reaches_nobody(wire: Wire, editor: Login) -> None:
    trailers = b"0\r\n" + b"".join(b"X-%d: v\r\n" % n for n in range(5000)) + b"\r\n"
    extensions = b"1" + b";x=y" * 20_000 + b"\r\na\r\n0\r\n\r\n"
    for body in tried((trailers, extensions, b"1\r\na\r\n" * 5000 + trailers)):
        head = wire.request(
            "/page", "Transfer-Encoding: chunked", editor.cookie, "Connection: close", method="POST"
        )
        found = await wire.send(head + body)
        assert [answer.status for answer in found] in ([200], [400], [])
    assert not [heard for heard in wire.tool.heard if b"X-1" in heard.raw or b"x=y" in heard.raw + heard.body]
    assert (await wire.ask("/page", editor.cookie)).status == 200
