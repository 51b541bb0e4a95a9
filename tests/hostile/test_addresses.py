"""One reading of the address: what is public, which site is asked, which tool answers."""

import re

import pytest

from tests.support.browser import NAVIGATING, Visitor
from tests.support.raw_http import HANDSHAKE, TOOL_BYTES, Login, Tool, Wire, wired
from tests.tally import tried

NOT_PUBLIC = [
    "/admin?x=/healthz", "/admin?/assets/", "/admin#/healthz", "/admin%23/healthz", "/admin%3f/healthz",
    "/admin;/healthz", "/admin%3b/healthz", "/healthz#", "/healthz%23", "/healthz%3f", "/healthz;",
    "/healthz;x=y", "/healthz%3bx", "/assets/;/admin", "/assets/a;b", "/assets/..;/admin", "/assets/%3f",
    "/assets/#", "/admin%20/healthz", "/admin%00/healthz", "/healthz%00", "/healthz%00.html", "/assets/%00",
    "/assets/a%0ab", "/assets/../admin", "/assets/..", "/assets/.", "/assets/./a", "/assets/%2e%2e/admin",
    "/assets/.%2e/admin", "/assets/%2E%2E/admin", "/assets/..%2fadmin", "/assets%2f..%2fadmin",
    "/assets/..%5cadmin", "/assets/..\\admin", "/assets\\..\\admin", "/assets/%252e%252e/admin",
    "/assets/..%252fadmin", "/assets/%2fadmin", "/assets/%5cadmin", "/assets//admin", "/assets/a//b",
    "//assets/a", "//healthz", "///healthz", "/./healthz", "/x/../healthz", "/x/..//assets/a", "/%2e/healthz",
    "/.//healthz", "\\healthz", "/\\healthz", "/assets/%25", "/assets/%252f", "/assets/%c0%ae%c0%ae/admin",
    "/assets/%c0%af", "/assets/%e0%80%ae", "/assets/%ff", "/assets/%u002e", "/assets/\uff0e\uff0e/admin",
    "/assets/%ef%bc%8e%ef%bc%8e/admin", "/assets/x%ef%bc%8f..%ef%bc%8fadmin", "/assets/%ef%bc%9b",
    "/assets/\u2025/admin", "/assets/%", "/HEALTHZ", "/Healthz", "/healthz/", "/healthz/x", "/healthz.html",
    "/healthz*", "/healthzz", "/health%7a%20", "/healthz%20", "/healthz%09", "/assets", "/Assets/a",
    "/assets%2fa", "/assetsx/a", "/hook", "/", "/admin",
]  # fmt: skip
PUBLIC = [
    "/healthz",
    "/healthz?x=/admin",
    "/he%61lthz",
    "/assets/",
    "/assets/a.js?v=1#",
    "/assets/a%20b",
    "/assets/%C3%A9",
]


def sendable(target: str) -> bool:
    """Whether this can stand in a request line at all; llhttp refuses the rest with 400."""
    return target.isascii()


async def test_no_suffix_and_no_encoding_makes_a_path_public(wire: Wire) -> None:
    found = {target: (await wire.ask(target)).status for target in NOT_PUBLIC if target != "\\healthz"}
    wrong = {
        target: status for target, status in found.items() if status != 401 and (status != 400 or sendable(target))
    }
    assert not wrong
    assert not wire.tool.heard


async def test_public_paths_reach_the_tool_by_the_bytes_that_were_asked_for(wire: Wire) -> None:
    for target in tried(PUBLIC):
        assert (await wire.ask(target)).body == TOOL_BYTES
    assert [heard.line for heard in wire.tool.heard] == [f"GET {target} HTTP/1.1" for target in PUBLIC]


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/healthz"), ("HEAD", "/healthz"), ("PUT", "/assets/a"), ("DELETE", "/assets/a"),
        ("OPTIONS", "/healthz"), ("PATCH", "/hook"), ("GET", "/hook"), ("PROPFIND", "/assets/a"),
    ],
)  # fmt: skip
async def test_a_rule_holds_for_its_own_methods_only(wire: Wire, method: str, target: str) -> None:
    override = ["X-HTTP-Method-Override: GET", "X-HTTP-Method: GET", "X-Method-Override: GET"]
    assert (await wire.ask(target, *override, method=method)).status == 401
    assert not wire.tool.heard
    assert (await wire.ask("/assets/a", method="HEAD")).status == 200
    assert (await wire.ask("/hook", method="POST", body=b"x")).status == 200
    assert [heard.line for heard in wire.tool.heard] == ["HEAD /assets/a HTTP/1.1", "POST /hook HTTP/1.1"]


