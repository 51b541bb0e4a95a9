import json

from aiohttp import ClientSession, TCPConnector
from yarl import URL

from tests.support.browser import NAVIGATION, Visitor
from tests.support.front_proxies import Scene
from tests.support.proxy import PROGRAM

SPOOFED = [
    "Authorization",
    "CF-Connecting-IP",
    "Client-Cert",
    "Client-IP",
    "Forwarded",
    "Front-End-Https",
    "Path-Info",
    "Proxy",
    "Remote-Email",
    "Remote-Groups",
    "Remote-Name",
    "Remote-User",
    "Script-Name",
    "SSL-Client-Cert",
    "SSL-Client-Verify",
    "True-Client-IP",
    "X-Accel-Mapping",
    "X-Auth-Request-Access-Token",
    "X-Auth-Request-Email",
    "X-Auth-Request-Groups",
    "X-Auth-Request-Preferred-Username",
    "X-Auth-Request-Redirect",
    "X-Auth-Request-User",
    "X-Authenticated-User",
    "X-Client-Cert",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Forwarded-Access-Token",
    "X-Forwarded-Context",
    "X-Forwarded-Email",
    "X-Forwarded-For",
    "X-Forwarded-Groups",
    "X-Forwarded-Host",
    "X-Forwarded-Method",
    "X-Forwarded-Path",
    "X-Forwarded-Port",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto",
    "X-Forwarded-Protocol",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Uri",
    "X-Forwarded-User",
    "X-Host",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "X-Middleware-Subrequest",
    "X-Original-Host",
    "X-Original-Method",
    "X-Original-URI",
    "X-Original-URL",
    "X-Proxy-User",
    "X-Real-IP",
    "X-Remote-Groups",
    "X-Remote-User",
    "X-Rewrite-Path",
    "X-Rewrite-URL",
    "X-Scheme",
    "X-Script-Name",
    "X-Sendfile-Type",
    "X-SSL-Client-Verify",
    "X-Url-Scheme",
    "X-User",
    "X-WebAuth-Role",
    "X-WebAuth-User",
]
ROUTES_TO_AUTH = [
    "/oauth2/auth",
    "/oauth2/auth?x",
    "/oauth2/%61uth",
    "/oauth2//auth",
    "//oauth2/auth",
    "/oauth2/./auth",
    "/echo/../oauth2/auth",
    "/oauth2/x/../auth",
    "/oauth2/x/%2e%2e/auth",
    "/oauth2/auth/",
    "/oauth2/auth;x",
    "/oauth2/auth%3fx",
    "/oauth2/auth%23",
    "/oauth2/auth%00",
    "/oauth2/auth%20",
    "/oauth2\\auth",
    "/OAuth2/Auth",
    "/oauth2%2fauth",
]


ELSEWHERE = "127.0.0.2"


async def headers_at_tool(scene: Scene, visitor: Visitor, lines: dict[str, str]) -> list[tuple[str, str]]:
    async with visitor.session.get(f"{scene.url}/echo", headers={**PROGRAM, **lines}) as answer:
        assert answer.status == 200, await answer.text()
        seen = [(name, value) for name, value in json.loads(await answer.text())["headers"]]
        return [
            (name, value) for name, value in seen if name.lower() != "x-request-id"
        ]  # another for each request


async def test_nothing_a_browser_forges_reaches_the_tool(scene: Scene, visitor: Visitor) -> None:
    await visitor.login(f"{scene.url}/echo")
    honest = await headers_at_tool(scene, visitor, {})
    forged = dict.fromkeys(SPOOFED, "forged")
    forged |= {name.replace("-", "_"): "forged" for name in SPOOFED if "-" in name}
    forged |= {"X-Forwarded_User": "forged", "X_Auth-Request_User": "forged"}
    forged["X-Forwarded-For"] = forged["X_Forwarded_For"] = "203.0.113.9"
    lines = list(forged.items())
    for at in range(0, len(lines), 80):
        assert await headers_at_tool(scene, visitor, dict(lines[at : at + 80])) == honest
    assert "forged" not in str(honest)


