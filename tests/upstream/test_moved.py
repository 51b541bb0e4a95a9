"""Addresses of a tool that does not know where it lies: what leads to it is rewritten, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_proxy.paths import Site
from oauth_proxy.upstream.head import read
from oauth_proxy.upstream.moved import Moved, Place
from tests.support.configuration import HOST

SITE = Site(f"https://{HOST}", "example.com")
STRIPPED = Place(b"/st", b"", b"10.0.0.7:3000")
BASED = Place(b"/st", b"/app", b"tool.internal")
KEPT = Place(b"/st", b"/st", b"10.0.0.7:3000")
ROOT = Place(b"", b"/app", b"10.0.0.7:3000")


def rewritten(place: Place, line: str, host: str = HOST) -> str:
    """The line as visitors get it, between two others that stay."""
    raw = f"HTTP/1.1 302 Found\r\nX-A: /x\r\n{line}\r\nLink: </x>\r\n\r\n".encode("latin-1")
    head = read(raw)
    Moved(place, SITE).rewrite(head, host)
    first, found, last = head.lines
    assert (first, last) == (b"X-A: /x", b"Link: </x>")
    return found.decode("latin-1")


LED = [
    (STRIPPED, "/x", "https://review.example.com/st/x"),
    (STRIPPED, "/", "https://review.example.com/st/"),
    (STRIPPED, "/x?a=/y#z", "https://review.example.com/st/x?a=/y#z"),
    (STRIPPED, "/?a", "https://review.example.com/st/?a"),
    (STRIPPED, "/stx", "https://review.example.com/st/stx"),
    (STRIPPED, "http://10.0.0.7:3000/x", "https://review.example.com/st/x"),
    (STRIPPED, "HTTP://10.0.0.7:3000", "https://review.example.com/st/"),
    (STRIPPED, "http://10.0.0.7:3000?a", "https://review.example.com/st/?a"),
    (STRIPPED, "//10.0.0.7:3000/x", "https://review.example.com/st/x"),
    (STRIPPED, "http://review.example.com/x", "https://review.example.com/st/x"),
    (STRIPPED, "https://REVIEW.example.com:443/x", "https://review.example.com/st/x"),
    (STRIPPED, "https://review.example.com:80/x", "https://review.example.com/st/x"),
    (STRIPPED, "http://10.0.0.7:3000/st/x", "https://review.example.com/st/x"),
    (STRIPPED, "/%2573t/x", "https://review.example.com/st/%2573t/x"),
    (BASED, "/app/x", "https://review.example.com/st/x"),
    (BASED, "/app", "https://review.example.com/st/"),
    (BASED, "/app?x", "https://review.example.com/st/?x"),
    (BASED, "http://tool.internal:80/app/x", "https://review.example.com/st/x"),
    (KEPT, "http://10.0.0.7:3000/st/x", "https://review.example.com/st/x"),
    (ROOT, "/app/x", "https://review.example.com/x"),
    (ROOT, "/app", "https://review.example.com/"),
    (ROOT, "http://10.0.0.7:3000/x", "https://review.example.com/x"),
]
LEFT = [
    (STRIPPED, "/st/x"), (STRIPPED, "/st"), (STRIPPED, "/st?x"), (STRIPPED, "https://review.example.com/st/x"),
    (STRIPPED, "x"), (STRIPPED, "../x"), (STRIPPED, "?x"), (STRIPPED, "#x"), (STRIPPED, ""), (STRIPPED, "."),
    (STRIPPED, "https://evil.com/x"), (STRIPPED, "//evil.com/x"), (STRIPPED, "/\\evil.com/x"),
    (STRIPPED, "\\\\evil.com/x"), (STRIPPED, "https://10.0.0.7:3000@evil.com/x"),
    (STRIPPED, "http://u@10.0.0.7:3000/x"), (STRIPPED, "http://10.0.0.7:3001/x"),
    (STRIPPED, "http://10.0.0.7:3000.evil.com/x"), (STRIPPED, "ftp://10.0.0.7:3000/x"),
    (STRIPPED, "https://other.example.com/x"), (STRIPPED, "mailto:x@review.example.com"),
    (STRIPPED, "javascript://10.0.0.7:3000/x"), (STRIPPED, "/oauth2/sign_out?rd=/x"),
    (STRIPPED, "http://review.example.com:8080/x"),
    (BASED, "/other"), (BASED, "/apps/x"), (BASED, "http://tool.internal/other"), (BASED, "/st/x"),
    (KEPT, "/st/x"), (KEPT, "/x"), (KEPT, "/"), (ROOT, "/x"), (ROOT, "/"), (ROOT, "https://review.example.com/x"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value", "to"), LED)
def test_what_leads_to_the_tool_leads_to_where_visitors_find_it(place: Place, value: str, to: str) -> None:
    assert rewritten(place, f"Location: {value}") == f"Location: {to}"
    assert rewritten(place, f"content-location:\t{value}") == f"content-location: {to}"
    assert rewritten(place, f"Location: {to}") == f"Location: {to}", "twice is as once"


@pytest.mark.parametrize(("place", "value"), LEFT)
def test_what_is_right_or_leads_elsewhere_stays(place: Place, value: str) -> None:
    assert rewritten(place, f"Location: {value}") == f"Location: {value}"


@pytest.mark.parametrize(
    "path", ["//evil.com/x", "/\\evil.com", "/\t/evil.com", "//", "/app//evil.com", "/app/\\evil.com"]
)
def test_no_path_of_the_tools_becomes_another_host(path: str) -> None:
    for place in (STRIPPED, BASED, ROOT):
        found = rewritten(place, f"Location: http://{place.authority.decode()}{path}")
        assert found.removeprefix("Location: ").startswith(("https://review.example.com/", "http://tool.internal"))
    found = rewritten(ROOT, "Location: /app//evil.com/x")
    assert found == "Location: https://review.example.com//evil.com/x"


def test_a_visitor_stays_at_the_host_that_they_asked() -> None:
    there = rewritten(STRIPPED, "Location: http://other.example.com/x", host="other.example.com")
    assert there == "Location: https://other.example.com/st/x"


@pytest.mark.parametrize(
    ("value", "to"),
    [
        ("0; url=/x", "0; url=https://review.example.com/st/x"),
        ("5;URL='/x?a'", "5;URL='https://review.example.com/st/x?a'"),
        ('1.5 , url = "http://10.0.0.7:3000/x" ; y', '1.5 , url = "https://review.example.com/st/x" ; y'),
        ("0 /x", "0 https://review.example.com/st/x"),
        ("5", "5"),
        ("5; url=", "5; url="),
        ("0; url=x", "0; url=x"),
        ("0; url=https://evil.com/", "0; url=https://evil.com/"),
        ("soon; url=/x", "soon; url=/x"),
        ("0; url=/st/x", "0; url=/st/x"),
    ],
)
def test_a_refresh_leads_there_too(value: str, to: str) -> None:
    assert rewritten(STRIPPED, f"Refresh: {value}") == f"Refresh: {to}"


@pytest.mark.parametrize(
    ("place", "cookie", "to"),
    [
        (STRIPPED, "a=b; Path=/; HttpOnly", "a=b; Path=/st/; HttpOnly"),
        (STRIPPED, "a=/x; path = /x;Secure", "a=/x; path =/st/x;Secure"),
        (STRIPPED, "a=b; Path=/st", "a=b; Path=/st"),
        (STRIPPED, "a=b; Path=/st/x", "a=b; Path=/st/x"),
        (STRIPPED, "a=b; HttpOnly", "a=b; HttpOnly"),
        (STRIPPED, "a=b; Path=x", "a=b; Path=x"),
        (STRIPPED, "a=b; Path", "a=b; Path"),
        (STRIPPED, "a=b; Path=/; Path=/y", "a=b; Path=/st/; Path=/st/y"),
        (STRIPPED, "__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure"),
        (STRIPPED, "__hOST-a=b; Path=/", "__hOST-a=b; Path=/"),
        (STRIPPED, "a=b; Domain=10.0.0.7; Path=/", "a=b; Path=/st/"),
        (STRIPPED, "a=b; Domain=example.com; Path=/", "a=b; Domain=example.com; Path=/st/"),
        (BASED, "a=b; domain = .Tool.Internal ; Path=/app", "a=b; Path=/st/"),
        (BASED, "a=b; Path=/app/x", "a=b; Path=/st/x"),
        (BASED, "a=b; Path=/", "a=b; Path=/"),
        (KEPT, "a=b; Path=/st/", "a=b; Path=/st/"),
        (KEPT, "a=b; Path=/", "a=b; Path=/"),
        (ROOT, "a=b; Path=/app/", "a=b; Path=/"),
    ],
)  # fmt: skip
def test_a_cookie_gets_the_path_at_which_a_browser_sends_it_back(place: Place, cookie: str, to: str) -> None:
    assert rewritten(place, f"Set-Cookie: {cookie}") == f"Set-Cookie: {to}"


def test_a_head_without_such_lines_is_left_as_it_came() -> None:
    raw = b"HTTP/1.1 200 OK\r\nX-Location: /x\r\nSet-Cookie2: a; Path=/\r\nRefresher: 0; url=/x\r\n\r\n"
    head = read(raw)
    before = head.block
    Moved(STRIPPED, SITE).rewrite(head, HOST)
    assert head.block is before


@given(
    st.sampled_from([STRIPPED, BASED, KEPT]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")),
)
def test_any_address_stays_or_leads_to_this_site_and_a_second_time_changes_nothing(
    place: Place, value: str
) -> None:
    value = value.strip(" ")
    once = rewritten(place, f"Location: {value}").removeprefix("Location: ")
    assert once == value or once.startswith("https://review.example.com/")
    assert rewritten(place, f"Location: {once}") == f"Location: {once}"