ANOTHER_PATH = [
    f"{name}: {value}"
    for name in (
        "X-Original-URL", "X-Original-URI", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Forwarded-Path",
        "X-Override-URL", "X_Original_URL", "x-original-url", "X-Auth-Request-Redirect", "X-Forwarded-Prefix",
        "X-Envoy-Original-Path",
    )
    for value in ("/healthz", "/assets/a")
]  # fmt: skip


@pytest.mark.parametrize("trusted", [[], ["127.0.0.1"]])
async def test_only_the_request_line_says_what_is_asked_for_even_from_a_trusted_proxy(trusted: list[str]) -> None:
    async with wired(trusted_proxies=trusted) as wire:
        for target in tried(("/admin", "/oauth2/auth", "/oauth2/userinfo")):
            assert (await wire.ask(target, *ANOTHER_PATH)).status == 401
        assert not wire.tool.heard
        assert (await wire.ask("/healthz", "X-Original-URL: /admin", "X_Rewrite_URL: /admin")).status == 200
        assert b"/admin" not in wire.tool.heard[0].raw


PROBES = [
    "kube-probe/1.31", "GoogleHC/1.0", "ELB-HealthChecker/2.0", "Amazon-Route53-Health-Check-Service",
    "Edge Health Probe", "Consul Health Check", "Envoy/HC", "UptimeRobot/2.0", "Prometheus/2.53",
    "Mozilla/5.0 (compatible; Googlebot/2.1)",
]  # fmt: skip


async def test_a_probe_has_no_exemption(wire: Wire) -> None:
    for agent in PROBES:
        for target in tried(("/oauth2/auth", "/admin", "/", "/readyz", "/ping", "/metrics")):
            assert (await wire.ask(target, f"User-Agent: {agent}")).status == 401
    assert not wire.tool.heard
    assert (await wire.ask("/healthz", f"User-Agent: {PROBES[0]}")).status == 200


async def test_metrics_and_readiness_are_not_on_the_public_listener(wire: Wire, editor: Login) -> None:
    for target in tried(("/metrics", "/readyz", "/debug/pprof/", "/oauth2/metrics", "/oauth2/healthz")):
        assert (await wire.ask(target)).status in (401, 404)
        answer = await wire.ask(target, editor.cookie)
        assert answer.body == TOOL_BYTES or answer.status == 404
        assert b"oauth_proxy_" not in answer.body


HOSTS = [
    "evil.com", "evil.com:{port}", "localhost", "localhost:1", "localhost:{port}.evil.com",
    "localhost.evil.com:{port}", "evil.com/@x", "localhost:{port}@evil.com", "evil@localhost:{port}",
    "localhost:{port}, evil.com", "localhost:{port}/x", "localhost.:{port}", "127.0.0.1:{port}", "[::1]:{port}",
    "localhost:{port}:80", "localhost:{port}:443", "localhost:{port}:{port}", "localhost:{port}:", ":{port}",
    "localhost:{port}?", "localhost:{port}#", "localhost:0{port}", "l\u00f6calhost:{port}", "",
]  # fmt: skip


@pytest.mark.parametrize("template", HOSTS)
async def test_a_foreign_host_is_421_and_is_never_repeated(wire: Wire, editor: Login, template: str) -> None:
    host = template.replace("{port}", str(wire.stage.port))
    for target in tried(("/", "/healthz", "/oauth2/start", "/oauth2/sign_out?rd=/x")):
        answer = await wire.ask(target, *NAVIGATING, editor.cookie, host=host)
        assert answer.status == 421
        assert "evil" not in str(answer)
        assert not answer.all("Set-Cookie")
    assert not wire.tool.heard


async def test_our_host_is_ours_in_any_case(wire: Wire) -> None:
    assert (await wire.ask("/healthz", host=wire.host.upper())).status == 200


