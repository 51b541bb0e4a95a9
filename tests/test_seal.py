import base64
import os
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_proxy.seal import SECRET_BYTES, Sealer, Unsealable

OLD, NEW = os.urandom(SECRET_BYTES), os.urandom(SECRET_BYTES)
LIMIT = 64 * 1024


@given(st.binary(max_size=5000), st.text(string.printable, max_size=60))
def test_what_is_sealed_opens_again(content: bytes, context: str) -> None:
    sealer = Sealer([NEW], "session")
    text = sealer.seal(content, context)
    assert set(text) <= set(string.ascii_letters + string.digits + "-_")
    assert sealer.open(text, context) == content


def test_two_seals_of_one_content_share_nothing_but_the_key_id() -> None:
    sealer = Sealer([NEW], "session")
    one, two = sealer.seal(b"the same"), sealer.seal(b"the same")
    assert one[:5] == two[:5]
    assert one[6:26] != two[6:26]
    assert one[26:] != two[26:]


def test_nothing_of_the_content_can_be_read_off_the_text() -> None:
    token = b"a-bearer-token-nobody-may-see"
    text = Sealer([NEW], "session").seal(token)
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert token not in raw
    assert token not in text.encode()


@pytest.mark.parametrize(("purpose", "context"), [("attempt", "name"), ("session", "other"), ("session", "")])
def test_a_text_opens_for_its_own_purpose_and_context_only(purpose: str, context: str) -> None:
    text = Sealer([NEW], "session").seal(b"content", "name")
    with pytest.raises(Unsealable):
        Sealer([NEW], purpose).open(text, context)
    assert Sealer([NEW], "session").open(text, "name") == b"content"


def test_every_key_of_the_ring_opens_and_the_first_one_seals() -> None:
    before, after, long_after = Sealer([OLD], "s"), Sealer([NEW, OLD], "s"), Sealer([NEW], "s")
    text = before.seal(b"content")
    assert after.open(text) == b"content"
    assert not after.is_current(text)
    sealed_again = after.seal(b"content")
    assert after.is_current(sealed_again)
    assert long_after.open(sealed_again) == b"content"
    with pytest.raises(Unsealable):
        long_after.open(text)


def test_one_changed_character_anywhere_makes_it_foreign() -> None:
    sealer = Sealer([NEW], "s")
    text = sealer.seal(b"content")
    for at, was in enumerate(text[:-1]):  # the last one may carry bits that stand for nothing
        changed = text[:at] + ("A" if was != "A" else "B") + text[at + 1 :]
        with pytest.raises(Unsealable):
            sealer.open(changed)


@given(st.text(max_size=200))
def test_whatever_was_not_sealed_by_us_does_not_open(text: str) -> None:
    with pytest.raises(Unsealable):
        Sealer([NEW], "s").open(text)


def test_the_failure_says_nothing_about_why() -> None:
    sealer = Sealer([NEW], "s")
    text = sealer.seal(b"content")
    for broken in ("", "é", "####", text[:-9], text[:20], "AAAA" + text[4:]):
        with pytest.raises(Unsealable) as told:
            sealer.open(broken)
        assert told.value.args == ()
        assert told.value.__cause__ is None


def test_content_is_bounded_when_sealed_and_when_opened() -> None:
    wide, narrow = Sealer([NEW], "s", limit=LIMIT), Sealer([NEW], "s", limit=1000)
    assert wide.open(wide.seal(b"a" * LIMIT)) == b"a" * LIMIT
    with pytest.raises(ValueError, match="1001"):
        narrow.seal(b"a" * 1001)
    with pytest.raises(Unsealable):
        narrow.open(wide.seal(b"a" * 1001))


def test_compressible_content_becomes_short_and_random_content_hardly_longer() -> None:
    sealer = Sealer([NEW], "s")
    assert len(sealer.seal(b"a" * 6000)) < 200
    assert len(sealer.seal(os.urandom(3000))) == -(-(3000 + 1 + 32) * 4 // 3)


@pytest.mark.parametrize("secrets", [[], [b"short"], [NEW, NEW[:31]]])
def test_a_ring_without_whole_keys_is_refused(secrets: list[bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(secrets, "s")


def test_a_key_is_not_in_the_repr() -> None:
    shown = repr(Sealer([NEW], "s"))
    assert NEW.hex() not in shown
    assert repr(NEW) not in shown
