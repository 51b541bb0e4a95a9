"""Session secrets that are random, and those that are not."""

import base64
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_proxy.settings.problems import Refused
from oauth_proxy.settings.session import parse_session_secret

CHANCE = Random(1)  # noqa: S311 the same in every process, so that each finds the same tests


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


@given(st.randoms(use_true_random=True))
def test_random_bytes_are_accepted_in_every_spelling_of_base64(random: Random) -> None:
    content = random.randbytes(32)
    standard, urlsafe = b64(content), base64.urlsafe_b64encode(content).decode("ascii")
    for text in (standard, urlsafe, standard.rstrip("="), urlsafe.rstrip("=")):
        assert parse_session_secret(text) == content


@pytest.mark.parametrize(
    ("text", "length"),
    [("changeme", 6), (b64(b"x" * 31), 31), (b64(b"x" * 33), 33)],
)
def test_a_secret_of_another_length_is_refused_with_its_length(text: str, length: int) -> None:
    with pytest.raises(Refused, match=f"32 random bytes in base64, and this is {length};"):
        parse_session_secret(text)


def test_a_secret_in_hexadecimal_is_told_as_that() -> None:
    with pytest.raises(Refused, match="and this is hexadecimal; `oauth-proxy secret` prints a good one"):
        parse_session_secret(CHANCE.randbytes(32).hex())


@pytest.mark.parametrize("text", ["s3cret!", "a b", "a", "é", "${OAUTH_PROXY_SECRET}", "="])
def test_a_secret_that_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="a session secret is 32 random bytes in base64"):
        parse_session_secret(text)


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
        parse_session_secret(text)
