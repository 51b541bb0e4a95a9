"""The command `explain`: that it says what the proxy then does, and by which line of the file."""

from pathlib import Path

import pytest
from aiohttp import web

from oauth_proxy.explain import Question, explained
from oauth_proxy.settings import Lines
from tests.support.browser import Visitor
from tests.support.command import said_here
from tests.support.configuration import KEY
from tests.support.proxy import Stage, on_stage

NO_LINES = Lines("stage.yaml", {}, frozenset())
FILE = f"""\
public_url: https://review.example.com
frameio: {{api: v2, client_id: an-app, scopes: [offline, account.read, team.read]}}
session: {{secret: {KEY}}}
upstreams:
  /: http://127.0.0.1:3000
  /render/:
    url: unix:/run/render.sock:/base
access:
  allow:
    - email: "*@studio.example.com"
    - account: 2f1c7d0e-5b7a-4a52-9d3c-1f6d5c1f4b20
      role: [admin, owner]
  public:
    - GET /healthz
    - /assets/*
  bearer: true
webhooks:
  /hooks/frameio: {{secret: the-webhooks-secret}}
headers:
  Authorization: "Bearer {{access_token}}"
  X-Who: "{{email}} {{id}}"
  X-Key: ${{TOOL_KEY}}
"""


def told(folder: Path, *arguments: str) -> str:
    """What the command says of this file, without the folder in front of its name."""
    (folder / "proxy.yaml").write_text(FILE)
    environ = {"TOOL_KEY": "the-tools-own-key"}
    done = said_here("explain", "proxy.yaml", *arguments, folder=folder, environ=environ)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def rows(text: str, subject: str) -> list[str]:
    """What stands behind this word, each time."""
    lines = [line.partition("  ") for line in text.splitlines()]
    return [rest.strip() for first, _, rest in lines if first == subject]


async def answer(stage: Stage, method: str, target: str, person: str | None = None, **headers: str) -> str:
    """What is explained about a request to a stage, whose Host is the stage's unless `headers` say otherwise."""
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return await explained(stage.settings, NO_LINES, Question(method, target, person, lines))


STRANGERS: list[tuple[str, str, dict[str, str], int]] = [
    ("GET", "/open", {}, 200),
    ("GET", "/open?x=1", {}, 200),
    ("POST", "/open", {}, 401),
    ("GET", "/ope%6e", {}, 200),
    ("GET", "/x/../open", {}, 401),
    ("GET", "/private", {}, 401),
    ("GET", "/private", {"Accept": "text/html"}, 302),
    ("GET", "//private", {"Accept": "text/html"}, 302),
    ("GET", "/private", {"Accept": "text/html", "Sec_Fetch_Mode": "cors"}, 401),
    ("GET", "/open", {"Host": "elsewhere.example"}, 421),
    ("GET", "http://elsewhere.example/open", {}, 421),
    ("GET", "open", {}, 400),
    ("TRACE", "/open", {}, 405),
    ("CONNECT", "/open", {}, 405),
    ("CONNECT", "elsewhere.example:443", {}, 405),
    ("CONNECT", "http://elsewhere.example/", {}, 400),
    ("OPTIONS", "*", {}, 400),
    ("GET", "*", {}, 400),
    ("BREW", "/open", {}, 400),
    ("get", "/open", {}, 400),
    ("PRI", "*", {}, 400),
    ("GET", "", {}, 400),
    ("GET", "/op en", {}, 400),
    ("GET", "/open\r\nX-A: b", {}, 505),
    ("GET", "/\x1b[31mopen", {}, 400),
    ("GET", "/\u00fc", {}, 400),
    ("GET", "/" + "a" * 17000, {}, 414),
    ("GET", "/open", {"X_Long": "a" * 66000}, 431),
    ("GET", "/open", {"Transfer_Encoding": "a", "Content_Length": "1"}, 400),
    ("GET", "/oauth2/nothing", {}, 404),
    ("DELETE", "/oauth2/sign_in", {}, 405),
    ("GET", "/oauth2/sign_in", {}, 200),
    ("GET", "/hook", {}, 405),
    ("GET", "/HOOK/", {}, 400),
    ("POST", "/hook", {}, 401),
    ("GET", "/open", {"Authorization": "Bearer a b"}, 200),
    ("GET", "/private", {"Authorization": "Bearer a b"}, 400),
    ("GET", "/open/%2e%2e/x", {}, 401),
]
"""Requests without a session, and the status of the answer."""


def status(text: str) -> int:
    """The status that a stranger gets, according to an explanation."""
    if text.startswith(("Let through", "The proxy answers this itself")):
        return 200
    first = text if text[0].isdecimal() else rows(text, "stranger")[0]
    return int(first.split(" ")[0])


