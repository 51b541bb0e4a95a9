"""Wherever a target can be named, no form of it leads a browser off the site, once everything is emitted."""

import re
from html import unescape
from itertools import product
from secrets import token_hex
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from oauth_proxy.session.long_addresses import MOST_OF_ONE
from tests.support.browser import NAVIGATING, Visitor
from tests.support.proxy import FORM, SCRIPT, WANTED, RawAnswer
from tests.support.raw_http import Wire, location, wired
from tests.tally import tried

ELSEWHERE = [
    "//evil.com", "///evil.com", "////evil.com/%2e%2e", "/\\evil.com", "\\\\evil.com", "\\/evil.com",
    "/\\/evil.com", "/\t/evil.com", "/\n/evil.com", "/\r/evil.com", "/\r\n/evil.com", "/ /evil.com",
    "/\x0b/evil.com", "/\x0c/evil.com", "/\x00/evil.com", "/\u00a0/evil.com", "/\u2003/evil.com", "\t//evil.com",
    " //evil.com", "/\t\\evil.com", "/%2fevil.com", "/%5cevil.com", "/%09/evil.com", "/%0d%0a/evil.com",
    "/%2f%5cevil.com", "%2f%2fevil.com", "/%252fevil.com", "evil.com", "http://evil.com", "https://evil.com/",
    "HTTPS://evil.com", "https:evil.com", "https:/evil.com", "https:///evil.com", "https:\\\\evil.com",
    "http://evil.com\\@{host}/", "https://{host}@evil.com/", "https://{host}:80@evil.com/",
    "http://{host}.evil.com/", "http://evil.com#{host}", "http://evil.com?{host}", "http://evil.com/{host}",
    "http://{host}%2eevil.com/", "http://{host}\\.evil.com", "http://{host}%00.evil.com", "http://evil{host}/",
    "http://{host}\t.evil.com/", "//{host}@evil.com", "javascript:alert(1)", "java\tscript:alert(1)",
    "data:text/html,x", "vbscript:x", "ftp://{host}/", "//\u0435xample.com", "http://loc\u0430lhost/",
    "http://xn--80ak6aa92e.com/", "http://l\u00f6calhost/", "http://\u2488com/", "http://evil\uff0ecom/",
    "/\uff0f/evil.com", "http://[::1]/", "http://[::ffff:1.2.3.4", "//0x7f.1/", "/a\r\nSet-Cookie: planted=1",
    "/a\r\nLocation: https://evil.com", "/%0d%0aSet-Cookie:planted=1", "http://{host}\r\nX: y",
    "/x?\r\nSet-Cookie: planted=1", "\U0001f608//evil.com", "/\U0001f608", "{origin}/\U0001f608",
]  # fmt: skip
HERE = ["/", "/a/b?c=d&e=//f", "/a%20b", "{origin}/a?b=%C3%A9", "/a?next=https://evil.com/", "{origin}"]

LOOK_ALIKES = [
    "https://badexample.com/", "https://example.com.evil.com/", "https://example.comevil.com/",
    "https://example.co/", "https://review.example.com.evil.com/", "https://evil.com/example.com",
    "https://com/", "https://.example.com.evil/", "https://example.com:443.evil.com/",
    "https://example.com:evil/", "https://a.example.com:80@evil.com/", "https://a.example.com:x/",
    "http://review.example.com/", "http://example.com/", "https://a_b@example.com/", "https://ex\u0430mple.com/",
    "https://review.example.com%2eevil.com/", "https://review.example.com\\.evil.com/",
]  # fmt: skip


