from ipaddress import ip_network

import pytest

from oauth_proxy.errors import TokenMalformed
from oauth_proxy.headers import (
    Fields,
    Line,
    ToolHeaders,
    TrustedProxies,
    bearer_token,
    brings_token,
    connection_options,
    is_navigation,
    one_line,
)
from tests.support.header_names import read_names

TEMPLATES = {
    "Authorization": "Bearer {access_token}",
    "X-Forwarded-User": "{id}",
    "X-Forwarded-Email": "{email}",
    "X_Team": "team {account_id}!",
}
HEADERS = ToolHeaders(TEMPLATES)
FIELDS = {"access_token": "t0ken", "id": "u1", "email": "a@b.example", "account_id": "acc"}


def test_ordinary_lines_cross_in_order_with_their_spelling_and_their_repetitions() -> None:
    sent: list[Line] = [
        (b"Accept", b"a"),
        (b"x-CUSTOM", b"1"),
        (b"Accept", b"b"),
        (b"X-Custom", b"2"),
        (b"x_other", b"\xff"),
        (b"Content-Type", b"text/plain"),
    ]
    assert HEADERS.crossing(Fields(sent)) == sent


@pytest.mark.parametrize(
    "name",
    [
        b"Authorization",
        b"AUTHORIZATION",
        b"X-Forwarded-User",
        b"X_Forwarded_User",
        b"x-forwarded_user",
        b"X-Forwarded-Email",
        b"X-Team",
        b"x_team",
        b"X-Forwarded-For",
        b"X_Forwarded_For",
        b"X-Forwarded-Groups",
        b"X-Forwarded-Access-Token",
        b"X-Forwarded-Uri",
        b"X-Forwarded-Prefix",
        b"X-Auth-Request-User",
        b"X_Auth_Request_Email",
        b"X-Real-IP",
        b"X-Original-URL",
        b"X-Rewrite-URL",
        b"X-Request-Id",
        b"X-HTTP-Method-Override",
        b"Forwarded",
        b"Host",
        b"Cookie",
        b"Connection",
        b"Keep-Alive",
        b"Proxy-Connection",
        b"Proxy-Authorization",
        b"TE",
        b"Trailer",
        b"Transfer-Encoding",
        b"Transfer_Encoding",
        b"Content-Length",
        b"Expect",
        b"Upgrade",
    ],
)
def test_a_line_that_speaks_for_somebody_else_does_not_cross_in_any_spelling(name: bytes) -> None:
    beside: list[Line] = [(b"Accept", b"a"), (b"X-Team-Name", b"b")]
    assert HEADERS.crossing(Fields([beside[0], (name, b"forged"), (name, b"again"), beside[1]])) == beside


def test_a_line_named_in_connection_does_not_cross() -> None:
    sent: list[Line] = [
        (b"Connection", b"keep-alive, X-Secret"),
        (b"connection", b"x_odd ,Accept"),
        (b"X-Secret", b"1"),
        (b"x_odd", b"2"),
        (b"Accept", b"3"),
        (b"X-Kept", b"4"),
    ]
    assert HEADERS.crossing(Fields(sent)) == [(b"X-Kept", b"4")]
    assert connection_options(Fields(sent)) == {b"keep-alive", b"x-secret", b"x_odd", b"accept"}


def test_without_authorization_among_ours_the_visitors_own_crosses() -> None:
    own = ToolHeaders({"X-Forwarded-User": "{id}"})
    line = (b"Authorization", b"Basic the tool's own")
    assert own.crossing(Fields([line, (b"X-Forwarded-User", b"forged")])) == [line]


def test_ours_are_filled_in() -> None:
    assert HEADERS.ours(FIELDS) == [
        (b"Authorization", b"Bearer t0ken"),
        (b"X-Forwarded-User", b"u1"),
        (b"X-Forwarded-Email", b"a@b.example"),
        (b"X_Team", b"team acc!"),
    ]


def test_a_line_with_nothing_to_say_is_left_out_and_the_forged_one_is_struck_all_the_same() -> None:
    assert (b"X-Forwarded-Email", b"") not in HEADERS.ours({**FIELDS, "email": ""})
    assert len(HEADERS.ours({**FIELDS, "email": ""})) == 3
    assert HEADERS.crossing(Fields([(b"X-Forwarded-Email", b"forged@b.example")])) == []


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("a@b.example\r\nX-Admin: 1", b"a@b.example X-Admin: 1"),
        ("a\x00b", b"a b"),
        (" a ", b"a"),
        ("Zoë", "Zoë".encode()),
        ("{id} {access_token}", b"{id} {access_token}"),
        ("\udc80", b"?"),
    ],
)
def test_a_profile_cannot_begin_a_line_of_its_own_or_name_another_field(value: str, sent: bytes) -> None:
    assert HEADERS.ours({**FIELDS, "email": value})[2] == (b"X-Forwarded-Email", sent)
    assert one_line("a\r\nb") == "a b"


def test_a_stranger_cannot_make_the_memory_of_names_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ToolHeaders(TEMPLATES)

    def cross() -> None:
        for number in range(5000):
            assert own.crossing(Fields([(b"X-%d" % number, b"v"), (b"X-Forwarded-%d" % number, b"v")])) == [
                (b"X-%d" % number, b"v")
            ]

    cross()
    with read_names(monkeypatch) as again:
        cross()
    assert 10_000 - 1024 <= len(again) < 10_000, "all but those that are remembered"