async def test_a_stranger_gets_what_was_explained() -> None:
    async def anything(_: web.Request) -> web.Response:
        return web.Response()

    tool = web.Application()
    tool.router.add_route("*", "/{path:.*}", anything)
    access = {"public": ["GET /open", "/open/*"], "bearer": "true"}
    webhooks = {"/hook": {"secret": "the-webhooks-secret"}}
    async with on_stage(tool=tool, access=access, webhooks=webhooks) as stage:
        for method, target, headers, expected in STRANGERS:
            text = await answer(stage, method, target, **headers)
            named = {"Host": f"localhost:{stage.port}", "Connection": "close", **headers}
            lines = [f"{name.replace('_', '-')}: {value}" for name, value in named.items()]
            head = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""])
            got = int((await stage.raw(head.encode())).split(b" ")[1])
            assert (got, status(text)) == (expected, expected), (method, target, headers, text)


async def test_the_tool_gets_the_request_line_and_the_headers_that_were_explained(visitor: Visitor) -> None:
    headers = {"Accept": "*/*", "User_Agent": "ours", "X_Forwarded_User": "root", "Forwarded": "for=1.2.3.4"}
    async with on_stage(upstreams={"/": "TOOL", "/pre/": {"url": "TOOL", "host": "upstream"}}) as stage:
        text = await answer(stage, "GET", "/pre/echo?a=%20b", "editor@studio.example.com", **headers)
        await visitor.login(f"{stage.url}/echo")
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with visitor.session.get(f"{stage.url}/pre/echo?a=%20b", headers=sent) as got:
            seen = await got.json()
    assert rows(text, "asks for") == [f"GET {seen['path']} HTTP/1.1"]
    told = [header.partition(": ")[::2] for header in rows(text, "header")]
    really = [(name, value) for name, value in seen["headers"] if name not in ("Accept-Encoding", "Cookie")]
    assert sorted(name for name, _ in told) == sorted(name for name, _ in really)
    known = {name: value for name, value in told if "<" not in value}
    assert known.pop("X-Forwarded-Email") == "editor@studio.example.com (by default)"
    assert known == {name: value for name, value in really if name in known}
    assert {"Host", "X-Forwarded-Prefix", "X-Forwarded-Host", "User-Agent"} <= set(known)
    assert rows(text, "struck") == ["X-Forwarded-User, as the request has it", "Forwarded, as the request has it"]


@pytest.mark.parametrize(("person", "enters"), [("Editor", True), ("Guest", False)])
async def test_a_person_enters_where_that_was_explained(person: str, enters: bool, visitor: Visitor) -> None:
    email = {"Editor": "editor@studio.example.com", "Guest": "guest@elsewhere.example.org"}[person]
    async with on_stage(access={"allow": [{"email": "*@studio.example.com"}]}) as stage:
        text = await answer(stage, "GET", "/echo", email)
        got = await visitor.login(f"{stage.url}/echo", person)
    assert text.startswith("Let through" if enters else "403 "), text
    assert got.status == (200 if enters else 403)
    assert bool(rows(text, "header")) is enters


def test_each_thing_is_told_with_its_line(tmp_path: Path) -> None:
    text = told(tmp_path, "GET", "/render/a%20b?q", "--as", "jo@studio.example.com")
    assert text.startswith("Let through, for jo@studio.example.com with a session.\n")
    assert rows(text, "site") == ["https://review.example.com (proxy.yaml:1)"]
    assert rows(text, "public") == ["no: no rule of access.public fits GET of this path (proxy.yaml:13)"]
    assert rows(text, "lets in") == ["email: *@studio.example.com (proxy.yaml:10)"]
    assert rows(text, "upstream") == ["/render/ is unix:/run/render.sock:/base (proxy.yaml:6)"]
    assert rows(text, "asks for") == ["GET /base/a%20b?q HTTP/1.1"]
    assert "X-Who: jo@studio.example.com <their id> (proxy.yaml:21)" in rows(text, "header")
    assert rows(told(tmp_path, "GET", "/assets/a.css"), "public") == ["yes, by /assets/* (proxy.yaml:15)"]
    assert rows(told(tmp_path, "post", "/hooks/frameio"), "webhook")[0].endswith("(proxy.yaml:18)")


def test_without_a_person_every_rule_is_told(tmp_path: Path) -> None:
    assert rows(told(tmp_path, "GET", "/"), "lets in") == [
        "email: *@studio.example.com (proxy.yaml:10)",
        "account: 2f1c7d0e-5b7a-4a52-9d3c-1f6d5c1f4b20, role: admin or owner (proxy.yaml:11)",
    ]


@pytest.mark.parametrize(
    ("person", "deciding"), [("jo@elsewhere.example", ["11"]), ("3b7c1a52-94de-4f08-a6b3", ["10", "11"])]
)
def test_what_only_frame_io_knows_is_not_guessed(person: str, deciding: list[str], tmp_path: Path) -> None:
    text = told(tmp_path, "GET", "/", "--as", person)
    assert text.startswith(f"For {person} it depends on what Frame.io says of them")
    assert [row.rpartition(":")[2].rstrip(")") for row in rows(text, "decides")] == deciding


