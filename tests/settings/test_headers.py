"""Headers for the tool: what is read, and what is refused."""

import pytest

from oauth_proxy.settings.headers import parse_header_name, parse_header_template, placeholders
from oauth_proxy.settings.problems import Refused


@pytest.mark.parametrize("name", ["Authorization", "X-Forwarded-User", "X_Studio"])
def test_a_header_for_the_tool_is_a_token(name: str) -> None:
    assert parse_header_name(name) == name


@pytest.mark.parametrize("name", ["X Studio", "X:", "", "X-\r\nEvil", "Ü", "X-(a)"])
def test_a_header_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="a header name is letters, digits and '-'"):
        parse_header_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "transfer-encoding",
        "Transfer_Encoding",
        "CONTENT-LENGTH",
        "Host",
        "Cookie",
        "Upgrade",
        "TE",
        "Trailer",
        "Expect",
        "Keep-Alive",
        "Proxy-Connection",
    ],
)
def test_a_header_that_frames_the_message_cannot_be_set(name: str) -> None:
    with pytest.raises(Refused, match="belongs to the connection"):
        parse_header_name(name)


@pytest.mark.parametrize("name", ["X-Forwarded-For", "x_forwarded_proto", "X-Forwarded-Host", "Forwarded"])
def test_a_header_that_the_proxy_writes_cannot_be_set(name: str) -> None:
    with pytest.raises(Refused, match="written by the proxy itself"):
        parse_header_name(name)


def test_a_template_names_what_it_wants_to_know() -> None:
    text = "{name} <{email}>; account={account_id}"
    assert parse_header_template(text) == text
    assert placeholders(text) == {"name", "email", "account_id"}


def test_an_assertion_stands_alone_or_behind_a_word() -> None:
    for text in ("{assertion}", "Bearer {assertion}"):
        assert parse_header_template(text) == text


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("Bearer {token}", None),
        ("Bearer {acess_token}", "{access_token}"),
        ("{Email}", "{email}"),
        ("{handel}", "{handle}"),
        ("{assertions}", "{assertion}"),
        ("{id} {assertion}", None),
        ("{email!r}", None),
        ("{email.__class__}", None),
        ("{0}", None),
        ("{}", None),
        ("{{email}", None),
        ("{email}}", None),
        ("{{email}}", None),
        ("}{", None),
        ("a\r\nX-Evil: b", None),
        ("a\x00b", None),
        (" a", None),
        ("a\t", None),
        ("Grüße {name}", None),
        ("", None),
    ],
)
def test_a_template_that_asks_for_something_else_is_refused(text: str, suggestion: str | None) -> None:
    with pytest.raises(Refused) as refused:
        parse_header_template(text)
    if suggestion:
        assert refused.value.suggestion == suggestion
