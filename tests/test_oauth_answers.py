import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_proxy import oauth
from oauth_proxy.errors import (
    CodeRefused,
    GrantEnded,
    LoginRefused,
    ProviderNonsense,
    ProviderRefusedUs,
    ProviderUnavailable,
    ProxyError,
)
from oauth_proxy.identity import Tokens
from tests.support.units import NOW

TOKEN = "SECRET." + "t" * 60
REFRESH = "SECRET." + "r" * 60
HELD = Tokens("old-access", NOW - 3600, NOW, "old-refresh", "account.read")

GRANTED: dict[str, Any] = {
    "access_token": TOKEN,
    "expires_in": 3600,
    "refresh_token": REFRESH,
    "scope": "account.read offline",
    "token_type": "bearer",
}


def answer(**fields: object) -> bytes:
    return json.dumps({key: value for key, value in {**GRANTED, **fields}.items() if value is not ...}).encode()


def test_the_documented_answer_becomes_tokens() -> None:
    tokens = oauth.granted_tokens(200, answer(), now=NOW)
    assert tokens == Tokens(TOKEN, NOW, NOW + 3600, REFRESH, "account.read offline")
    assert "SECRET" not in repr(tokens)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"refresh_token": ...}, Tokens(TOKEN, NOW, NOW + 3600, None, "account.read offline")),
        ({"refresh_token": None}, Tokens(TOKEN, NOW, NOW + 3600, None, "account.read offline")),
        ({"expires_in": 3599}, Tokens(TOKEN, NOW, NOW + 3599, REFRESH, "account.read offline")),
        ({"expires_in": "3599"}, Tokens(TOKEN, NOW, NOW + 3599, REFRESH, "account.read offline")),
        ({"expires_in": 3599.5}, Tokens(TOKEN, NOW, NOW + 3599, REFRESH, "account.read offline")),
        ({"expires_in": ...}, Tokens(TOKEN, NOW, NOW + 3600, REFRESH, "account.read offline")),
        ({"expires_in": None}, Tokens(TOKEN, NOW, NOW + 3600, REFRESH, "account.read offline")),
        ({"token_type": "Bearer"}, Tokens(TOKEN, NOW, NOW + 3600, REFRESH, "account.read offline")),
        ({"token_type": ...}, Tokens(TOKEN, NOW, NOW + 3600, REFRESH, "account.read offline")),
        ({"scope": ...}, Tokens(TOKEN, NOW, NOW + 3600, REFRESH)),
        ({"scope": None}, Tokens(TOKEN, NOW, NOW + 3600, REFRESH)),
        ({"scope": ["account.read"]}, Tokens(TOKEN, NOW, NOW + 3600, REFRESH)),
        ({"scope": "x" * 2001}, Tokens(TOKEN, NOW, NOW + 3600, REFRESH)),
        ({"id_token": "x", "new": {"a": 1}}, Tokens(TOKEN, NOW, NOW + 3600, REFRESH, "account.read offline")),
    ],
)
def test_an_answer_may_vary_where_the_rfc_lets_it(fields: dict[str, object], expected: Tokens) -> None:
    assert oauth.granted_tokens(200, answer(**fields), now=NOW) == expected


def test_a_refresh_without_a_new_refresh_token_or_scope_keeps_the_ones_it_had() -> None:
    tokens = oauth.granted_tokens(200, answer(refresh_token=..., scope=...), now=NOW, previous=HELD)
    assert tokens == Tokens(TOKEN, NOW, NOW + 3600, "old-refresh", "account.read")


def test_a_refresh_takes_the_new_refresh_token() -> None:
    assert oauth.granted_tokens(200, answer(), now=NOW, previous=HELD).refresh == REFRESH


def refusal(error: str) -> bytes:
    return json.dumps({"error": error, "error_description": "Because.", "status_code": 400}).encode()


