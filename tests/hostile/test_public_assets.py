"""`access.public_assets`: exactly the files that browsers fetch without cookies, and only to read."""

from oauth_proxy.settings import asset_rules
from tests.support.browser import Visitor
from tests.support.proxy import on_stage
from tests.support.raw_http import TOOL_BYTES, Tool, Wire, wired
from tests.tally import tried

ASSETS = [
    "/favicon.ico", "/robots.txt", "/manifest.json", "/manifest.webmanifest", "/site.webmanifest",
    "/browserconfig.xml",
    "/apple-touch-icon.png", "/apple-touch-icon-precomposed.png", "/apple-touch-icon-180x180.png",
    "/apple-touch-icon-120x120-precomposed.png", "/manifest.json?v=1", "/fav%69con.ico", "/st/manifest.json",
    "/st/site.webmanifest",
]  # fmt: skip
NO_ASSETS = [
    "/", "/favicon.ico/", "/favicon.ico/x", "/favicon.ico;x", "/favicon.ico%00", "/Favicon.ico", "/x/favicon.ico",
    "//favicon.ico", "/x/../favicon.ico", "/favicon.ico%2f..%2fadmin", "/favicon.ico/..%2fadmin",
    "/admin?/favicon.ico", "/favicon%2eico",
    "/admin#/favicon.ico", "/manifest.json.bak", "/manifest.jsonx", "/apple-touch-icon-1x1.png",
    "/apple-touch-icon-180x120.png", "/apple-touch-icon/../admin", "/st/favicon.ico", "/st/robots.txt",
    "/st/x/manifest.json", "/stx/manifest.json", "/.well-known/security.txt", "/sitemap.xml",
    "/st/..%2fmanifest.json",
    "/%2566avicon.ico", "/robots.txt\\x", "/st%2fmanifest.json", "/static/manifest.json",
]  # fmt: skip


def two_tools(url: str) -> dict[str, object]:
    return {"/": url, "/st/": {"url": url, "allow": [{"email": "reviewer@studio.example.com"}]}}


async def test_anybody_has_exactly_these_files_and_the_tool_learns_of_nobody(
    visitor: Visitor,
) -> None:
    tool = Tool()
    access = {"public": [], "public_assets": "true"}
    async with tool.listening() as url, wired(upstreams=two_tools(url), access=access) as wire:
        for target in tried(ASSETS):
            assert (await wire.ask(target)).body == TOOL_BYTES, target
            assert (await wire.ask(target, method="HEAD")).status == 200, target
        for target in tried(NO_ASSETS):
            assert (await wire.ask(target)).status in (400, 401), target
        for method in tried(("POST", "PUT", "DELETE", "PATCH", "OPTIONS")):
            assert (await wire.ask("/favicon.ico", method=method)).status == 401
        assert len(tool.heard) == 2 * len(ASSETS)
        cookie = (await wire.login(visitor)).cookie
        await wire.ask("/robots.txt", cookie, "X-Forwarded-Email: me@evil.com", "Authorization: Bearer x")
        assert not [
            name for name, _ in tool.heard[-1].lines if "Email" in name or name in ("Authorization", "Cookie")
        ]


async def test_a_tool_that_accepts_a_websocket_at_any_path_gets_none_of_a_strangers(visitor: Visitor) -> None:
    tool = Tool()
    access = {"public": [], "public_assets": "true"}
    async with tool.listening() as url, wired(upstreams=two_tools(url), access=access) as wire:
        for target in tried(ASSETS):
            assert (await wire.handshake(target)).status == 401, target
        assert not tool.heard
        cookie = (await wire.login(visitor)).cookie
        assert (await wire.handshake("/favicon.ico", cookie)).status == 101
        assert tool.heard[-1].all("X-Forwarded-Email") == ["editor@studio.example.com"]


async def test_they_are_not_public_by_default(wire: Wire) -> None:
    for target in tried(ASSETS):
        assert (await wire.ask(target)).status == 401
    assert not wire.tool.heard


def test_every_such_file_is_only_read_and_has_one_plain_path() -> None:
    rules = list(asset_rules(["/", "/st/"]))
    assert len(rules) == len({rule.path for rule in rules})
    assert all(rule.methods == {"GET", "HEAD"} and not rule.below for rule in rules)
    assert not [rule.path for rule in rules if "%" in rule.path or rule.path.endswith("/")]


async def test_a_newer_file_that_closes_them_closes_them_in_what_still_serves() -> None:
    async with on_stage(access={"public_assets": "true"}) as stage:
        await stage.ask("/favicon.ico")
        assert stage.tool_requests["/favicon.ico"] == 1
        closed = stage.settings.access.model_copy(update={"public_assets": False})
        stage.proxy.obey(stage.settings.model_copy(update={"access": closed}))
        assert (await stage.ask("/favicon.ico")).status == 401
        assert stage.tool_requests["/favicon.ico"] == 1