def lands_at(emitted: str, origin: str) -> str:
    """The origin that a browser opens for a Location (WHATWG URL 4.4, as far as http goes); else its scheme."""
    text = re.sub(r"[\t\r\n]", "", emitted).strip("".join(map(chr, range(0x21)))).replace("\\", "/")
    if scheme := re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", text):
        if scheme[1].lower() not in ("http", "https"):
            return scheme[0]
        if scheme[1].lower() != origin.partition(":")[0] or text[scheme.end() :].startswith("//"):
            text = "//" + text[scheme.end() :].lstrip("/")
        else:
            text = text[scheme.end() :]
    if not text.startswith("//"):
        return origin
    authority = re.split(r"[/?#]", text.lstrip("/"))[0].rpartition("@")[2]
    return f"{scheme[1].lower() if scheme else origin.partition(':')[0]}://{authority.lower()}"


def spellings(target: str, wire: Wire) -> list[str]:
    """The target in a query: as raw as a request line allows, encoded, and encoded twice."""
    target = target.replace("{host}", wire.host).replace("{origin}", wire.origin)
    raw = quote(target, safe="/:?@!$'()*,;=~[]\\%")
    return [raw, quote(target, safe=""), quote(quote(target, safe=""), safe="")]


def is_clean(answer: RawAnswer) -> bool:
    """Whether the answer names one address in ASCII, and has no line that a target smuggled in."""
    return re.fullmatch(r"[\x21-\x7e]*", location(answer)) is not None and not answer.all("X")


async def test_no_rd_leads_off_the_site_after_sign_out(wire: Wire) -> None:
    astray = []
    for rd in tried(spelling for target in ELSEWHERE for spelling in spellings(target, wire)):
        answer = await wire.ask(f"/oauth2/sign_out?rd={rd}", *NAVIGATING)
        where = lands_at(location(answer) or wire.origin, wire.origin)
        if answer.status not in (200, 302) or where != wire.origin or not is_clean(answer):
            astray.append((rd, answer.status, answer.get("Location")))
        assert not any("planted" in line for line in answer.all("Set-Cookie"))
    assert not astray


async def test_a_target_on_the_site_is_kept_after_sign_out(wire: Wire) -> None:
    for target in HERE:
        answer = await wire.ask(f"/oauth2/sign_out?rd={spellings(target, wire)[1]}", *NAVIGATING)
        kept = target.replace("{origin}", wire.origin)
        assert answer.get("Location") == (kept if kept.startswith("http") else wire.origin + kept)


async def test_no_rd_leads_off_the_site_after_a_whole_login(wire: Wire, visitor: Visitor) -> None:
    astray = []
    for rd in tried(spelling for target in ELSEWHERE for spelling in spellings(target, wire)[:2]):
        login = await wire.login(visitor, f"/oauth2/start?rd={rd}")
        where = lands_at(location(login.answer), wire.origin)
        if login.answer.status != 302 or where != wire.origin or not is_clean(login.answer):
            astray.append((rd, login.answer.status, login.answer.get("Location")))
    assert not astray


async def test_a_target_on_the_site_survives_the_whole_login_with_its_query(wire: Wire, visitor: Visitor) -> None:
    for target in HERE:
        login = await wire.login(visitor, f"/oauth2/start?rd={spellings(target, wire)[1]}")
        kept = target.replace("{origin}", wire.origin)
        assert login.answer.get("Location") == (kept if kept.startswith("http") else wire.origin + kept)


async def test_no_rd_puts_another_site_into_the_sign_in_page(wire: Wire) -> None:
    for rd in tried(spelling for target in ELSEWHERE for spelling in spellings(target, wire)):
        page = (await wire.ask(f"/oauth2/sign_in?rd={rd}", *NAVIGATING)).body.decode()
        [href] = [unescape(found) for found in re.findall(r'<a [^>]*href="([^"]*)"', page)]
        [target] = parse_qs(urlsplit(href).query)["rd"]
        assert lands_at(href, wire.origin) == lands_at(target, wire.origin) == wire.origin, rd
        assert "<script" not in page