async def test_the_address_that_the_tool_is_told_is_the_visitor_s_own_whatever_they_say(scene: Scene) -> None:
    async with scene.visitor() as visitor, ClientSession(connector=elsewhere(scene)) as script:
        await visitor.login(f"{scene.url}/echo")
        cookie = visitor.cookie_line(scene.url).removeprefix("Cookie: ")
        for said in (
            {},
            {"X-Forwarded-For": "203.0.113.9"},
            {"X-Forwarded-For": "203.0.113.9", "Connection": "close, X-Forwarded-For"},
            {"Forwarded": "for=203.0.113.9;proto=http", "X-Forwarded-Proto": "http", "X-Real-IP": "203.0.113.9"},
        ):
            async with script.get(f"{scene.url}/echo", headers={**PROGRAM, "Cookie": cookie, **said}) as answer:
                seen = json.loads(await answer.text())["headers"]
            told = {name.lower(): value for name, value in seen}
            assert told["x-forwarded-for"].split(", ")[0] == ELSEWHERE, said
            assert told["x-forwarded-proto"] == "https"
            assert "203.0.113.9" not in str(seen), said


def elsewhere(scene: Scene) -> TCPConnector:
    """Connections from another address of this machine than the front's."""
    return TCPConnector(ssl=scene.trust, local_addr=(ELSEWHERE, 0))


async def test_the_id_by_which_a_request_is_found_in_logs_is_not_the_visitor_s(
    scene: Scene, visitor: Visitor
) -> None:
    await visitor.login(f"{scene.url}/echo")
    ids: list[str] = []
    for _ in range(2):
        async with visitor.session.get(
            f"{scene.url}/echo", headers={**PROGRAM, "X-Request-Id": "forged"}
        ) as answer:
            seen = json.loads(await answer.text())["headers"]
        ids += [value for name, value in seen if name.lower() == "x-request-id"]
    assert "forged" not in ids
    assert len(set(ids)) == len(ids)
    assert len(ids) == 2 or scene.recipe.asks, "the tool is told it by the proxy"


async def test_a_header_named_in_connection_is_not_taken_from_the_tool(scene: Scene, visitor: Visitor) -> None:
    await visitor.login(f"{scene.url}/echo")
    for named in ("Authorization", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-For"):
        seen = await headers_at_tool(scene, visitor, {"Connection": f"close, {named}"})
        assert [name.lower() for name, _ in seen].count(named.lower()) == 1, named


async def test_no_address_leads_a_page_s_script_to_the_token(scene: Scene, visitor: Visitor) -> None:
    await visitor.login(f"{scene.url}/echo")
    (token,) = [value for name, value in await headers_at_tool(scene, visitor, {}) if name == "Authorization"]
    # The jar goes by the path; a connection of its own sends the target as it stands.
    cookie = visitor.cookie_line(scene.url).removeprefix("Cookie: ")
    async with ClientSession(connector=TCPConnector(ssl=scene.trust)) as script:
        for path in ROUTES_TO_AUTH:
            asked = len(scene.tool_requests)
            target, headers = URL(scene.url + path, encoded=True), {**PROGRAM, "Cookie": cookie}
            async with script.get(target, headers=headers, allow_redirects=False) as answer:
                assert answer.status in (400, 404), (path, answer.status, scene.tool_requests[asked:])
                assert token.removeprefix("Bearer ") not in str(answer.headers) + await answer.text(), path
                assert "Authorization" not in answer.headers, path


async def test_another_host_is_refused(scene: Scene, visitor: Visitor) -> None:
    await visitor.login(f"{scene.url}/echo")
    asked = len(scene.tool_requests)
    async with visitor.session.get(
        f"{scene.url}/echo", headers={**NAVIGATION, "Host": "evil.example.com"}, allow_redirects=False
    ) as answer:
        assert answer.status in (400, 404, 421) or not await answer.read()
    assert len(scene.tool_requests) == asked
