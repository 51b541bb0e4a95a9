"""Secrets that are, and secrets that only look like it."""

import base64
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_proxy.settings.keys import issued, session_secret
from oauth_proxy.settings.problems import Refused

CHANCE = Random(1)  # noqa: S311 the same in every process, so that each finds the same tests


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


@given(st.randoms(use_true_random=True))
def test_random_bytes_are_accepted_in_every_spelling_of_base64(random: Random) -> None:
    content = random.randbytes(32)
    standard, urlsafe = b64(content), base64.urlsafe_b64encode(content).decode("ascii")
    for text in (standard, urlsafe, standard.rstrip("="), urlsafe.rstrip("=")):
        assert session_secret(text) == content


@pytest.mark.parametrize(
    ("text", "length"),
    [("changeme", 6), (b64(b"x" * 31), 31), (b64(b"x" * 33), 33), (CHANCE.randbytes(32).hex(), 48)],
)
def test_a_secret_of_another_length_is_refused_with_its_length(text: str, length: int) -> None:
    with pytest.raises(Refused, match=f"32 random bytes in base64, and this is {length};"):
        session_secret(text)


@pytest.mark.parametrize("text", ["s3cret!", "a b", "a", "é", "${OAUTH_PROXY_SECRET}", "="])
def test_a_secret_that_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="a session secret is 32 random bytes in base64"):
        session_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        b64(bytes(32)),
        b64(b"\xff" * 32),
        b64(bytes(range(32))),
        b64(bytes(range(64, 0, -2))),
        b64(CHANCE.randbytes(16) * 2),
        b64(CHANCE.randbytes(4) * 8),
        b64(b"this secret was made by a person"),
        "changeme" * 5 + "cha",
        "this_is_the_secret_of_our_proxy_do_not_tell",
        "THIS_IS_THE_SECRET_OF_OUR_PROXY_DO_NOT_TELL",
    ],
)
def test_a_secret_that_somebody_thought_up_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="can be guessed, because it is not random; `oauth-proxy secret` prints"):
        session_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "changeme",
        "change-me-please",
        "CHANGE_ME",
        "replace this",
        "your-client-secret",
        "<secret>",
        "xxxxxx",
        "...",
        "…",
        "TODO",
        "example",
    ],
)
def test_a_placeholder_is_not_what_frame_io_issued(text: str) -> None:
    with pytest.raises(Refused, match=r"this is a placeholder; Frame.io shows the real one"):
        issued(text)


@pytest.mark.parametrize("text", ["two words", "a\nb", "\u201cquoted\u201d", "a" * 1001])
def test_a_badly_pasted_secret_is_refused(text: str) -> None:
    with pytest.raises(Refused, match=r"this is not what Frame.io issues"):
        issued(text)


def test_an_issued_secret_is_kept_as_it_is() -> None:
    assert issued("p8e-Xy_~.AbC123") == "p8e-Xy_~.AbC123"