async def test_no_x_auth_request_redirect_leads_off_the_site(wire: Wire, visitor: Visitor) -> None:
    targets = [target.replace("{host}", wire.host) for target in ELSEWHERE]
    for target in tried(target for target in targets if not re.search(r"[\r\n\x00-\x08\x0b\x0c]", target)):
        line = f"X-Auth-Request-Redirect: {target}"
        answer = await wire.ask("/oauth2/sign_out", *NAVIGATING, line)
        assert lands_at(location(answer) or wire.origin, wire.origin) == wire.origin, target
        assert is_clean(answer)
    login = await wire.login(visitor, "/oauth2/start", "X-Auth-Request-Redirect: //evil.com")
    assert login.answer.get("Location") == f"{wire.origin}/"
    login = await wire.login(visitor, "/oauth2/start", "X-Auth-Request-Redirect: /kept?a=b")
    assert login.answer.get("Location") == f"{wire.origin}/kept?a=b"


async def test_an_unsafe_rd_gives_way_to_the_next_candidate_and_a_second_rd_cannot_hide_behind_a_first(
    wire: Wire,
) -> None:
    for query in tried(("rd=//evil.com&rd=/b", "rd=/b&rd=//evil.com", "rd=&rd=/b", "RD=//evil.com&rd=/b")):
        assert (await wire.ask(f"/oauth2/sign_out?{query}", WANTED)).get("Location") == f"{wire.origin}/b"
    line = "X-Auth-Request-Redirect: /c"
    assert (await wire.ask("/oauth2/sign_out?rd=//evil.com", line, WANTED)).get("Location") == f"{wire.origin}/c"


@pytest.mark.parametrize(
    "asked",
    [
        "//evil.com/x", "///evil.com", "/\\evil.com", "/\\/evil.com", "/%09/evil.com", "/%2f/evil.com",
        "/%5cevil.com", "/.//evil.com", "/x/..//evil.com", "/%2e%2e//evil.com", "//evil.com%2f..",
        "/;//evil.com", "//u@evil.com:80/",
    ],
)  # fmt: skip
async def test_a_stranger_who_asks_for_an_odd_path_comes_back_to_this_site(
    wire: Wire, visitor: Visitor, asked: str
) -> None:
    login = await wire.login(visitor, asked)
    assert lands_at(location(login.answer), wire.origin) == wire.origin
    back = location(login.answer).removeprefix(wire.origin)
    assert back in (asked, "/")
    answer = await wire.ask(back, login.cookie)
    assert answer.status == 200
    assert [heard.line for heard in wire.tool.heard] == [f"GET {back} HTTP/1.1"]


async def test_a_stranger_who_asks_for_two_slashes_gets_exactly_that(wire: Wire, visitor: Visitor) -> None:
    login = await wire.login(visitor, "//evil.com/x?y=//z")
    assert login.answer.get("Location") == f"{wire.origin}//evil.com/x?y=//z"


FRAGMENTS = [
    "//evil.com#", "//evil.com#/a", "/\\evil.com#/a", "/%2fevil.com#a", "#@evil.com", "#//evil.com",
    "https://{host}@evil.com#a", "https://{host}%23@evil.com/", "https://{host}\\#@evil.com/", "https://evil.com#{origin}/",
    "javascript:alert(1)#{origin}", "/a#b\r\nSet-Cookie: planted=1", "/a#b\nLocation: https://evil.com", "/a#\x00",
]  # fmt: skip
GOOD_FRAGMENTS = [
    "#@evil.com",
    "#//evil.com",
    "#\\\\evil.com",
    "#?rd=//evil.com",
    "#%0d%0aSet-Cookie:planted=1",
    "##",
]