async def test_forwarded_host_and_its_kin_change_no_address_of_ours(wire: Wire, visitor: Visitor) -> None:
    spoofed = [
        "X-Forwarded-Host: evil.com", "X-Forwarded-Proto: gopher", "X-Forwarded-Port: 66666",
        "X-Forwarded-Prefix: /evil", "Forwarded: host=evil.com;proto=gopher", "X-Original-Host: evil.com",
        "X-Host: evil.com",
    ]  # fmt: skip
    login = await wire.login(visitor, "/asked", *spoofed)
    assert login.answer.get("Location") == f"{wire.origin}/asked"
    page = await wire.ask("/oauth2/sign_in", *NAVIGATING, *spoofed)
    assert not re.search(r"evil[.]com|/evil|gopher|66666", str(login.started) + str(login.answer) + str(page))
    await wire.ask("/healthz", *spoofed)
    [heard] = wire.tool.heard
    assert heard.all("X-Forwarded-Host") == [wire.host]
    assert heard.all("X-Forwarded-Proto") == ["http"]
    assert not re.search(rb"gopher|66666|/evil", heard.raw)


NEIGHBOURS = [
    "a.example.com:80@evil.com", "a.example.com:x", "example.com:443.evil.com", "badexample.com",
    "a.example.com:8443:443", "a.example.com:443:443", "a.example.com:65536", "a.example.com:0", "a..example.com",
    ".example.com", "-.example.com", "a.-b.example.com", "example.com:443:443", "review.example.com:443:443",
    "a.example.com/x", "a.example.com.", "example.com.evil.com", "a_b.example.com:", "a.example.com, evil.com",
]  # fmt: skip


@pytest.mark.parametrize("host", NEIGHBOURS)
async def test_a_shared_domain_takes_whole_labels_and_a_number_for_a_port(shared: Wire, host: str) -> None:
    assert (await shared.ask("/healthz", host=host)).status == 421
    assert not shared.tool.heard
    assert (await shared.ask("/healthz", host="a.example.com:8443")).status == 200
    assert shared.tool.heard[0].all("X-Forwarded-Host") == ["a.example.com:8443"]


@pytest.mark.parametrize(
    "target",
    [
        "http://evil.com/healthz", "https://evil.com/healthz", "http://{host}@evil.com/healthz",
        "http://u@{host}/healthz", "http://evil.com:80@{host}/healthz", "http://{host}.evil.com/healthz",
        "http:///healthz", "http://{host}\\@evil.com/healthz",
    ],
)  # fmt: skip
async def test_an_absolute_target_for_another_host_is_refused(wire: Wire, target: str) -> None:
    answer = await wire.ask(target.replace("{host}", wire.host))
    assert answer.status in (400, 421)
    assert not wire.tool.heard


async def test_an_absolute_target_for_us_is_its_path_and_never_a_public_one_by_its_host(wire: Wire) -> None:
    assert (await wire.ask(f"http://{wire.host}/healthz")).status == 200
    assert (await wire.ask(f"HTTP://{wire.host.upper()}/assets/a?b")).status == 200
    assert (await wire.ask(f"http://{wire.host}/admin?http://{wire.host}/healthz")).status == 401
    assert [heard.line for heard in wire.tool.heard] == ["GET /healthz HTTP/1.1", "GET /assets/a?b HTTP/1.1"]


CLIMBS = [
    "/render/../x", "/render/%2e%2e/x", "/render/..%2fx", "/render/..%5cx", "/render/%252e%252e/x",
    "/render/a/../../x", "/x/../render/y", "/%72ender/../x", "/render/..;/x", "/render/.%2e;a=b/x",
    "/render/..\\x", "//render/x",
]  # fmt: skip


async def test_no_path_climbs_out_of_its_upstreams_prefix(visitor: Visitor) -> None:
    tool = Tool()
    async with tool.listening() as url, wired(upstreams={"/render/": f"{url}/base"}) as wire:
        login = await wire.login(visitor)
        for climb in tried(CLIMBS):
            assert (await wire.ask(climb, login.cookie)).status in (400, 404), climb
        assert not tool.heard
        assert (await wire.ask("/render/a%20b?c=../d", login.cookie)).status == 200
        assert [heard.line for heard in tool.heard] == ["GET /base/a%20b?c=../d HTTP/1.1"]


@pytest.mark.parametrize(
    "target", ["/admin", "/healthz/../admin", "/assets/..%2fadmin", "/admin?/healthz", "/oauth2/auth"]
)
async def test_a_websocket_without_a_session_is_401_before_the_tool_hears_of_it(wire: Wire, target: str) -> None:
    found = await wire.send(wire.request(target, *HANDSHAKE) + b"\x81\x05hello")
    assert [answer.status for answer in found] == [401]
    assert not wire.tool.heard
