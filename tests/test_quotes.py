"""What somebody else wrote, in our log: short, printable, and without our secrets however they come back."""

import errno
import html
import json
import os
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_proxy.quotes import LONGEST, of_system, quoted


def test_a_connection_that_failed_is_told_in_the_systems_words() -> None:
    asyncios = OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 24199)")
    assert of_system(asyncios) == os.strerror(errno.ECONNREFUSED)
    assert of_system(TimeoutError("no answer")) == "no answer"


SECRETS = [
    "a-plain-secret_0123456789.~",
    "with/slash:colon+plus%41percent",
    "with\"quotes'and\\backslashes\\n",
    "with<angle>&ampersands",
    "with spaces and é and \U0001f511",
    "base64+/and/padding==",
]
WRITINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in a form": quote_plus,
    "in a form, every character": lambda secret: quote_plus(secret, safe=""),
    "in an address": quote,
    "in an address, every character": lambda secret: quote(secret, safe=""),
    "in small hexadecimal": lambda secret: re.sub("%..", lambda code: code[0].lower(), quote_plus(secret)),
    "in JSON": json.dumps,
    "in PHP's JSON": lambda secret: json.dumps(secret).replace("/", "\\/"),
    "in JSON as it is": lambda secret: json.dumps(secret, ensure_ascii=False),
    "in Python": lambda secret: str({"field": secret}),
    "in a page": html.escape,
    "among others": lambda secret: urlencode({"a": "b", "token": secret, "c": "d"}),
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("writing", WRITINGS.values(), ids=WRITINGS)
def test_a_secret_is_struck_in_whatever_writing_it_comes_back(writing: Callable[[str], str], secret: str) -> None:
    quote_of_it = quoted(f"no such thing as {writing(secret)}, sorry", [secret])
    assert "…" in quote_of_it
    pieces = [secret[start : start + 8] for start in range(len(secret) - 8)]
    assert not [piece for piece in pieces if piece in quote_of_it]


def test_a_secret_within_another_leaves_nothing_of_the_other() -> None:
    assert quoted("id:secret", ["secret", "id:secret"]) == quoted("id:secret", ["id:secret", "secret"]) == "'…'"


def test_what_is_struck_is_struck_before_the_quote_is_cut() -> None:
    secret = "s" * 400
    assert "sss" not in quoted("x" * (LONGEST - 10) + secret, [secret])


def test_no_secret_is_no_reason_to_strike_anything() -> None:
    assert quoted("abc", ["", "z"]) == "'abc'"


@given(st.text() | st.integers() | st.none() | st.lists(st.text()), st.lists(st.text()))
def test_a_quote_is_one_printable_line_of_bearable_length(text: object, secrets: list[str]) -> None:
    line = quoted(text, secrets)
    assert line.isprintable()
    assert len(line) <= 10 * LONGEST + 2
