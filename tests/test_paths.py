import re
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_proxy.errors import BadRequest, Misdirected
from oauth_proxy.paths import LONGEST_RETURN, Site, read_target
from tests.support.configuration import HOST

SITE = Site(f"https://{HOST}")
SHARED = Site(f"https://{HOST}", ".example.com")


@pytest.mark.parametrize(
    ("sent", "path", "query"),
    [
        ("/", "/", ""),
        ("/a/b.txt", "/a/b.txt", ""),
        ("/a?b=%2f&c", "/a", "?b=%2f&c"),
        ("/a?", "/a", "?"),
        ("/a//b?x=/../y", "/a/b", "?x=/../y"),
        ("/a/../b", "/b", ""),
        ("/a/./b/", "/a/b/", ""),
        ("/..", "/", ""),
        ("/a/..", "/", ""),
        ("/a/b/..", "/a/", ""),
        ("/a%2f..%2fb", "/b", ""),
        ("/a%5c..%5cb", "/b", ""),
        ("/caf%C3%A9", "/café", ""),
        ("/a%20b", "/a b", ""),
        ("//evil.com/x", "/evil.com/x", ""),
        (f"https://{HOST}/a?b", "/a", "?b"),
        (f"HTTP://{HOST.upper()}", "/", ""),
        (f"http://{HOST}?q", "/", "?q"),
    ],
)
def test_a_target_is_read_in_one_way(sent: str, path: str, query: str) -> None:
    target = read_target(sent, HOST)
    assert (target.path, target.query) == (path, query)


@pytest.mark.parametrize("raw", ["/a%2f..%2fb", "/%zz", "/a//b", "/a;x=1/b", "/caf\udcff", "/a#b", "/A%41"])
def test_what_was_sent_is_kept_byte_for_byte(raw: str) -> None:
    assert read_target(f"{raw}?q=%zz", HOST).full == f"{raw}?q=%zz"


@pytest.mark.parametrize("raw", ["/a", "/a%20b", "/%41", "/caf%C3%A9", "/a/.well-known/x", "/a..b/...", "/@:+,=~"])
def test_an_ordinary_path_is_plain(raw: str) -> None:
    assert read_target(raw, HOST).plain


@pytest.mark.parametrize(
    "raw",
    [
        "/a/../b",
        "/a/./b",
        "/a/..",
        "//a",
        "/a//b",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a\\b",
        "/a%2e%2e/b",
        "/%2e%2e/b",
        "/a;b",
        "/a%3bb",
        "/a%3fb",
        "/a%23b",
        "/a#b",
        "/a%25b",
        "/a%252fb",
        "/a%00",
        "/a%0d%0ab",
        "/a%ff",
        "/a%c0%afb",
        "/a%zzb",
        "/a\udcffb",
    ],
)
def test_a_path_that_servers_read_differently_is_not_plain(raw: str) -> None:
    assert not read_target(raw, HOST).plain


@given(st.text(st.characters(max_codepoint=0x2FF), max_size=40))
def test_a_plain_path_reads_the_same_decoded_once_more_and_resolved(text: str) -> None:
    target = read_target("/" + text, HOST)
    if target.plain:
        assert target.path == unquote(target.raw)
        assert unquote(target.path) == target.path
        assert urlsplit(urljoin(f"https://{HOST}", target.raw)).path == target.raw
        assert not target.climbs()


@pytest.mark.parametrize(
    "sent", ["", "*", "a/b", "review.example.com:443", "ftp://review.example.com/", "?a", "%2f"]
)
def test_a_target_that_is_no_path_is_refused(sent: str) -> None:
    with pytest.raises(BadRequest):
        read_target(sent, HOST)


@pytest.mark.parametrize(
    "sent", ["http://other.example/x", f"http://{HOST}.evil/x", f"http://a@{HOST}/x", "http:///x"]
)
def test_a_target_for_another_site_is_misdirected(sent: str) -> None:
    with pytest.raises(Misdirected):
        read_target(sent, HOST)


