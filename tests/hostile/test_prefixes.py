"""A tool's prefix in every spelling: one reading decides who answers, and the tool gets the bytes behind it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_proxy.errors import BadRequest
from oauth_proxy.paths import read_target
from oauth_proxy.upstream.routes import Route
from oauth_proxy.upstream.upstream import Upstream
from tests.support.browser import NAVIGATING, Visitor
from tests.support.proxy import FORM, REVIEWER_ONLY, SCRIPT
from tests.support.raw_http import Tool, Wire, location, wired
from tests.tally import tried

PREFETCH = [*NAVIGATING, "Sec-Purpose: prefetch"]


@dataclass
class Tools:
    """Which tool was asked for what."""

    wire: Wire
    tools: dict[str, Tool]

    def heard(self) -> list[tuple[str, str]]:
        """Since the last time, without the method and the version."""
        found = [(name, each.line.split(" ")[1]) for name, tool in self.tools.items() for each in tool.heard]
        for tool in self.tools.values():
            tool.heard.clear()
        return found


@asynccontextmanager
async def tools(*, root: bool = True, **changes: object) -> AsyncIterator[Tools]:
    """A tool at the root, one at /st/, one at /b@r/, and one at /st/deep/ that keeps its prefix."""
    names = {"/": Tool(), "/st/": Tool(), "/b@r/": Tool(), "/st/deep/": Tool()}
    async with (
        names["/"].listening() as one,
        names["/st/"].listening() as two,
        names["/b@r/"].listening() as three,
        names["/st/deep/"].listening() as four,
    ):
        upstreams: dict[str, object] = {
            "/st/": two,
            "/b@r/": f"{three}/base",
            "/st/deep/": {"url": four, "strip": "false"},
        }
        if root:
            upstreams["/"] = one
        async with wired(upstreams=upstreams, **changes) as wire:
            yield Tools(wire, names)


async def test_whoever_types_a_prefix_without_its_slash_gets_there(visitor: Visitor) -> None:
    async with tools() as found:
        cookie = (await found.wire.login(visitor)).cookie
        found.heard()
        redirected = {
            "/st": "/st/",
            "/st?x=/y&z=%2F": "/st/?x=/y&z=%2F",
            "/%73t?a": "/st/?a",
            "/b%40r": "/b@r/",
            "/st/deep?q": "/st/deep/?q",
            "/st?": "/st/?",
            '/st?<"': "/st/?%3C%22",
        }
        for target, to in tried(list(redirected.items())):
            for method in ("GET", "HEAD"):
                answer = await found.wire.ask(target, *NAVIGATING, cookie, method=method)
                assert (answer.status, location(answer)) == (308, to), target
                assert answer.get("Cache-Control") == "no-store", "the file may change"
        assert not found.heard()


async def test_a_stranger_learns_nothing_of_prefixes(visitor: Visitor) -> None:
    async with tools() as found:
        for target in tried(("/st", "/b@r", "/nothing", "/st/deep", "/%73t")):
            page = await found.wire.ask(target, *NAVIGATING)
            assert (page.status, location(page).partition("?")[0]) == (302, f"{found.wire.origin}/oauth2/start")
            assert (await found.wire.ask(target, *SCRIPT)).status == 401
        login = await found.wire.login(visitor, "/st?x")
        assert location(login.answer) == f"{found.wire.origin}/st?x"
        assert not found.heard()


async def test_a_stranger_is_led_to_what_is_public_and_gets_no_more_by_it() -> None:
    async with tools(access={"public": ["/st/*"]}) as found:
        answer = await found.wire.ask("/st?x", *NAVIGATING)
        assert (answer.status, location(answer)) == (308, "/st/?x")
        for method, lines in tried((("GET", SCRIPT), ("GET", PREFETCH), ("POST", [*NAVIGATING, FORM]))):
            assert (await found.wire.ask("/st", *lines, method=method)).status == 401
        assert (await found.wire.ask("/b@r", *NAVIGATING)).status == 302
        assert not found.heard()


async def test_whom_the_tools_rules_refuse_learns_nothing_either(visitor: Visitor) -> None:
    tool = Tool()
    async with (
        tool.listening() as url,
        wired(upstreams={"/": url, "/st/": {"url": url, **REVIEWER_ONLY}}) as wire,
    ):
        cookie = (await wire.login(visitor)).cookie
        for target in tried(("/st", "/st?x", "/%73t")):
            assert (await wire.ask(target, *NAVIGATING, cookie)).status == 403
        async with Visitor() as reviewer:
            theirs = (await wire.login(reviewer, person="Reviewer")).cookie
            assert (await wire.ask("/st", *NAVIGATING, theirs)).status == 308


OTHERS: list[tuple[str, str, list[str]]] = [
    ("GET", "/st", SCRIPT),
    ("GET", "/st", []),
    ("GET", "/st", PREFETCH),
    ("POST", "/st", [*NAVIGATING, FORM]),
    ("PUT", "/st", SCRIPT),
    ("GET", "/ST", NAVIGATING),
    ("GET", "/st;x", NAVIGATING),
    ("GET", "/st%3bx", NAVIGATING),
    ("GET", "/st%3f", NAVIGATING),
    ("GET", "/st%23", NAVIGATING),
    ("GET", "/%2573t", NAVIGATING),
    ("GET", "/stx", NAVIGATING),
    ("GET", "/st%00", NAVIGATING),
    ("GET", "/x/..;/st", NAVIGATING),
    ("GET", "//st", NAVIGATING),
    ("GET", "/x/../st", NAVIGATING),
    ("GET", "/./st", NAVIGATING),
]


async def test_nothing_else_is_redirected_and_the_root_gets_it_as_it_was_sent(visitor: Visitor) -> None:
    async with tools() as found:
        cookie = (await found.wire.login(visitor)).cookie
        found.heard()
        for method, target, lines in tried(OTHERS):
            answer = await found.wire.ask(target, *lines, cookie, method=method)
            assert (answer.status, found.heard()) == (200, [("/", target)]), (method, target)
    async with tools(root=False) as found, Visitor() as other:
        cookie = (await found.wire.login(other, "/oauth2/start")).cookie
        assert (await found.wire.ask("/st", *SCRIPT, cookie)).status == 404
        assert (await found.wire.ask("/st", *NAVIGATING, cookie)).status == 308


async def test_a_path_that_the_file_names_itself_is_meant(visitor: Visitor) -> None:
    async with tools(
        access={"public": ["GET /st"]}, webhooks={"/b@r": {"secret": "a-secret-of-a-webhook"}}
    ) as found:
        assert (await found.wire.ask("/st", *NAVIGATING)).status == 200
        assert found.heard() == [("/", "/st")]
        assert (await found.wire.ask("/b@r", *NAVIGATING)).status == 405
    async with tools(access={"public": ["/*"]}) as found:
        assert (await found.wire.ask("/st", *NAVIGATING)).status == 308


SPELLINGS = {
    "/st/x": ("/st/", "/x"),
    "/%73t/x?y": ("/st/", "/x?y"),
    "/%73%74/a%2fb//c;d": ("/st/", "/a%2fb//c;d"),
    "/s%74/%78": ("/st/", "/%78"),
    "/st//x": ("/st/", "//x"),
    "/%73t/": ("/st/", "/"),
    "/b@r/x": ("/b@r/", "/base/x"),
    "/b%40r/x": ("/b@r/", "/base/x"),
    "/%62%40%72/": ("/b@r/", "/base/"),
    "/st/deep/x": ("/st/deep/", "/st/deep/x"),
    "/%73t/d%65ep/%78?y": ("/st/deep/", "/%73t/d%65ep/%78?y"),
    "/b%2540r/x": ("/", "/b%2540r/x"),
    "/%2573t/x": ("/", "/%2573t/x"),
    "/ST/x": ("/", "/ST/x"),
    "/st;a/x": ("/", "/st;a/x"),
    "/st%3ba/x": ("/", "/st%3ba/x"),
    "/st/../other": ("/", "/st/../other"),
    "/st%00/x": ("/", "/st%00/x"),
    "/%ff%73t/x": ("/", "/%ff%73t/x"),
}
"""Who answers, and what they are asked for."""
REFUSED = [
    "/st%2f", "/st%2fx", "/%73t%2fx", "//st/", "//st/x", "/.//st/x", "/./st/x", "/x/../st/y", "/x/..%2fst/y",
    "/%2fst/x", "/st/../st/x", "/st/%2e%2e/st/x", "/st/..%2fx", "/st/a/..%2f..%2fx", "/%73t/..%5cx",
    "/%73t/%2e%2e",
    "/st/%252e%252e/x", "/%73t/..;/x", "/st\\x", "/st%5cx", "/b%40r%2fx", "/b%40r/..%2fx", "/st/deep%2fx",
    "/%73t%2fdeep/x", "/st%2fdeep/x",
    "/st/..%00", "/st/..%00/x", "/st/%00../x", "/st/%09%2e%2e/x", "/st/.%0a./x", "/st/..%20/x", "/st/%20../x",
    "/st/..%2500/x", "/st/\uff0e\uff0e/x", "/st/%ef%bc%8e%ef%bc%8e/x", "/st/%c0%ae%c0%ae/x", "/st/..%c0%afx",
    "/st/%e0%80%ae%e0%80%ae/x", "/st/..%c1%9cx",
]  # fmt: skip
"""What some server takes for something else than we do."""


async def test_encoded_spellings_of_a_prefix_reach_its_tool_and_the_rest_goes_on_as_it_came(
    visitor: Visitor,
) -> None:
    async with tools() as found:
        cookie = (await found.wire.login(visitor)).cookie
        found.heard()
        for target, asked in tried(list(SPELLINGS.items())):
            answer = await found.wire.ask(target, cookie)
            assert (answer.status, found.heard()) == (200, [asked]), target


async def test_a_prefix_that_servers_read_differently_leads_to_no_tool_but_the_roots(visitor: Visitor) -> None:
    async with tools() as found:
        cookie = (await found.wire.login(visitor)).cookie
        found.heard()
        for target in tried(REFUSED):
            for lines in ([], NAVIGATING):
                answer, heard = await found.wire.ask(target, *lines, cookie), found.heard()
                assert (answer.status, heard) in ((400, []), (200, [("/", target)])), target


BEGINNINGS = st.sampled_from(
    ["/st/", "/%73t/", "/s%74/", "//st/", "/x/../st/", "/./st/", "/st%2f", "/%2573t/", "/%73t"]
)
PIECES = st.lists(
    st.sampled_from(["/", "/st", "%2f", "%2F", "/x", "..", ".", "%2e", "%25", ";", "\\", "é", "%c3%a9", "%ff"])
)


@given(BEGINNINGS, PIECES, st.booleans())
def test_whatever_the_spelling_the_tool_is_asked_for_what_was_decided_on(
    beginning: str, pieces: list[str], strip: bool
) -> None:
    target = read_target(beginning + "".join(pieces), "a")
    if not target.path.startswith("/st/"):
        return
    route = Route("/st/", cast(Upstream, None), base="/base", strip=strip)
    try:
        asked = route.request_target(target).decode("utf-8", "surrogateescape")
    except BadRequest:
        return
    rest = asked.removeprefix("/base/") if strip else asked.removeprefix("/base")
    assert target.raw.endswith(rest), "byte for byte"
    once, twice = unquote(rest), unquote(unquote(rest))
    for form in (rest, once, twice):
        assert not re.search(r"(?:^|[/\\])\.\.?(?:$|[/\\;])", form), "nothing climbs"
    if target.plain:
        assert ("/st/" if strip else "") + once == target.path


async def test_an_encoded_prefix_is_public_only_where_the_path_is(visitor: Visitor) -> None:
    async with tools(access={"public": ["/st/open/*"]}) as found:
        for target in tried(("/st/open/x", "/%73t/open/x", "/st/op%65n/x")):
            assert (await found.wire.ask(target)).status == 200
            assert found.heard()[0][0] == "/st/"
        for target in tried(
            ("/st/open/..%2fx", "/%73t/open/%2e%2e/x", "/%2573t/open/x", "/st%2fopen/x", "/ST/open/x")
        ):
            assert (await found.wire.ask(target)).status == 401
        assert not found.heard()


async def test_a_tool_that_keeps_its_prefix_is_not_told_to_add_it(visitor: Visitor) -> None:
    async with tools() as found:
        cookie = (await found.wire.login(visitor)).cookie
        await found.wire.ask("/st/deep/x", cookie, "X-Forwarded-Prefix: /evil")
        await found.wire.ask("/%73t/x", cookie)
        [kept], [stripped] = found.tools["/st/deep/"].heard, found.tools["/st/"].heard
        assert kept.all("X-Forwarded-Prefix") == []
        assert stripped.all("X-Forwarded-Prefix") == ["/st"]


@pytest.mark.parametrize("strip", ["true", "false"])
async def test_no_path_climbs_out_whether_the_prefix_stays_or_not(visitor: Visitor, strip: str) -> None:
    tool = Tool()
    async with tool.listening() as url, wired(upstreams={"/st/": {"url": f"{url}/base", "strip": strip}}) as wire:
        cookie = (await wire.login(visitor, "/oauth2/start")).cookie
        for target in tried([target for target in REFUSED if "deep" not in target and "b%40" not in target]):
            assert (await wire.ask(target, cookie)).status in (400, 404), target
        assert not tool.heard
        assert (await wire.ask("/%73t/x", cookie)).status == 200
        asked = "/base/x" if strip == "true" else "/base/%73t/x"
        assert [heard.line for heard in tool.heard] == [f"GET {asked} HTTP/1.1"]
