import gc
import json
import os
import tracemalloc
from collections.abc import Iterable

import pytest

from oauth_proxy import requests
from oauth_proxy.requests import HeaderCache, RequestHeaders
from tests.support.browser import Visitor
from tests.support.proxy import Stage
from tests.support.units import MIB


async def test_lines_of_the_signed_in_are_read_once(
    stage: Stage, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await visitor.login(f"{stage.url}/echo")
    cookie = visitor.cookie_line(stage.url)
    read: list[object] = []
    begin = requests.RequestHeaders.__init__

    def counting(self: requests.RequestHeaders, *args: object) -> None:
        read.append(args[0])
        begin(self, *args)  # type: ignore[arg-type]  # whatever it is called with

    monkeypatch.setattr(requests.RequestHeaders, "__init__", counting)
    for more in ("X-One: 1", "X-One: 2", "X-One: 1", "X-One: 2"):
        answer = await stage.ask("/echo", cookie, more)
        assert ["X-One", more[-1]] in json.loads(answer.body)["headers"]
    assert len(read) == 2
    for _ in range(2):
        assert (await stage.ask("/echo", "Cookie: oauth_proxy=1.strange")).status == 401
    assert len(read) == 4, "nothing is remembered of strangers"


def remembered(readings: HeaderCache, parsed: Iterable[RequestHeaders]) -> list[RequestHeaders]:
    """Those of them that are not parsed again when their lines come again."""
    return [sent for sent in parsed if readings.read(tuple(sent.lines)) is sent]


def test_the_memory_of_lines_is_bounded() -> None:
    readings = HeaderCache()
    parsed = [readings.read(((b"Cookie", os.urandom(8000)),)) for _ in range(1000)]
    for sent in parsed:
        sent.remember()
    held = sum(sent.size for sent in remembered(readings, parsed))
    assert 4 * MIB < held <= 8 * MIB


def test_remembered_lines_weigh_what_they_take() -> None:
    memory = []
    for _ in range(2):  # at first with what is made once only
        readings = HeaderCache()
        gc.collect()  # small objects that Python keeps for the next one are traced no more
        tracemalloc.start()
        for _ in range(1200):  # more than there is room for
            sent = readings.read(tuple((os.urandom(12).hex().encode(), os.urandom(60)) for _ in range(12)))
            sent.remember()
            sent.remember_rewritten("upstream", None, ("192.0.2.7",), os.urandom(3000))
        memory.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert 0.9 < memory[1] / (8 * MIB) < 1.05


def test_the_newest_lines_are_remembered_although_much_was_written_for_them() -> None:
    readings, parsed = HeaderCache(), []
    for number in range(200):
        lines = ((b"Cookie", b"%d" % number),)
        sent = readings.read(lines)
        parsed.append(sent)
        sent.remember()
        sent.remember_rewritten("upstream", None, (), os.urandom(100_000))
        assert readings.read(lines) is sent
    kept = remembered(readings, parsed)
    held = sum(len(written) for sent in kept for _, _, written in sent.rewritten.values())
    assert 4 * MIB < held <= 8 * MIB


def test_remembering_twice_counts_once() -> None:
    readings = HeaderCache()
    lines = ((b"Cookie", b"a=b"),)
    first = readings.read(lines)
    second = readings.read(lines)
    first.remember()
    first.remember()
    assert readings.read(lines) is first
    second.remember()  # two requests were under way with the same lines
    assert readings.read(lines) is second


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        (["192.0.2.7"], "192.0.2.7"),
        (["192.0.2.7", "10.0.0.1"], "192.0.2.7"),
        (["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        (["2001:db8:1:2::"], "2001:db8:1:2::/64"),
        (["::ffff:192.0.2.7"], "192.0.2.7"),
        (["fe80::1%eth0"], "fe80::/64"),
        ([], ""),
    ],
)
def test_strangers_are_counted_by_address_and_by_the_64_that_one_customer_has(
    chain: list[str], client: str
) -> None:
    request = requests.Request.__new__(requests.Request)
    request.chain = chain
    assert request.client == client
