"""Rules of an upstream: no spelling of a path leads round them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.browser import Visitor
from tests.support.proxy import REVIEWER_ONLY
from tests.support.raw_http import TOOL_BYTES, Tool, Wire, wired
from tests.tally import tried

ADMIN = [
    "/admin/", "/admin/x", "/admin", "/admin?x", "/admin/?/", "/admin/#", "/admin;x/y", "/admin;/y", "/;x/admin/y",
    "/%61dmin/x", "/admi%6E/x", "/%61%64%6d%69%6e/x", "/admin%2fx", "/admin%2Fx", "/%2fadmin/x", "/%2561dmin/x",
    "/%252561dmin/x", "/admin%252fx", "//admin/x", "///admin/x", "/.//admin/x", "/./admin/x", "/x/../admin/x",
    "/x/..//admin/x", "/x/..;/admin/x", "/x/%2e%2e/admin/x", "/x/.%2e/admin/x", "/x/..%2fadmin/x",
    "/x/%252e%252e/admin/x", "/x/..%252fadmin/x", "/x/..%5cadmin/x", "/x\\..\\admin\\x", "/\\admin\\x",
    "\\admin/x",
    "/admin\\x", "/admin%5cx", "/ADMIN/x", "/Admin/x", "/aDMIN", "/admin/../admin/x", "/admin./x", "/admin../x",
    "/admin%20/x", "/admin%00/x", "/admin%00", "/admin%0a/x", "/ad%09min/x", "/admin%3fx", "/admin%3b/x",
    "/admin%23", "/admin%c0%afx", "/%c0%ae%c0%ae/admin/x", "/x/%u002e%u002e/admin/x", "/%u0061dmin/x",
    "/admin%ff/x",
    "/%ef%bd%81dmin/x", "/\uff41dmin/x", "/admin%ef%bc%8fx", "/x/%ef%bc%8e%ef%bc%8e/admin/x", "/x/\u2025/admin/x",
    "/%e2%84%b5/../admin/x", "/x/...;/admin/x", "/x/%2e%2e;a=b/admin/x", "/adm%C4%B1n/../admin/x",
    "/;%23/admin/x", "/;%3f/admin/x", "/;a%2523/admin/x", "/;/x%3f@/../admin/x", "/x%23/../admin/x",
    "/;%2fb/admin/x", "/;a%2fb%2fc/admin/x", "/;%5cb/admin/x", "/%3b%252fb/admin/x", "/;%252fb/admin/x",
    "/ADMIN/open;a/x", "/%2561dmin/open%3bx/y", "/admin;/open./x", "/;/admin/open%3f/x",
]  # fmt: skip
"""What some server takes for something below /admin/."""
OTHERS = [
    "/", "/x", "/administrator", "/x/admin/y", "/x?/admin/", "/x%2Fy", "/x;y/z", "/x%20y", "/caf%C3%A9", "/100%25",
    "/x//y", "/.well-known/x", "/x/..y/z", "/%61", "/admi", "/adminx/", "/C%23/x", "/what%3f", "/x;a%2fb/y",
    "/admin/open/x", "/admin/open/Y;z", "/admin/open/C%23",
]  # fmt: skip


@asynccontextmanager
async def narrowed() -> AsyncIterator[Wire]:
    """One tool, of which /admin/ is for the Reviewer alone, and /admin/open/ for everybody."""
    tool = Tool()
    async with tool.listening() as url:
        upstreams = {
            "/": url,
            "/admin/": {"url": f"{url}/admin", **REVIEWER_ONLY},
            "/admin/open/": f"{url}/admin/open",
        }
        async with wired(upstreams=upstreams) as wire:
            yield Wire(wire.stage, tool, wire.origin)


async def test_no_spelling_of_a_path_leads_round_the_rules_of_its_upstream(visitor: Visitor) -> None:
    async with narrowed() as wire:
        login = await wire.login(visitor)
        for target in tried(ADMIN):
            answer = await wire.ask(target, login.cookie)
            assert answer.status in (400, 403), target
            assert TOOL_BYTES not in answer.body
        for target in ("/admin/x", "/%61dmin/x"):
            answer = await wire.ask(f"{wire.origin}{target}", login.cookie)
            assert answer.status == 403
        assert not wire.tool.heard
        for target in OTHERS:
            assert (await wire.ask(target, login.cookie)).body == TOOL_BYTES, target
        assert [heard.line for heard in wire.tool.heard] == [f"GET {target} HTTP/1.1" for target in OTHERS]


async def test_whom_the_upstreams_rules_name_gets_there(visitor: Visitor) -> None:
    async with narrowed() as wire:
        login = await wire.login(visitor, person="Reviewer")
        for target in ("/admin/x", "/admin", "/x/..;/y", *OTHERS):
            assert (await wire.ask(target, login.cookie)).body == TOOL_BYTES, target


async def test_neither_method_nor_handshake_nor_host_leads_round_the_rules(visitor: Visitor) -> None:
    async with narrowed() as wire:
        login = await wire.login(visitor)
        override = ["X-Original-URL: /x", "X-Forwarded-Prefix: /", "X-HTTP-Method-Override: GET"]
        for method in tried(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")):
            assert (await wire.ask("/admin/x", *override, login.cookie, method=method)).status == 403
        assert (await wire.handshake("/admin/socket", login.cookie)).status == 403
        assert (await wire.handshake("/%61dmin/socket", login.cookie)).status == 403
        assert not wire.tool.heard
        assert (await wire.handshake("/socket", login.cookie)).status == 101