@pytest.mark.parametrize(
    ("raw", "climbs"),
    [
        ("/r/../x", True),
        ("/r/%2e%2e/x", True),
        ("/r/%252e%252e/x", True),
        ("/r/..%2fx", True),
        ("/r/..;/x", True),
        ("/r/..\\x", True),
        ("/r/.", True),
        ("/r/x%2fy", False),
        ("/r//x", False),
        ("/r/..x/...", False),
    ],
)
def test_a_path_climbs_when_some_reader_finds_a_dot_segment(raw: str, climbs: bool) -> None:
    assert read_target(raw, HOST).climbs() is climbs


@pytest.mark.parametrize(
    ("host", "alone", "shared"),
    [
        ("review.example.com", True, True),
        ("REVIEW.example.com", True, True),
        ("review.example.com:443", True, True),
        ("review.example.com:8443", False, True),
        ("example.com", False, True),
        ("render.example.com", False, True),
        ("badexample.com", False, False),
        ("example.com.evil.net", False, False),
        ("evil.net/.example.com", False, False),
        ("evil.net#.example.com", False, False),
        ("user@render.example.com", False, False),
        ("", False, False),
        ("evil.com/@x", False, False),
    ],
)
def test_a_host_is_ours_by_whole_labels_only(host: str, alone: bool, shared: bool) -> None:
    assert SITE.is_ours(host) is alone
    assert SHARED.is_ours(host) is shared


@pytest.mark.parametrize(
    "candidate",
    [
        "/",
        "/a/b?c=d#e",
        "/a?u=https://evil.com/",
        f"https://{HOST}/a",
        f"https://{HOST}",
        f"https://{HOST}:443/a?b",
    ],
)
def test_an_address_of_ours_may_be_returned_to(candidate: str) -> None:
    url = SITE.safe_return(candidate)
    assert url is not None
    assert urlsplit(url).hostname == HOST
    assert url.endswith(candidate.removeprefix(f"https://{HOST}"))


@pytest.mark.parametrize("start", ["/", "/a/b?c=d", f"https://{HOST}/a/b?c=d", f"https://{HOST}/"])
@pytest.mark.parametrize(
    "fragment",
    [
        "#",
        "#e",
        "#@evil.com",
        "#@evil.com/",
        "#//evil.com",
        "#\\\\evil.com",
        "##",
        "#%23%2F%00%0d%0a",
        "#?rd=https://evil.com",
        "#javascript:alert(1)",
        "#<script>alert(1)</script>\"'`{}^|",
    ],
)
def test_a_fragment_stays_as_it_is_and_leads_nowhere_else(start: str, fragment: str) -> None:
    url = SITE.safe_return(start + fragment)
    assert url is not None
    assert url.endswith(fragment)
    for seen in (url, urljoin("https://elsewhere.example/", url)):
        assert (urlsplit(seen).scheme, urlsplit(seen).hostname) == ("https", HOST)


@pytest.mark.parametrize(
    ("candidate", "kept"),
    [
        ("/a?b#" + "c" * LONGEST_RETURN, "/a?b"),
        ("/a?" + "b" * LONGEST_RETURN + "#c", "/a"),
        ("/a?b=\\c#\\d", "/a?b=%5Cc#\\d"),
    ],
)
def test_what_is_too_long_loses_its_end_and_a_backslash_is_none_of_a_path(candidate: str, kept: str) -> None:
    assert SITE.safe_return(candidate) == f"https://{HOST}{kept}"


