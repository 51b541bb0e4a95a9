"""Answers read without a socket: however their bytes are cut into pieces, they say the same."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_proxy.errors import UpstreamNonsense
from oauth_proxy.upstream.reader import ResponseReader

INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
Framing = Callable[[list[bytes]], bytes]
BODIES = st.lists(st.binary(min_size=1, max_size=40), max_size=5)
CUTS = st.lists(st.integers(min_value=1, max_value=60), min_size=1, max_size=8)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data cut after so many bytes each, over and over."""
    cut: list[bytes] = []
    at = 0
    while at < len(data):
        size = cuts[len(cut) % len(cuts)]
        cut.append(data[at : at + size])
        at += size
    return cut


def by_length(body: list[bytes]) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(b"".join(body)) + b"".join(body)


def by_chunks(body: list[bytes]) -> bytes:
    chunks = b"".join(b"%x;ext\r\n%b\r\n" % (len(chunk), chunk) for chunk in body)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nX-Trailer: 1\r\n\r\n"


def by_close(body: list[bytes]) -> bytes:
    return b"HTTP/1.1 200 OK\r\n\r\n" + b"".join(body)


FRAMINGS = st.sampled_from([by_length, by_chunks, by_close])


def a_reader() -> ResponseReader:
    reader = ResponseReader()
    reader.expect(to_head=False, upgrading=False)
    return reader


@given(framing=FRAMINGS, bodies=st.lists(BODIES, min_size=1, max_size=3), cuts=CUTS, interim=st.booleans())
def test_an_answer_is_the_same_however_it_is_cut(
    framing: Framing, bodies: list[list[bytes]], cuts: list[int], interim: bool
) -> None:
    reader = a_reader()
    for body in bodies:
        reader.expect(to_head=False, upgrading=False)
        heard = []
        for piece in pieces(INTERIM * interim + framing(body), cuts):
            assert not reader.complete or not piece
            reader.feed(piece)
            heard += reader.take()
        assert b"".join(heard) == b"".join(body)
        assert reader.head is not None
        assert reader.head.status == 200
        assert reader.complete == (framing is not by_close)
        if framing is by_close:
            assert reader.end()
            return
        assert not reader.buffered


@given(framing=st.sampled_from([by_length, by_chunks]), body=BODIES, cuts=CUTS)
def test_whatever_follows_is_refused_and_the_answer_stands(
    framing: Framing, body: list[bytes], cuts: list[int]
) -> None:
    reader = a_reader()
    answer = framing(body)
    *early, last = pieces(answer, cuts)
    heard = []
    for piece in early:
        reader.feed(piece)
        heard += reader.take()
    with pytest.raises(UpstreamNonsense):
        reader.feed(last + by_length([b"somebody else's"]))
    heard += reader.take()
    assert reader.complete
    assert b"".join(heard) == b"".join(body)


@given(framing=st.sampled_from([by_length, by_chunks]), body=BODIES, cuts=CUTS, data=st.data())
def test_half_an_answer_is_never_complete(
    framing: Framing, body: list[bytes], cuts: list[int], data: st.DataObject
) -> None:
    reader = a_reader()
    answer = framing(body)
    half = answer[: data.draw(st.integers(min_value=0, max_value=len(answer) - 1))]
    for piece in pieces(half, cuts):
        reader.feed(piece)
    assert not reader.end()


@given(place=st.integers(min_value=0), byte=st.integers(min_value=0, max_value=255), cuts=CUTS)
def test_one_wrong_byte_is_refused_or_kept_within_its_line(place: int, byte: int, cuts: list[int]) -> None:
    """No change of a single byte makes a head pass that holds a control, a stray line end or two lengths."""
    answer = bytearray(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 3\r\nX-B: 2\r\n\r\nabc")
    answer[place % len(answer)] = byte
    reader = a_reader()
    try:
        for piece in pieces(bytes(answer), cuts):
            reader.feed(piece)
    except UpstreamNonsense:
        return
    if reader.head is not None:
        for line in (reader.head.first.reason, *reader.head.lines):
            assert not set(line) & (set(range(9)) | set(range(10, 32)) | {127})
        assert all(b":" in line for line in reader.head.lines)