MALFORMED = [
    b"",
    b"\x00\xff",
    b"null",
    b"7",
    b'"' + TOKEN.encode() + b'"',
    b"[]",
    b"{}",
    b"<!doctype html><h1>Down for maintenance</h1>",
    b"access_token=" + TOKEN.encode() + b"&token_type=bearer",
    b'{"access_token": "' + TOKEN.encode(),
    b"[" * 100_000,
    b'{"access_token": "' + TOKEN.encode() + b'", "expires_in": 1e999}',
    b'{"access_token": "' + TOKEN.encode() + b'", "expires_in": NaN}',
    b'{"access_token": "' + TOKEN.encode() + b'", "expires_in": ' + b"1" * 5000 + b"}",
    answer(access_token=...),
    answer(access_token=None),
    answer(access_token=""),
    answer(access_token=7),
    answer(access_token=[TOKEN]),
    answer(access_token=f"{TOKEN} {TOKEN}"),
    answer(access_token=f"{TOKEN}\r\nX-Forged: 1"),
    answer(access_token=f"{TOKEN}\u00e9"),
    answer(access_token=f"{TOKEN}\ud800"),
    answer(access_token="x" * 30_001),
    answer(refresh_token=""),
    answer(refresh_token=7),
    answer(refresh_token=f"{REFRESH}\n"),
    answer(expires_in=0),
    answer(expires_in=0.5),
    answer(expires_in=-1),
    answer(expires_in=10**30),
    answer(expires_in="soon"),
    answer(expires_in=[3600]),
    answer(expires_in={}),
    answer(token_type="mac"),
    answer(token_type=None),
    answer(token_type=["bearer"]),
    answer(error="surprise"),
    answer(error=None),
    answer(error=7),
    answer(error={}),
    answer(error=["invalid_grant"]),
    refusal("invalid_request"),
    refusal("x" * 100_000),
]


@pytest.mark.parametrize("previous", [None, HELD], ids=["exchange", "refresh"])
@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: repr(body[:40]))
def test_a_malformed_answer_is_nonsense_and_the_failure_tells_no_token(
    body: bytes, previous: Tokens | None
) -> None:
    with pytest.raises(ProxyError) as caught:
        oauth.granted_tokens(200, body, now=NOW, previous=previous)
    assert type(caught.value) is ProviderNonsense
    assert "SECRET" not in f"{caught.value!r} {caught.value}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert len(caught.value.cause) < 700


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (400, refusal("invalid_grant"), CodeRefused),
        (401, refusal("invalid_client"), ProviderRefusedUs),
        (400, refusal("invalid_client"), ProviderRefusedUs),
        (400, refusal("unauthorized_client"), ProviderRefusedUs),
        (400, refusal("unsupported_grant_type"), ProviderRefusedUs),
        (400, refusal("invalid_scope"), ProviderRefusedUs),
        (400, refusal("invalid_request"), ProviderNonsense),
        (400, b"no JSON", ProviderNonsense),
        (404, b"", ProviderNonsense),
        (201, answer(), ProviderNonsense),
        (204, b"", ProviderNonsense),
        (302, b"", ProviderNonsense),
        (401, answer(), ProviderNonsense),
    ],
)
def test_a_status_and_an_error_say_together_what_failed(
    status: int, body: bytes, failure: type[ProxyError]
) -> None:
    with pytest.raises(ProxyError) as caught:
        oauth.granted_tokens(status, body, now=NOW)
    assert type(caught.value) is failure
    assert str(status) in caught.value.cause


@pytest.mark.parametrize(
    "error",
    ["invalid_grant", "invalid_token", "access_denied", "ride_AdobeID_acct_actreq", "ride_AdobeID_acct_terms"],
)
def test_what_only_a_new_login_can_mend_ends_the_grant_that_was_being_refreshed(error: str) -> None:
    for status in (400, 401, 403):
        with pytest.raises(GrantEnded, match=rf"{error}' 'Because\."):
            oauth.granted_tokens(status, refusal(error), now=NOW, previous=HELD)
        with pytest.raises(CodeRefused):
            oauth.granted_tokens(status, refusal(error), now=NOW)