OFF_SITE = [
    "//evil.com",
    "///evil.com",
    "////evil.com",
    "/\\evil.com",
    "\\\\evil.com",
    "\\/evil.com",
    "/\t/evil.com",
    "/\n/evil.com",
    "/\r/evil.com",
    "/ /evil.com",
    " //evil.com",
    "\t//evil.com",
    "/\x0b/evil.com",
    "/%09/evil.com",
    "/%0a/evil.com",
    "/%0d%0a/evil.com",
    "/%20/evil.com",
    "/%2f/evil.com",
    "/%2fevil.com",
    "/%5cevil.com",
    "/%5c%5cevil.com",
    "/%252fevil.com",
    "/%2509/evil.com",
    "/%c2%a0/evil.com",
    "https://evil.com",
    "http://evil.com",
    "https:/evil.com",
    "https:evil.com",
    "https:///evil.com",
    "https:\\\\evil.com",
    "HTTPS://evil.com",
    f"http://{HOST}/",
    f"https://{HOST}.evil.com/",
    f"https://{HOST}@evil.com/",
    f"https://{HOST}:443@evil.com/",
    f"https://{HOST}\\@evil.com/",
    f"https://{HOST}%2f@evil.com/",
    f"https://evil.com#{HOST}/",
    f"https://evil.com?{HOST}/",
    f"https://evil.com\\.{HOST}/",
    f"https://{HOST}。evil.com/",
    "https://rеview.example.com/",
    "https://[::1]/",
    "https://[",
    "//[",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.com",
    "",
    ".",
    "?a=b",
    "#a",
    "/" + "a" * LONGEST_RETURN,
    "//evil.com#",
    "//evil.com#/a",
    "/\\evil.com#/a",
    "/%2fevil.com#a",
    "https://evil.com#a",
    "#@evil.com",
    "#//evil.com",
    f"https://{HOST}@evil.com#a",
    f"https://{HOST}:443@evil.com/#a",
    f"https://{HOST}\\#@evil.com/",
    f"https://{HOST}%23@evil.com/",
    f"https://{HOST}#@evil.com/",
    f"https://evil.com/#https://{HOST}/",
    "javascript:alert(1)#/a",
    "/a#b\r\nSet-Cookie: c=d",
    "/a#b\tc",
    "/a#b c",
    "/a#é",
    "/a#\x7f",
    "/a\x00b",
    "/é",
    "/a b",
]


@pytest.mark.parametrize("candidate", OFF_SITE)
def test_an_address_that_could_lead_off_the_site_is_not_returned_to(candidate: str) -> None:
    assert SITE.safe_return(candidate) is None


@pytest.mark.parametrize(
    ("candidate", "fits"),
    [
        ("https://render.example.com/x", True),
        ("https://example.com/x", True),
        ("https://badexample.com/x", False),
        ("https://render.example.com.evil.net/x", False),
        ("http://render.example.com/x", False),
    ],
)
def test_a_shared_cookie_domain_widens_the_targets_by_whole_labels(candidate: str, fits: bool) -> None:
    assert (SHARED.safe_return(candidate) == candidate) is fits


@given(
    st.text(max_size=30), st.sampled_from(["", "/", "//", "/\\", "https://", f"https://{HOST}", "%2f", "/%09/"])
)
def test_whatever_is_returned_to_stays_on_the_site_for_every_reader(text: str, start: str) -> None:
    url = SITE.safe_return(start + text)
    if url is not None:
        assert url.isascii()
        assert not re.search(r"[\x00-\x20\x7f]", url)
        assert "\\" not in url.partition("#")[0]
        for seen in (url, urljoin("https://elsewhere.example/", url)):
            assert urlsplit(seen).scheme == "https"
            assert urlsplit(seen).hostname == HOST


@pytest.mark.parametrize(
    ("sent", "back"),
    [
        ("/a?b=c", "/a?b=c"),
        ("//evil.com/x", "//evil.com/x"),
        ("/caf\udcc3\udca9", "/caf%C3%A9"),
        ("/a?" + "q" * LONGEST_RETURN, "/a"),
        ("/" + "a" * LONGEST_RETURN, "/"),
    ],
)
def test_a_stranger_returns_to_what_they_asked_for_as_far_as_it_fits(sent: str, back: str) -> None:
    assert SITE.back_to(read_target(sent, HOST)) == f"https://{HOST}{back}"
