import gc
import os
import re
import tracemalloc
from http.cookies import SimpleCookie

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_proxy.cookies import MOST_PIECES, PIECE_BYTES, Cookies, RequestCookies, SealedCookie
from oauth_proxy.errors import SessionTooLarge
from oauth_proxy.headers import Fields, Line
from oauth_proxy.seal import SECRET_BYTES, Sealer
from tests.support.units import MIB

SECRET = os.urandom(SECRET_BYTES)
COOKIES = Cookies("oauth_proxy", secure=True)
NAME = "__Host-oauth_proxy"
NOTHING = RequestCookies({}, frozenset(), ())


def sealed(limit: int = 64 * 1024) -> SealedCookie:
    return SealedCookie(COOKIES, Sealer([SECRET], "session", limit=limit), NAME)


class Browser:
    """What a browser keeps of Set-Cookie values, as RFC 6265bis 5.7 says: within its limits, replaced by name."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def receive(self, set_cookies: list[str]) -> None:
        for line in set_cookies:
            pair, *attributes = line.split("; ")
            name, _, value = pair.partition("=")
            assert len(name) + len(value) <= 4096, "a browser drops this one"
            assert all(len(attribute) <= 1024 for attribute in attributes)
            if "Max-Age=0" in attributes:
                self.kept.pop(name, None)
            else:
                self.kept[name] = value

    def sends(self) -> list[Line]:
        return [(b"Cookie", "; ".join(f"{name}={value}" for name, value in self.kept.items()).encode())]


def keep(browser: Browser, content: bytes) -> bytes | None:
    """What comes back of a content that was stored in a browser."""
    cookie = sealed()
    browser.receive(cookie.set(content, 3600, COOKIES.read(Fields(browser.sends()))))
    text = cookie.text(COOKIES.read(Fields(browser.sends())))
    return cookie.open(text) if text is not None else None


def split_points() -> list[int]:
    """Contents whose sealed text ends within a few characters of a whole number of cookies."""
    room = PIECE_BYTES - len(NAME) - len("-99=99.")
    lengths: set[int] = set()
    for pieces in range(1, 14):
        whole = pieces * room * 3 // 4 - 33
        lengths.update(range(whole - 6, whole + 7))
    return sorted(length for length in lengths if length > 0)


@pytest.mark.parametrize("length", [1, 2, 3, 100, 2800, 20_000, 39_999, 40_000])
def test_a_session_of_any_length_up_to_40000_bytes_round_trips(length: int) -> None:
    content = os.urandom(length)
    assert keep(Browser(), content) == content


def test_every_length_near_a_split_point_round_trips() -> None:
    browser = Browser()
    for length in split_points():
        content = os.urandom(length)
        assert keep(browser, content) == content, length


@given(st.lists(st.integers(1, 40_000), min_size=2, max_size=5))
def test_a_value_that_grows_and_shrinks_leaves_nothing_behind(lengths: list[int]) -> None:
    browser, content = Browser(), b""
    for length in lengths:
        content = os.urandom(length)
        assert keep(browser, content) == content
    text_length = len(Sealer([SECRET], "session").seal(content))
    assert len(browser.kept) == -(-text_length // (PIECE_BYTES - len(NAME) - len("-99=99.")))


def test_what_no_browser_would_keep_fails_loudly() -> None:
    most = MOST_PIECES * PIECE_BYTES
    with pytest.raises(SessionTooLarge, match="cookies"):
        sealed().set(os.urandom(most), 3600, NOTHING)
    with pytest.raises(SessionTooLarge):
        sealed(limit=100).set(os.urandom(101), 3600, NOTHING)


def test_all_pieces_together_stay_below_what_our_listener_reads() -> None:
    browser = Browser()
    for length in range(40_000, 50_000, 100):
        try:
            keep(browser, os.urandom(length))
        except SessionTooLarge:
            break
    else:
        pytest.fail("nothing was too large")
    [(_, header)] = browser.sends()
    assert len(browser.kept) == MOST_PIECES
    assert len(header) < 64 * 1024


def test_a_missing_or_foreign_piece_makes_a_stranger() -> None:
    browser = Browser()
    keep(browser, os.urandom(9000))
    cookie, whole = sealed(), dict(browser.kept)
    assert len(whole) == 4
    for name in whole:
        browser.kept = {key: value for key, value in whole.items() if key != name}
        text = cookie.text(COOKIES.read(Fields(browser.sends())))
        assert text is None or cookie.open(text) is None
    browser.kept = {**whole, f"{NAME}-1": whole[f"{NAME}-2"]}
    text = cookie.text(COOKIES.read(Fields(browser.sends())))
    assert text is not None
    assert cookie.open(text) is None


@pytest.mark.parametrize(
    "count",
    ["99999999", "17", "0", "-1", "1e3", "", " ", "٣", "0x2", "2.2", "1" * 5000],
)
def test_a_count_of_pieces_that_is_not_ours_makes_a_stranger(count: str) -> None:
    header = f"{NAME}={count}.{'A' * 50}; {NAME}-1=AAAA".encode()
    assert sealed().text(COOKIES.read(Fields([(b"Cookie", header)]))) is None


def test_clearing_names_every_piece_the_browser_sent() -> None:
    browser = Browser()
    keep(browser, os.urandom(9000))
    browser.kept["session"] = "the tool's"
    browser.receive(sealed().clear(COOKIES.read(Fields(browser.sends()))))
    assert browser.kept == {"session": "the tool's"}


def test_a_cookie_is_kept_from_scripts_from_http_and_from_other_sites() -> None:
    assert COOKIES.set("__Host-oauth_proxy", "v", 60) == (
        "__Host-oauth_proxy=v; Max-Age=60; Path=/; HttpOnly; Secure; SameSite=Lax"
    )


@pytest.mark.parametrize(
    ("cookies", "name", "attributes"),
    [
        (Cookies("c", secure=True), "__Host-c", {"Path=/", "Secure", "SameSite=Lax"}),
        (
            Cookies("c", secure=True, domain="example.com", same_site="none"),
            "__Secure-c",
            {"Domain=example.com", "Path=/", "Secure", "SameSite=None"},
        ),
        (
            Cookies("c", secure=True, same_site="none", partitioned=True),
            "__Host-c",
            {"Path=/", "Secure", "SameSite=None", "Partitioned"},
        ),
        (Cookies("c", secure=True, path="/x"), "__Secure-c", {"Path=/x", "Secure", "SameSite=Lax"}),
        (Cookies("c", secure=False), "c", {"Path=/", "SameSite=Lax"}),
    ],
)
def test_the_strongest_prefix_the_attributes_allow_is_taken(
    cookies: Cookies, name: str, attributes: set[str]
) -> None:
    assert cookies.name == name
    assert set(cookies.set(cookies.name, "v", 60).split("; ")) == {
        f"{name}=v",
        "Max-Age=60",
        "HttpOnly",
        *attributes,
    }


def test_the_tools_cookies_stay_byte_for_byte_and_ours_are_taken_out() -> None:
    header = b'a=1;b="x y; c=\xc3\xa9 ;__Host-oauth_proxy=1.AA; oauth_proxy_theme=dark; __Host-oauth_proxy-1=x;d'
    received = COOKIES.read(Fields([(b"Cookie", header), (b"X-Other", b"e=1"), (b"cookie", b"f=2")]))
    assert received.others == (b'a=1;b="x y; c=\xc3\xa9 ; oauth_proxy_theme=dark;d', b"f=2")
    assert received.ours == {NAME: "1.AA", f"{NAME}-1": "x"}


def test_a_header_of_ours_alone_leaves_no_cookie_header_for_the_tool() -> None:
    assert COOKIES.read(Fields([(b"Cookie", b"__Host-oauth_proxy=1.AA; oauth_proxy-login-abcd=x")])).others == ()


@pytest.mark.parametrize(
    "header",
    [
        b"foo=bar __Host-oauth_proxy=1.evil",
        b"foo=bar\t__Host-oauth_proxy=1.evil",
        b"foo=bar\x0b__Host-oauth_proxy=1.evil",
        b"foo=bar\xc2\xa0__Host-oauth_proxy=1.evil",
        b"foo=bar,__Host-oauth_proxy=1.evil",
        b'foo="; __Host-oauth_proxy"=1.evil',
        b"\xe2\x80\x83__Host-oauth_proxy=1.evil",
        b"__host-oauth_proxy=1.evil",
        b"__Host-oauth_proxy =1.evil",
        b"__Host-oauth_proxy",
        b"$Version=1; =__Host-oauth_proxy=1.evil",
    ],
)
def test_only_a_semicolon_begins_a_cookie_and_only_our_exact_name_is_ours(header: bytes) -> None:
    received = COOKIES.read(Fields([(b"Cookie", header)]))
    assert sealed().text(received) is None


@pytest.mark.parametrize(
    "lines",
    [
        [b"__Host-oauth_proxy=1.good; __Host-oauth_proxy=1.evil"],
        [b"__Host-oauth_proxy=1.good", b"__Host-oauth_proxy=1.evil"],
        [b"__Host-oauth_proxy=1.good; a=1; __Host-oauth_proxy=1.good; __Host-oauth_proxy=1.good"],
    ],
)
def test_a_name_of_ours_that_stands_twice_is_not_believed(lines: list[bytes]) -> None:
    received = COOKIES.read(Fields([(b"Cookie", line) for line in lines]))
    assert received.ours == {}
    assert received.seen == {NAME}


@pytest.mark.parametrize("header", [b";", b"=", b";;", b"", b" ; ", b";=;=", b"=;" * 10_000, b"\xff\xfe"])
def test_a_crafted_cookie_header_is_read_without_complaint(header: bytes) -> None:
    received = COOKIES.read(Fields([(b"Cookie", header)]))
    assert received.ours == {}


def test_the_values_we_set_are_what_a_foreign_parser_reads() -> None:
    [line] = sealed().set(b"content", 3600, NOTHING)
    parsed = SimpleCookie(line)
    assert parsed[NAME].value == line.partition(";")[0].partition("=")[2]
    assert parsed[NAME]["httponly"] is True
    assert re.fullmatch(r"1\.[A-Za-z0-9_-]+", parsed[NAME].value)


def test_remembered_lines_weigh_what_they_take_and_are_bounded_by_that() -> None:
    memory = []

    def remember(cookies: Cookies, session: SealedCookie) -> None:
        received = cookies.read(Fields([(b"Cookie", b"tool=1; c=1.%b" % os.urandom(1000).hex().encode())]))
        assert session.text(received)
        cookies.remember(received)

    for _ in range(2):  # at first with what is made once only
        cookies = Cookies("c", secure=False)
        session = SealedCookie(cookies, Sealer([SECRET], "session"), "c")
        gc.collect()  # small objects that Python keeps for the next one are traced no more
        tracemalloc.start()
        for _ in range(2000):  # more than there is room for
            remember(cookies, session)
        memory.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert 0.9 < memory[1] / (8 * MIB) < 1.05


@pytest.mark.parametrize("partitioned", [True, False])
def test_a_cookie_from_before_the_setting_was_changed_is_deleted_as_browsers_would_send_both(
    partitioned: bool,
) -> None:
    cookies = Cookies("c", secure=True, same_site="none", partitioned=partitioned)
    sealed = SealedCookie(cookies, Sealer([bytes(32)], "session"), cookies.name)
    received = RequestCookies({}, frozenset({"__Host-c"}), ())
    kept, other = sealed.set(b"session", 60, received)
    assert kept.endswith("; Partitioned") == partitioned
    assert other.startswith("__Host-c=; Max-Age=0;")
    assert other.endswith("; Partitioned") != partitioned
    assert len(sealed.clear(received)) == 2, "at sign-out both are deleted"
    assert len(sealed.set(b"session", 60, NOTHING)) == 1, "for who sent none, there is none to delete"