def test_a_provider_that_repeats_our_secrets_in_its_error_does_not_put_them_into_ours() -> None:
    body = json.dumps({"error": "invalid_grant", "error_description": "No code c0de-c0de for v3rifier."}).encode()
    with pytest.raises(CodeRefused) as caught:
        oauth.granted_tokens(400, body, now=NOW, sent=("c0de-c0de", "v3rifier"))
    assert "No code … for …." in caught.value.cause


@pytest.mark.parametrize("key", ["error", "error_description"])
@pytest.mark.parametrize("nests", ["[", '{"a":'])
def test_an_error_nested_as_deep_as_can_be_read_is_a_named_failure(key: str, nests: str) -> None:
    """What JSON's reader bears, Python's repr does not always: the answer takes a place between the two."""
    closes = "]" if nests == "[" else "}"
    for depth in range(500, 1100):
        nested = f"{nests * depth}1{closes * depth}"
        body = json.dumps({"error": "x", key: "HERE"}).replace('"HERE"', nested).encode()
        with pytest.raises(ProviderNonsense):
            oauth.granted_tokens(400, body, now=NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
ANSWERS = st.fixed_dictionaries({}, optional={key: st.just(value) | JSON for key, value in GRANTED.items()}) | (
    st.dictionaries(st.sampled_from([*GRANTED, "error", "error_description", "error_uri", "expires_at"]), JSON)
)
BODIES = (
    st.binary()
    | JSON.map(json.dumps).map(str.encode)
    | ANSWERS.map(json.dumps).map(str.encode)
    | st.builds(lambda body, at: body[:at], st.just(answer()), st.integers(0, 200))
)


@given(st.sampled_from([200, 201, 302, 400, 401, 403]), BODIES, st.sampled_from([None, HELD]))
def test_any_bytes_become_usable_tokens_or_a_named_failure(
    status: int, body: bytes, previous: Tokens | None
) -> None:
    with suppress(LoginRefused, ProviderUnavailable):
        tokens = oauth.granted_tokens(status, body, now=NOW, previous=previous)
        assert status == 200
        assert tokens.access.isascii()
        assert tokens.access.isprintable()
        assert " " not in tokens.access
        assert NOW < tokens.expires_at <= NOW + 366 * 24 * 3600


def test_an_error_is_quoted_with_ory_hydras_hint_and_without_the_tokens_that_came_with_it() -> None:
    hint = "h" * 400
    body = json.dumps(
        {**GRANTED, "error": "server_error", "error_description": f"Stored {TOKEN}.", "error_hint": hint + REFRESH}
    ).encode()
    for status in (200, 400):
        with pytest.raises(ProviderNonsense) as caught:
            oauth.granted_tokens(status, body, now=NOW)
        assert f"'server_error' 'Stored ….' '{hint}…'" in caught.value.cause


@pytest.mark.parametrize(
    "body", [b"<h1>Blocked by policy 42 for SECRET</h1>", b'["Blocked by policy 42", "SECRET"]']
)
def test_an_error_that_is_no_json_object_is_quoted_and_a_success_that_is_none_is_not(body: bytes) -> None:
    with pytest.raises(ProviderNonsense, match=r"403 .*policy 42.*…"):
        oauth.granted_tokens(403, body, now=NOW, sent=["SECRET"])
    with pytest.raises(ProviderNonsense) as caught:
        oauth.granted_tokens(200, body, now=NOW)
    assert "42" not in caught.value.cause


def test_how_long_a_token_lives_whose_answer_does_not_say_is_for_the_provider_to_know() -> None:
    tokens = oauth.granted_tokens(200, answer(expires_in=...), now=NOW, lifetime=86_400)
    assert tokens.expires_at == NOW + 86_400