SITE_RULE = "email: *@a.example (proxy.yaml:9)"
TOOL_RULE = "email: jo@a.example, to / (proxy.yaml:6)"
DENY_RULE = "email: out@a.example (proxy.yaml:11)"


@pytest.mark.parametrize(
    ("person", "end", "by"),
    [
        ("jo@a.example", "Let through", [SITE_RULE, TOOL_RULE]),
        ("kim@a.example", "403 You do not have access: no rule of upstreams./.allow", [TOOL_RULE]),
        ("out@a.example", "403 You do not have access: a rule of access.deny", [DENY_RULE]),
        ("jo@b.example", "403 You do not have access: no rule of access.allow", [SITE_RULE]),
        ("3b7c1a52", "For 3b7c1a52 it depends", [DENY_RULE, SITE_RULE, TOOL_RULE]),
    ],
)
def test_rules_of_groups_of_deny_and_of_an_upstream_are_told(
    person: str, end: str, by: list[str], tmp_path: Path
) -> None:
    lines = [
        "public_url: https://review.example.com",
        "frameio: {api: v4, client_id: an-app}",
        f"session: {{secret: {KEY}}}",
        "upstreams:",
        "  /: {url: http://127.0.0.1:3000, allow: [",
        "    {email: jo@a.example}]}",
        "access:",
        "  groups:",
        '    a: [{email: "*@a.example"}]',
        "  allow: [{group: a}]",
        "  deny: [{email: out@a.example}]",
    ]
    (tmp_path / "proxy.yaml").write_text("\n".join(lines))
    done = said_here("explain", "proxy.yaml", "GET", "/x", "--as", person, folder=tmp_path)
    assert done.stdout.startswith(end), done.stdout
    subjects = ("lets in", "keeps out", "fits not", "decides")
    assert [row for subject in subjects for row in rows(done.stdout, subject)] == by


def test_no_secret_and_no_control_is_told(tmp_path: Path) -> None:
    text = told(
        tmp_path,
        *("GET", "/x", "--as", "jo@studio.example.com\x1b[31m"),
        *("--header", "Cookie: theme=dark; __Host-oauth_proxy=1.sealed", "--header", "Authorization: Bearer abc"),
    )
    assert rows(text, "header")[-2] == "X-Key: <from a variable> (proxy.yaml:22)"
    for each in (KEY, "the-tools-own-key", "the-webhooks-secret", "1.sealed", "theme=dark", "Bearer abc", "\x1b"):
        assert each not in text
    assert "the proxy's own cookies" in rows(text, "struck")


@pytest.mark.parametrize("header", ["Accept", ": x", "A\u00e9: x", "A: \x07"])
def test_a_header_that_is_none_is_a_sentence(header: str, tmp_path: Path) -> None:
    (tmp_path / "proxy.yaml").write_text(FILE.replace("${TOOL_KEY}", "x"))
    done = said_here("explain", "proxy.yaml", "GET", "/", "--header", header, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert 'a header is written "Name: value"' in done.stderr


async def test_a_prefix_without_its_slash_and_the_public_assets_are_told() -> None:
    access = {"public": ["GET /open"], "public_assets": "true"}
    upstreams = {"/": "TOOL", "/st/": {"url": "TOOL", "strip": "false"}}
    async with on_stage(access=access, upstreams=upstreams) as stage:
        assert rows(await answer(stage, "GET", "/%73t?x"), "slash")[0].startswith("whoever opens it as a page")
        assert rows(await answer(stage, "GET", "/st?x", Accept="text/html"), "stranger")[0].startswith("302 to ")
        assert "to /st/?x (308)" in await answer(stage, "GET", "/%73t?x")
        assert not rows(await answer(stage, "POST", "/st"), "slash")
        assert not rows(await answer(stage, "GET", "/open"), "slash")
        text = await answer(stage, "GET", "/st/manifest.json")
        assert rows(text, "public") == ["yes, /st/manifest.json is one of them"]
        assert rows(text, "asks for") == ["GET /st/manifest.json HTTP/1.1"]
        assert rows(await answer(stage, "GET", "/open"), "public") == ["yes, by GET /open"]


async def test_a_websocket_is_told_what_a_stranger_gets() -> None:
    async with on_stage() as stage:
        text = await answer(stage, "GET", "/socket", Upgrade="websocket", Connection="Upgrade")
        assert rows(text, "stranger") == [
            "401 Please sign in; a page of the same host is told 4401 by a Close frame"
        ]


async def test_a_stranger_is_led_to_a_public_prefix() -> None:
    async with on_stage(access={"public": ["/st/*"]}, upstreams={"/": "TOOL", "/st/": "TOOL"}) as stage:
        text = await answer(stage, "GET", "/st?x", Accept="text/html")
        assert rows(text, "stranger") == ["308 to /st/?x, which is public"]
        assert (await stage.ask("/st?x", "Accept: text/html")).get("Location") == "/st/?x"
