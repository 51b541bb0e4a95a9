from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_proxy import oauth
from oauth_proxy.errors import ConsentRefused, LoginRefused, ProviderUnavailable, ProxyError
from oauth_proxy.oauth import Attempt, Client
from tests.support.provider import STATE
from tests.support.units import NOW

WITH_SECRET = Client(
    "studio", "https://review.example.com/oauth2/callback", ("offline", "account.read"), "s3cret/+%"
)
PKCE = Client("studio", "https://review.example.com/oauth2/callback", ("offline", "account.read"))


def authorization_query(url: str) -> dict[str, str]:
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs), "a parameter is repeated"
    return dict(pairs)


# The authorization request


def test_the_authorization_url_has_the_parameters_of_rfc_6749_and_an_s256_challenge() -> None:
    attempt = Attempt.start(STATE, NOW)
    url = oauth.authorization_url("https://login.example.com/oauth2/auth", PKCE, STATE, attempt, {})
    assert url.startswith("https://login.example.com/oauth2/auth?")
    query = authorization_query(url)
    assert len(query.pop("code_challenge")) == 43
    assert query == {
        "response_type": "code",
        "client_id": "studio",
        "redirect_uri": "https://review.example.com/oauth2/callback",
        "scope": "offline account.read",
        "state": STATE,
        "code_challenge_method": "S256",
    }
    assert attempt.verifier not in url