def navigating(*lines: Line) -> bool:
    return is_navigation("GET", Fields(lines))


def test_a_navigation_is_what_the_browser_says_is_one() -> None:
    html = (b"Accept", b"text/html,*/*;q=0.8")
    assert navigating(html, (b"Sec-Fetch-Mode", b"navigate"))
    assert navigating((b"sec-fetch-mode", b"navigate"))
    assert not navigating(html, (b"Sec-Fetch-Mode", b"cors"))
    assert not navigating(html, (b"Sec-Fetch-Mode", b"navigate"), (b"Sec-Fetch-Mode", b"cors"))
    assert is_navigation("POST", Fields([html, (b"Sec-Fetch-Mode", b"navigate")]))
    assert not is_navigation("POST", Fields([html, (b"Sec-Fetch-Mode", b"cors")]))
    assert not is_navigation("PUT", Fields([html, (b"Sec-Fetch-Mode", b"navigate")]))
    assert not is_navigation("HEAD", Fields([html]))


def test_where_the_browser_says_nothing_it_is_what_accepts_html() -> None:
    html = (b"Accept", b"text/html,*/*;q=0.8")
    assert navigating(html)
    assert not navigating()
    assert not navigating((b"Accept", b"*/*"))
    assert not navigating((b"Accept", b"text/event-stream"))
    assert not navigating(html, (b"X-Requested-With", b"XMLHttpRequest"))


def test_a_prefetch_and_a_websocket_are_no_navigation() -> None:
    html, navigate = (b"Accept", b"text/html"), (b"Sec-Fetch-Mode", b"navigate")
    assert not navigating(html, navigate, (b"Sec-Purpose", b"prefetch;prerender"))
    assert not navigating(html, (b"Purpose", b"prefetch"))
    assert not navigating(html, navigate, (b"Upgrade", b"websocket"))


TRUSTED = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])


@pytest.mark.parametrize(
    ("peer", "sent", "chain"),
    [
        ("10.0.0.1", ["192.0.2.7"], ["192.0.2.7", "10.0.0.1"]),
        ("10.0.0.1", ["192.0.2.7, 10.0.0.2"], ["192.0.2.7", "10.0.0.2", "10.0.0.1"]),
        ("10.0.0.1", ["192.0.2.7", "10.0.0.2"], ["192.0.2.7", "10.0.0.2", "10.0.0.1"]),
        ("10.0.0.1", ["10.9.9.9, 192.0.2.7"], ["192.0.2.7", "10.0.0.1"]),
        ("10.0.0.1", ["10.9.9.9, nonsense, 10.0.0.2"], ["10.0.0.2", "10.0.0.1"]),
        ("10.0.0.1", ["None, 1.2.3.4:80"], ["10.0.0.1"]),
        ("10.0.0.1", [], ["10.0.0.1"]),
        ("10.0.0.1", [",, ,"], ["10.0.0.1"]),
        ("fd00::1", ["2001:db8::7"], ["2001:db8::7", "fd00::1"]),
        ("192.0.2.1", ["10.0.0.1"], ["192.0.2.1"]),
        ("", ["10.0.0.1"], []),
    ],
)
def test_only_hops_that_a_trusted_peer_reports_are_believed(peer: str, sent: list[str], chain: list[str]) -> None:
    assert TRUSTED.chain(peer, Fields([(b"X-Forwarded-For", value.encode()) for value in sent])) == chain


def test_without_a_list_nobody_is_trusted() -> None:
    assert TrustedProxies().chain("127.0.0.1", Fields([(b"X-Forwarded-For", b"10.0.0.1")])) == ["127.0.0.1"]
    assert not TrustedProxies().trusts("127.0.0.1")


@pytest.mark.parametrize(
    "value", [b"Bearer fio-u-aZ09._~+/-==", b"bearer fio-u-aZ09._~+/-==", b"BEARER  fio-u-aZ09._~+/-=="]
)
def test_a_request_s_own_token_is_read(value: bytes) -> None:
    lines = Fields([(b"Accept", b"*/*"), (b"authorization", value)])
    assert brings_token(lines)
    assert bearer_token(lines) == "fio-u-aZ09._~+/-=="


@pytest.mark.parametrize("value", [b"", b"Basic YTpi", b"Bearerx y", b"xBearer y", b"token"])
def test_other_credentials_are_no_token(value: bytes) -> None:
    assert not brings_token(Fields([(b"Authorization", value)]))


@pytest.mark.parametrize(
    "value", [b"Bearer", b"Bearer a b", b"Bearer a=b", b"Bearer a\r\nb", b"Bearer " + b"a" * 8193]
)
def test_bytes_that_are_no_token_are_refused_and_not_repeated(value: bytes) -> None:
    assert brings_token(Fields([(b"Authorization", value)]))
    with pytest.raises(TokenMalformed) as refused:
        bearer_token(Fields([(b"Authorization", value)]))
    assert value.decode() not in refused.value.cause
    with pytest.raises(TokenMalformed):
        bearer_token(Fields([(b"Authorization", b"Bearer a"), (b"Authorization", b"Bearer a")]))