async def test_no_fragment_leads_off_the_site_and_a_good_one_stays(wire: Wire) -> None:
    for target in FRAGMENTS:
        for rd in tried(spellings(target, wire)):
            answer = await wire.ask(f"/oauth2/sign_out?rd={rd}", WANTED)
            assert answer.get("Location") is None, target
            assert not [line for line in answer.all("Set-Cookie") if "planted" in line]
    for fragment in tried(GOOD_FRAGMENTS):
        rd = quote(f"{wire.origin}/a?b=c{fragment}", safe="")
        answer = await wire.ask(f"/oauth2/sign_out?rd={rd}", WANTED)
        assert answer.get("Location") == f"{wire.origin}/a?b=c{fragment}"
        assert lands_at(location(answer), wire.origin) == wire.origin


async def test_long_return_addresses_of_one_stranger_push_out_no_others(visitor: Visitor) -> None:
    async with wired(trusted_proxies=["127.0.0.1"]) as wire:
        long = f"{wire.origin}/page?{token_hex(3900)}"
        begun = await wire.ask("/oauth2/start", *NAVIGATING, FORM, method="POST", body=f"rd={long}".encode())
        attempt = "Cookie: " + begun.all("Set-Cookie")[0].partition(";")[0]
        for number in tried(range(2 * MOST_OF_ONE)):
            flood = f"rd={wire.origin}/{number}?{token_hex(3900)}".encode()
            lines = (*NAVIGATING, FORM, "X-Forwarded-For: 203.0.113.9")
            assert (await wire.ask("/oauth2/start", *lines, method="POST", body=flood)).status == 302
        callback = await wire.through_frame_io(visitor, location(begun))
        assert location(await wire.ask(callback, *NAVIGATING, attempt)) == long


async def test_another_sites_referer_never_becomes_the_login_url(wire: Wire) -> None:
    for target in tried(("https://evil.com/", f"https://{wire.host}@evil.com/", f"http://{wire.host}.evil.com/")):
        answer = await wire.ask("/api", *SCRIPT, f"Referer: {target}")
        assert answer.status == 401
        assert b"evil" not in answer.body
    assert b"%2Fpage" in (await wire.ask("/api", *SCRIPT, f"Referer: {wire.origin}/page")).body


async def test_a_shared_cookie_domain_lets_in_its_own_labels_and_no_look_alike(shared: Wire) -> None:
    for target in LOOK_ALIKES:
        for rd in tried(spellings(target, shared)):
            answer = await shared.ask(f"/oauth2/sign_out?rd={rd}", *NAVIGATING)
            assert answer.get("Location") is None, target
    for target in ("https://example.com/", "https://a.example.com/x?y", "https://review.example.com:8443/"):
        assert (await shared.ask(f"/oauth2/sign_out?rd={quote(target)}", WANTED)).get("Location") == target


async def test_without_a_shared_domain_no_neighbour_is_a_target(https: Wire) -> None:
    for target in tried(
        (
            *LOOK_ALIKES,
            "https://example.com/",
            "https://a.example.com/",
            "https://review.example.com:8443/",
        )
    ):
        answer = await https.ask(f"/oauth2/sign_out?rd={quote(target, safe='')}", *NAVIGATING)
        assert answer.get("Location") is None, target
    assert (await https.ask(f"/oauth2/sign_out?rd={https.origin}/a", WANTED)).get(
        "Location"
    ) == f"{https.origin}/a"


async def test_another_sites_script_gets_no_state_however_it_asks(wire: Wire) -> None:
    own = ["Sec-Fetch-Dest: empty", "Sec-Fetch-Mode: cors"]
    as_navigation = ["Accept: text/html", "Upgrade-Insecure-Requests: 1", *own]
    for site, lines in tried(product(("cross-site", "same-site", "none"), (as_navigation, ["Accept: */*", *own]))):
        answer = await wire.ask("/oauth2/start?rd=/", *lines, f"Sec-Fetch-Site: {site}")
        assert answer.status == 401
        assert b"state=" not in answer.body
        assert not answer.all("Set-Cookie")
    answer = await wire.ask("/oauth2/start?rd=/", "Accept: */*", *own, "Sec-Fetch-Site: same-origin")
    assert answer.status == 300