def test_the_challenge_is_the_one_of_rfc_7636_appendix_b() -> None:
    attempt = Attempt("", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", NOW)
    query = authorization_query(oauth.authorization_url("https://a.example/", PKCE, STATE, attempt, {}))
    assert query["code_challenge"] == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_a_secret_app_sends_a_challenge_too_and_no_secret() -> None:
    attempt = Attempt.start(STATE, NOW)
    url = oauth.authorization_url("https://a.example/", WITH_SECRET, STATE, attempt, {})
    assert authorization_query(url)["code_challenge_method"] == "S256"
    assert not {"client_secret", "code_verifier"} & set(authorization_query(url))


def test_an_endpoint_keeps_its_own_query_and_takes_extra_parameters() -> None:
    url = oauth.authorization_url(
        "https://a.example/auth?tenant=studio", PKCE, STATE, Attempt.start(STATE, NOW), {"prompt": "login"}
    )
    query = authorization_query(url)
    assert query["tenant"] == "studio"
    assert query["prompt"] == "login"


@given(st.text(min_size=1, max_size=50), st.lists(st.from_regex(r"[!#-\[\]-~]{1,9}", fullmatch=True), min_size=1))
def test_whatever_the_client_is_called_its_parameters_arrive_as_they_are(name: str, scopes: list[str]) -> None:
    client = Client(name, "https://a.example/oauth2/callback", tuple(scopes))
    url = oauth.authorization_url("https://a.example/auth", client, STATE, Attempt.start(STATE, NOW), {})
    query = authorization_query(url)
    assert query["client_id"] == name
    assert query["scope"] == " ".join(scopes)


# The attempt


def test_two_attempts_share_no_verifier_and_a_verifier_has_rfc_7636s_form() -> None:
    verifiers = {Attempt.start(STATE, NOW).verifier for _ in range(50)}
    assert len(verifiers) == 50
    assert all(len(each) == 64 and set(each) <= set(VERIFIER_CHARACTERS) for each in verifiers)


VERIFIER_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


def test_an_attempt_comes_back_from_its_encoding_and_its_repr_tells_nothing() -> None:
    attempt = Attempt.start(STATE, NOW)
    assert Attempt.decode(attempt.encode()) == attempt
    assert STATE.encode() not in attempt.encode()
    assert attempt.verifier not in repr(attempt)
    assert attempt.state_digest not in repr(attempt)


@pytest.mark.parametrize("other", ["", STATE[:-1], STATE + "x", STATE.upper(), " " + STATE, "\udcff", "é"])
def test_an_attempt_goes_with_its_own_state_only(other: str) -> None:
    attempt = Attempt.start(STATE, NOW)
    assert attempt.goes_with(STATE)
    assert not attempt.goes_with(other)


@pytest.mark.parametrize(
    ("age", "live"), [(0, True), (900, True), (901, False), (1e9, False), (-60, True), (-61, False)]
)
def test_an_attempt_lives_for_fifteen_minutes_and_a_minute_of_clock_skew(age: float, live: bool) -> None:
    assert Attempt.start(STATE, NOW).is_live(NOW + age) is live


# The callback


def callback(query: str) -> str:
    return oauth.redeemable_code(parse_qs(query, keep_blank_values=True))


def test_a_callback_gives_its_code_and_unknown_parameters_are_ignored() -> None:
    assert callback("code=c0de.x_y-z&state=s&scope=offline+account.read&iss=https%3A%2F%2Fx&new=1") == "c0de.x_y-z"


@pytest.mark.parametrize(
    ("query", "failure"),
    [
        ("", LoginRefused),
        ("code=", LoginRefused),
        ("code=a&code=b", LoginRefused),
        ("code=a&code=a", LoginRefused),
        ("code=a%20b", LoginRefused),
        ("code=a%0d%0aSet-Cookie:x", LoginRefused),
        ("code=%00", LoginRefused),
        ("code=%C3%A9", LoginRefused),
        ("code=%FF", LoginRefused),
        ("code=" + "x" * 30_001, LoginRefused),
        ("error=access_denied", ConsentRefused),
        ("error=access_denied&code=stolen", ConsentRefused),
        ("error=access_denied&error=access_denied", LoginRefused),
        ("error=", LoginRefused),
        ("error=invalid_scope&error_description=Unknown+scope", LoginRefused),
        ("error=invalid_request", LoginRefused),
        ("error=unauthorized_client", LoginRefused),
        ("error=unsupported_response_type", LoginRefused),
        ("error=login_required", LoginRefused),
        ("error=%0d%0a2027-01-01 ERROR forged", LoginRefused),
        ("error=server_error", ProviderUnavailable),
        ("error=temporarily_unavailable", ProviderUnavailable),
        ("error=" + "x" * 60_000, LoginRefused),
        ("error=x&error_description=" + "y" * 60_000, LoginRefused),
    ],
)
def test_a_callback_without_a_usable_code_is_the_failure_it_names(query: str, failure: type[ProxyError]) -> None:
    with pytest.raises(ProxyError) as caught:
        callback(query)
    assert type(caught.value) is failure
    assert len(caught.value.cause) < 500
    assert "\n" not in caught.value.cause


@given(st.dictionaries(st.sampled_from(["code", "error", "error_description", "state"]), st.lists(st.text())))
def test_any_callback_ends_in_a_code_or_a_named_failure(query: Mapping[str, list[str]]) -> None:
    with suppress(LoginRefused, ProviderUnavailable):
        assert [oauth.redeemable_code(query)] == query["code"]


# The token request


def form(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs), "a parameter is repeated"
    return dict(pairs)


def test_a_secret_app_redeems_a_code_without_naming_itself_in_the_body() -> None:
    assert form(oauth.code_request(WITH_SECRET, "c0de", "the-verifier")) == {
        "grant_type": "authorization_code",
        "code": "c0de",
        "redirect_uri": "https://review.example.com/oauth2/callback",
        "code_verifier": "the-verifier",
    }


def test_a_pkce_app_names_itself_in_the_body() -> None:
    assert form(oauth.code_request(PKCE, "c0de", "the-verifier")) == {
        "grant_type": "authorization_code",
        "code": "c0de",
        "redirect_uri": "https://review.example.com/oauth2/callback",
        "code_verifier": "the-verifier",
        "client_id": "studio",
    }


def test_a_refresh_names_no_scope_of_its_own() -> None:
    asked = {"grant_type": "refresh_token", "refresh_token": "r"}
    assert form(oauth.refresh_request(WITH_SECRET, "r")) == asked
    assert form(oauth.refresh_request(PKCE, "r")) == {**asked, "client_id": "studio"}


def test_a_refresh_asks_for_no_more_than_was_granted() -> None:
    assert form(oauth.refresh_request(PKCE, "r", "account.read"))["scope"] == "account.read"


@given(st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1))
def test_a_code_or_token_of_any_characters_arrives_as_it_is(token: str) -> None:
    assert form(oauth.code_request(PKCE, token, "v"))["code"] == token
    assert form(oauth.refresh_request(PKCE, token))["refresh_token"] == token


def test_a_client_keeps_its_secret_out_of_its_repr() -> None:
    assert "s3cret" not in repr(WITH_SECRET)
