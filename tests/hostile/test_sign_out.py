"""Nobody is signed out but by themselves: what may come from elsewhere is asked first."""

import pytest

from tests.support.browser import Visitor
from tests.support.raw_http import Login, Wire

HTML = "Accept: text/html"
SITE = "Sec-Fetch-Site: "
UNASKED = [
    [HTML],
    [f"{SITE}cross-site", HTML, "Sec-Fetch-Mode: navigate"],
    [f"{SITE}same-site", HTML, "Sec-Fetch-Mode: navigate"],
    [f"{SITE}same-site", HTML, "Origin: {origin}"],
    [f"{SITE}cross-site", HTML, "Referer: {origin}/page"],
    [f"{SITE}none", f"{SITE}cross-site", HTML],
    [f"{SITE}same-origin", f"{SITE}same-origin", HTML],
    [f"{SITE}Same-Origin", HTML],
    [f"{SITE}none, cross-site", HTML],
    [SITE, HTML],
    [f"{SITE}none", HTML, "Sec-Purpose: prefetch"],
    [f"{SITE}same-origin", HTML, "Sec-Purpose: prefetch;prerender"],
    [f"{SITE}same-origin", HTML, "Purpose: prefetch"],
    [f"{SITE}same-origin", HTML, "X-Purpose: preview"],
    [f"{SITE}same-origin", HTML, "X-moz: prefetch"],
    [f"{SITE}same-origin", "Sec-Fetch-Dest: image", "Sec-Fetch-Mode: no-cors"],
    [f"{SITE}same-origin", "Sec-Fetch-Dest: iframe", HTML],
    [f"{SITE}same-origin", "Sec-Fetch-Dest: style"],
    [HTML, "Referer: https://evil.com/"],
    [HTML, "Referer: https://evil.com/{origin}/"],
    [HTML, "Referer: {origin}.evil.com/"],
    [HTML, "Referer: {origin}@evil.com/"],
    [HTML, "Referer: {origin}1/"],
    [HTML, "Referer: https:{origin}/"],
    [HTML, "Referer: {origin}/", "Referer: https://evil.com/"],
    [HTML, "Referer: /page"],
    [HTML, "Referer: "],
    [HTML, "Origin: null"],
    [HTML, "Origin: https://evil.com"],
    [HTML, "Origin: https://evil.com", "Referer: {origin}/page"],
    [HTML, "Origin: {origin}", "Origin: https://evil.com"],
    [HTML, "Origin: null", "Referer: {origin}/page"],
    [HTML, "Origin: {origin}", "Sec-Purpose: prefetch"],
]
ASKED = [
    [f"{SITE}none", HTML],
    [f"{SITE}none", HTML, "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate"],
    [f"{SITE}same-origin", HTML, "Referer: https://evil.com/"],
    [f"{SITE}same-origin", "Sec-Fetch-Dest: empty"],
    [HTML, "Referer: {origin}/page?a=b"],
    [HTML, "Referer: {origin}"],
    [HTML, "Origin: {origin}"],
    [HTML, "Origin: {origin}", "Referer: https://evil.com/"],
]


def lines(wire: Wire, templates: list[str]) -> list[str]:
    return [template.format(origin=wire.origin) for template in templates]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_not_known_to_be_wanted_signs_nobody_out(wire: Wire, editor: Login, method: str) -> None:
    for templates in UNASKED:
        answer = await wire.ask("/oauth2/sign_out?rd=/x", editor.cookie, *lines(wire, templates), method=method)
        assert answer.status in (200, 403), templates
        assert b"You are still signed in" in answer.body, templates
        assert not answer.all("Set-Cookie"), templates
    assert (await wire.ask("/page", editor.cookie)).status == 200
    assert not wire.stage.frameio.calls.get("revoke")


@pytest.mark.parametrize("templates", ASKED)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_comes_from_this_site_or_the_address_bar_signs_out(
    wire: Wire, editor: Login, method: str, templates: list[str]
) -> None:
    answer = await wire.ask("/oauth2/sign_out?rd=/x", editor.cookie, *lines(wire, templates), method=method)
    assert (answer.status, answer.get("Location")) == (302, f"{wire.origin}/x")
    assert (await wire.ask("/page", editor.cookie)).status == 401


async def test_a_neighbour_in_a_shared_domain_is_another_site(shared: Wire, visitor: Visitor) -> None:
    login = await shared.login(visitor)
    there = "Origin: https://tool.example.com"
    assert (await shared.ask("/oauth2/sign_out", login.cookie, there, HTML, method="POST")).status == 200
    assert (await shared.ask("/page", login.cookie)).status == 200
    own = await shared.ask(
        "/oauth2/sign_out", login.cookie, there, HTML, method="POST", host="tool.example.com:443"
    )
    assert own.all("Set-Cookie"), "where both are one, behind this proxy, it is its own"
    assert (await shared.ask("/page", login.cookie)).status == 401
