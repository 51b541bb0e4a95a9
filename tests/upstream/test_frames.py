"""Frame headers that are followed: against a second reading of the same bytes, cut anywhere."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Opcode
from websockets.protocol import Protocol, Side

from oauth_proxy.endings import Ending
from oauth_proxy.upstream.frames import MOST, Frames, close_frame


@dataclass(frozen=True)
class Sent:
    """A frame on the wire, its bytes up to the end of the length, and whether it is a Close."""

    wire: bytes
    head: int
    closes: bool


@st.composite
def frames(draw: st.DrawFn) -> Sent:
    """Any frame whatever its opcode and reserved bits; its length may be written longer than it need be."""
    first = draw(st.integers(0, 255))
    size = draw(st.integers(0, 130) | st.integers(65_530, 65_540) | st.just(0))
    widths = [width for width, most in ((0, 125), (2, 65_535), (8, 1 << 63)) if size <= most]
    width = draw(st.sampled_from(widths))
    is_masked = draw(st.booleans())
    short = {0: size, 2: 126, 8: 127}[width]
    head = bytes((first, short | (0x80 if is_masked else 0))) + (size.to_bytes(width, "big") if width else b"")
    mask = b"\x88\x7f\xff\x00" if is_masked else b""
    return Sent(head + mask + b"\x88" * size, len(head), first & 0x0F == 8)


@given(st.lists(frames(), max_size=12), st.data())
def test_it_knows_at_every_byte_whether_it_is_between_two_frames_and_whether_a_close_has_passed(
    sent: list[Sent], data: st.DataObject
) -> None:
    wire, ends, closes = b"", [0], []
    for frame in sent:
        if frame.closes:
            closes.append(len(wire) + frame.head)
        wire += frame.wire
        ends.append(len(wire))
    places = st.integers(0, len(wire)) | st.sampled_from(ends).flatmap(
        lambda end: st.integers(max(end - 11, 0), min(end + 11, len(wire)))
    )
    cuts = sorted({*data.draw(st.lists(places, max_size=20)), len(wire)})
    followed, at = Frames(), 0
    for cut in cuts:
        piece = wire[at:cut]
        next_end = min(end for end in ends if end >= at)
        assert followed.rest_of_frame(piece) == (next_end - at if next_end <= cut else None)
        assert followed.follow(piece)
        at = cut
        assert followed.between == (at in ends)
        assert followed.closed == any(place <= at for place in closes)
    assert followed.between


@given(st.lists(frames(), max_size=4))
def test_one_byte_at_a_time_is_followed_as_well(sent: list[Sent]) -> None:
    followed = Frames()
    for frame in sent:
        ends = len(frame.wire)
        middle = range(frame.head + 200, ends - 200)  # all its bytes are alike: they come in one piece
        for at in range(ends):
            if at not in middle:
                followed.follow(frame.wire[at : at + 1])
            elif at == middle.start:
                followed.follow(frame.wire[middle.start : middle.stop])
            assert followed.between == (at + 1 == ends)


def test_a_length_with_its_top_bit_set_never_comes_to_its_end() -> None:
    for masked in (0, 0x80):
        followed = Frames()
        followed.follow(bytes((0x82, masked | 127)) + b"\x80" + bytes(7))
        for _ in range(100):
            followed.follow(bytes(65_536))
            assert not followed.between


def test_many_small_frames_are_followed_some_at_a_time() -> None:
    count = MOST * 3 + 1
    followed = Frames()
    assert not followed.follow(b"\x82\x00" * count + b"\x88")
    assert not followed.between
    assert [followed.go_on() for _ in range(3)] == [False, False, True]
    assert not followed.between
    assert followed.follow(b"\x00")
    assert (followed.between, followed.closed) == (True, True)


def test_what_comes_before_the_rest_was_followed_is_followed_after_it() -> None:
    followed = Frames()
    assert not followed.follow(b"\x82\x00" * (MOST + 5) + b"\x82")
    assert not followed.follow(b"\x01a" + b"\x82\x00" * MOST)
    followed.to_the_end()
    assert (followed.between, followed.closed) == (True, False)


def test_our_close_frame_is_one_that_a_client_and_a_server_believe() -> None:
    ending = Ending(4401, "session ended: Sitzung läuft nicht mehr")
    for side, masked in ((Side.CLIENT, False), (Side.SERVER, True)):
        peer = Protocol(side)
        peer.receive_data(close_frame(ending, masked=masked))
        [frame] = peer.events_received()
        assert frame.opcode is Opcode.CLOSE  # type: ignore[union-attr]
        assert peer.close_rcvd == Close(*ending)
