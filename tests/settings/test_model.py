"""The settings as a tree: defaults, values that depend on each other, and what is refused."""

import json
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.settings import (
    AuditTo,
    Cookie,
    EmailPattern,
    EmailsFile,
    Everyone,
    Group,
    Listen,
    Pair,
    Sqlite,
    Tls,
    ToolApi,
    effective,
)
from tests.support.certificates import Authority
from tests.support.configuration import KEY, PARTS, TOOL_API, file, problem, problems, read

AN_ANCESTOR = (
    "a site that may show the tool in a frame is written as https://portal.example.com, "
    "https://*.example.com or with a port"
)


def test_a_file_with_the_required_keys_gets_the_defaults_of_the_contract() -> None:
    settings = read(file())
    assert settings.public_url == "https://review.example.com"
    assert (settings.host, settings.secure, settings.shown_name) == (
        "review.example.com",
        True,
        "review.example.com",
    )
    assert settings.listen == Listen("127.0.0.1", 4180)
    assert settings.tls is None
    assert settings.frameio.client_secret is None
    assert (settings.session.lifetime, settings.session.idle, settings.session.store) == (
        604_800,
        86_400,
        "cookie",
    )
    cookie = settings.session.cookie
    assert (cookie.name, cookie.domain, cookie.same_site, cookie.path) == ("oauth_proxy", None, "lax", "/")
    assert (settings.upstreams["/"].timeout, settings.upstreams["/"].host) == (30, "pass")
    assert settings.access.allow == (Everyone(),)
    assert settings.access.public == ()
    assert settings.access.recheck == 3600
    assert settings.tool_api is None
    assert settings.headers == {
        "Authorization": "Bearer {access_token}",
        "X-Forwarded-User": "{id}",
        "X-Forwarded-Email": "{email}",
        "X-Forwarded-Preferred-Username": "{name}",
    }
    assert settings.trusted_proxies == ()
    assert settings.admin.listen == Listen("127.0.0.1", 4181)
    assert (settings.log.format, settings.log.access, settings.log.level) == ("text", True, "info")
    assert (settings.log.email, settings.log.trace, settings.log.audit) == (None, False, None)
    assert (settings.pages.name, settings.pages.templates) == (None, None)


EVERY_KEY = f"""\
public_url: https://review.example.com
listen: unix:/run/oauth-proxy.sock
tls: [{{cert: tls.crt, key: tls.key, min_version: 1.3}}, {{cert: other.crt, key: other.key}}]
frameio:
  api: v2
  client_id: an-app
  client_secret: a-secret
  scopes: [offline, account.read, asset.read]
  authorize_url: https://staging.example.com/oauth2/auth
  token_url: https://staging.example.com/oauth2/token
  api_url: https://api.staging.example.com
  revoke_url: https://staging.example.com/oauth2/revoke
  logout_url: https://staging.example.com/oauth2/logout
  ca_file: other.crt
session:
  secret: [{KEY}, "zH3mVb0kQ1n5cW8xR2tY7uI4oP6aS9dFgJhKlZqXeCs="]
  lifetime: 8h
  idle: 1h30m
  cookie: {{name: review, domain: example.com, same_site: none, path: /}}
  store: sqlite:sessions.db
upstreams:
  /: http://127.0.0.1:3000
  /render/:
    url: unix:/run/render.sock
    timeout: 5m
    host: upstream
    verify: true
    allow: [group: editors]
    deny: [email: away@studio.example.com]
  /safe/: {{url: https://tool.example.com, ca_file: tls.crt, client_cert: {{cert: other.crt, key: other.key}}}}
access:
  groups: {{editors: [email: jo@studio.example.com, emails_file: people.txt]}}
  allow:
    - email: "*@studio.example.com"
    - account: 2f1c7d0e-5b7a-4a52-9d3c-1f6d5c1f4b20
  deny: [email: ex@studio.example.com]
  public: ["GET /healthz", "/assets/*"]
  bearer: true
  recheck: 10m
webhooks:
  /hooks/frameio: {{secret: signing-secret}}
headers: {{Authorization: "Bearer {{access_token}}", X-Expires: "{{expires_at}}", X-H: "{{handle}}"}}
tool_api: {{listen: "[::1]:4182"}}
limits: {{body_rate: 1KiB}}
trusted_proxies: [10.0.0.0/8, "::1"]
admin: {{listen: "[::1]:4181"}}
log: {{format: json, access: false, level: warning, email: true, trace: true, audit: ./audit.log}}
pages:
  name: Review room
  templates: pages
  contact: help@studio.example.com
  logo: pages/logo.svg
  accent: "#0B6E4F"
  frame_ancestors: [https://portal.example.com, "HTTPS://*.Example.com:8443/"]
  footer: Only for people of the studio.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with everything that EVERY_KEY names."""
    Authority().write(tmp_path / "tls", "review.example.com")
    Authority().write(tmp_path / "other", "other.example.com")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/logo.svg").write_text("<svg/>")
    (tmp_path / "people.txt").write_text("# freelancers\nsam@partner.example.org\n")
    return tmp_path


def test_every_key_of_the_contract_is_read(folder: Path) -> None:
    settings = read(EVERY_KEY, folder=folder)
    assert settings.listen.path == "/run/oauth-proxy.sock"
    assert settings.tls == (
        Tls.model_construct(cert=folder / "tls.crt", key=folder / "tls.key", min_version="1.3"),
        Tls.model_construct(cert=folder / "other.crt", key=folder / "other.key"),
    )
    assert settings.frameio.scopes == ("offline", "account.read", "asset.read")
    assert settings.frameio.revoke_url == "https://staging.example.com/oauth2/revoke"
    assert [len(key) for key in settings.session.keys] == [32, 32]
    assert (settings.session.lifetime, settings.session.idle) == (28_800, 5_400)
    assert settings.session.cookie.domain == "example.com"
    assert settings.upstreams["/render/"].url.socket == "/run/render.sock"
    assert (settings.upstreams["/render/"].timeout, settings.upstreams["/render/"].host) == (300, "upstream")
    assert settings.upstreams["/render/"].allow == (Group("editors"),)
    assert settings.upstreams["/render/"].deny == (EmailPattern("away", "studio.example.com"),)
    assert settings.upstreams["/safe/"].ca_file == folder / "tls.crt"
    assert settings.upstreams["/safe/"].client_cert == Pair.model_construct(
        cert=folder / "other.crt", key=folder / "other.key"
    )
    assert settings.frameio.ca_file == folder / "other.crt"
    assert settings.access.groups == {
        "editors": (EmailPattern("jo", "studio.example.com"), EmailsFile(folder / "people.txt"))
    }
    assert settings.access.deny == (EmailPattern("ex", "studio.example.com"),)
    assert settings.frameio.logout_url == "https://staging.example.com/oauth2/logout"
    assert settings.session.store == Sqlite(folder / "sessions.db")
    assert (settings.access.bearer, settings.access.recheck) == (True, 600)
    assert settings.tool_api == ToolApi(listen="[::1]:4182")
    assert settings.webhooks["/hooks/frameio"].keys == [b"signing-secret"]
    assert settings.limits.body_rate == 1024
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert (settings.log.format, settings.log.access, settings.log.level) == ("json", False, "warning")
    assert (settings.log.email, settings.log.trace) == (True, True)
    assert settings.log.audit == AuditTo("file", folder / "audit.log")
    assert settings.shown_name == "Review room"
    assert settings.pages.templates == folder / "pages"


def test_what_is_in_effect_loads_again_to_the_same_settings(folder: Path) -> None:
    settings = read(EVERY_KEY, folder=folder)
    written = effective(settings).replace("<hidden>", "a-secret", 1).replace("<hidden>", "signing-secret")
    for key in (KEY, "zH3mVb0kQ1n5cW8xR2tY7uI4oP6aS9dFgJhKlZqXeCs="):
        written = written.replace("<hidden, 32 bytes>", key, 1)
    assert read(written) == settings


def test_without_a_word_about_machines_none_gets_in() -> None:
    settings = read(file())
    assert settings.access.bearer is False
    assert settings.webhooks == {}


def test_a_webhook_has_one_secret_or_several_which_are_never_shown() -> None:
    settings = read(file(extra="webhooks: {/a: {secret: first}, /b: {secret: [first, second]}}"))
    assert settings.webhooks["/a"].keys == [b"first"]
    assert settings.webhooks["/b"].keys == [b"first", b"second"]
    for text in (repr(settings), effective(settings), json.dumps(settings.model_dump(mode="json"))):
        assert "first" not in text


@pytest.mark.parametrize(
    ("webhooks", "message"),
    [
        ("{hooks: {secret: x}}", "a path begins with '/' (did you mean /hooks?)"),
        ("{/hooks/../a: {secret: x}}", "a path has no '//', '/./' or '/../' in it"),
        (
            "{/hooks/%61: {secret: x}}",
            "a path is written plainly: letters, digits and -._~!$&'()*+,:@= without escapes",
        ),
        ('{"/hooks/*": {secret: x}}', "a webhook has one path, without '*'"),
        ("{/oauth2/hook: {secret: x}}", "/oauth2/ belongs to the proxy and takes no webhook"),
        (
            "{/a: {secret: x}, /A/: {secret: y}}",
            "to many tools two of these paths are one: they ignore case, or a slash at the end",
        ),
        ("{/a: {}}", "'webhooks./a.secret' is missing"),
        ("{/a: x}", "keys with values are wanted here, not a single value"),
        ("[/a]", "keys with values are wanted here, not a list"),
        ("{/a: {secret: []}}", "at least one is needed here"),
        ('{/a: {secret: ""}}', "'webhooks./a.secret' is empty"),
        ("{/a: {secret: changeme}}", "this is a placeholder; Frame.io shows the real one on the app's page"),
        ("{/a: {secrets: x, secret: y}}", "unknown key 'secrets' (did you mean 'secret'?)"),
        ("{/a: {secretfile: x, secret: y}}", "unknown key 'secretfile' (did you mean 'secret_file'?)"),
    ],
)
def test_a_webhook_that_could_not_be_verified_is_refused(webhooks: str, message: str) -> None:
    assert problem(extra=f"webhooks: {webhooks}") == message


def test_the_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(read(file()).frameio, "api", "v2")  # noqa: B010 - mypy would refuse the plain form


def test_nothing_printable_shows_a_secret() -> None:
    secret = "the-clients-own-secret"
    settings = read(file(frameio=f"frameio: {{api: v4, client_id: a, client_secret: {secret}}}"))
    raw = settings.session.keys[0]
    shown = [repr(settings), str(settings), effective(settings), json.dumps(settings.model_dump(mode="json"))]
    shown += [repr(settings.session), repr(settings.frameio), str(settings.model_dump())]
    for text in shown:
        assert secret not in text
        assert KEY not in text
        assert repr(raw)[2:-1] not in text


@pytest.mark.parametrize(
    ("api", "scopes"),
    [("v2", "offline account.read"), ("v4", "openid email profile offline_access additional_info.roles")],
)
def test_each_api_has_scopes_of_its_own(api: str, scopes: str) -> None:
    assert read(file(frameio=f"frameio: {{api: {api}, client_id: a}}")).frameio.scopes == tuple(scopes.split())


def test_a_short_lifetime_shortens_the_idle_time_that_nobody_set() -> None:
    assert read(file(session=f"session: {{secret: {KEY}, lifetime: 1h}}")).session.idle == 3600


def test_an_idle_time_beyond_the_lifetime_is_refused() -> None:
    assert problem(session=f"session: {{secret: {KEY}, lifetime: 1h, idle: 2h}}") == (
        "idle is longer than lifetime, so it would never end a session (did you mean 1h?)"
    )


def test_a_lifetime_with_a_problem_is_one_problem() -> None:
    assert problem(session=f"session: {{secret: {KEY}, lifetime: 1}}").startswith("a duration needs a unit")


def test_the_same_secret_twice_rotates_nothing() -> None:
    assert problem(session=f"session: {{secret: [{KEY}, {KEY}]}}") == "the same session secret stands here twice"


@pytest.mark.parametrize(
    ("secrets", "message"),
    [("[]", "at least one is needed here"), (f"[{', '.join([KEY] * 11)}]", "these are too many")],
)
def test_a_key_ring_has_one_to_ten_keys(secrets: str, message: str) -> None:
    assert problem(session=f"session: {{secret: {secrets}}}") == message


@pytest.mark.parametrize(
    ("cookie", "message"),
    [
        ("name: __Host-x", "the proxy puts __Host- or __Secure- before the name itself (did you mean x?)"),
        ("name: __secure-x", "the proxy puts __Host- or __Secure- before the name itself (did you mean x?)"),
        ("name: a b", "a cookie's name is letters, digits, '-' and '_', at most 64 of them"),
        ('name: "a;b"', "a cookie's name is letters, digits, '-' and '_', at most 64 of them"),
        ("domain: com", "a cookie's domain has a dot in it and is not an address"),
        ("domain: 127.0.0.1", "a cookie's domain has a dot in it and is not an address"),
        ("domain: .example.com", "a domain name is wanted, such as studio.example.com"),
        (
            "domain: view.example.com",
            "the host of public_url does not lie in this domain, so browsers would drop the cookie",
        ),
        (
            "domain: w.example.com",
            "the host of public_url does not lie in this domain, so browsers would drop the cookie",
        ),
        (
            "domain: xample.com",
            "the host of public_url does not lie in this domain, so browsers would drop the cookie",
        ),
        ("same_site: Lax", "this must be lax or none (did you mean lax?)"),
        (
            "same_site: strict",
            "strict cannot work: browsers do not send such a cookie on the way back from Frame.io, "
            "so signing in would go round for ever (did you mean lax?)",
        ),
        (
            "path: /tool/",
            "the cookie's path is always '/': elsewhere routes under /oauth2/ would not get it (did you mean /?)",
        ),
    ],
)
def test_a_cookie_that_browsers_would_drop_or_confuse_is_refused(cookie: str, message: str) -> None:
    assert problem(session=f"session: {{secret: {KEY}, cookie: {{{cookie}}}}}") == message


@pytest.mark.parametrize(
    ("host", "suffix", "suggestion"),
    [
        ("review.example.co.uk", "co.uk", "example.co.uk"),
        ("review.github.io", "github.io", "review.github.io"),
        ("a.review.fly.dev", "fly.dev", "review.fly.dev"),
        ("a.b.c.kawasaki.jp", "c.kawasaki.jp", "b.c.kawasaki.jp"),
    ],
)
def test_a_cookie_is_shared_with_no_domain_in_which_anybody_may_have_hosts(
    host: str, suffix: str, suggestion: str
) -> None:
    part = {
        "public_url": f"public_url: https://{host}",
        "session": f"session: {{secret: {KEY}, cookie: {{domain: {suffix}}}}}",
    }
    [only] = problems(file(**part))
    assert "a public suffix" in only
    assert only.endswith(f"(did you mean {suggestion}?)")


@pytest.mark.parametrize("domain", ["review.example.com", "example.com"])
def test_a_cookie_may_be_shared_with_the_domain_the_public_host_lies_in(domain: str) -> None:
    settings = read(file(session=f"session: {{secret: {KEY}, cookie: {{domain: {domain}}}}}"))
    assert settings.session.cookie.domain == domain


def test_same_site_none_needs_https() -> None:
    line = problem(
        public_url="public_url: http://localhost:4180",
        session=f"session: {{secret: {KEY}, cookie: {{same_site: none}}}}",
    )
    assert line == "none needs https: browsers drop such a cookie over http (did you mean lax?)"


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"upstreams": "upstreams: {}"}, "at least one is needed here"),
        (
            {"upstreams": "upstreams: http://a"},
            "keys with values are wanted here, not a single value (did you mean {/: http://a}?)",
        ),
        ({"upstreams": "upstreams: {/: [http://a]}"}, "keys with values are wanted here, not a list"),
        ({"upstreams": "upstreams: {/: {timeout: 1s}}"}, "'upstreams./.url' is missing"),
        ({"upstreams": "upstreams: {/: {url: [http://a]}}"}, "one value is wanted here, not a list"),
        ({"upstreams": "upstreams: {/a: http://a}"}, "a path prefix ends with '/' (did you mean /a/?)"),
        ({"upstreams": "upstreams: {/: {url: http://a, host: visitor}}"}, "this must be pass or upstream"),
        ({"access": "access: {allow: []}"}, "at least one is needed here"),
        ({"access": "access: {}"}, "'access.allow' is missing"),
        (
            {"access": "access: {allow: everyone}"},
            "a list is wanted here, not a single value (did you mean [everyone]?)",
        ),
        (
            {"access": 'access: {allow: [everyone, {email: "*@example.com"}]}'},
            "everyone lets everybody in, so the other rules would do nothing; keep one or the other",
        ),
        ({"frameio": "frameio: v4"}, "keys with values are wanted here, not a single value"),
        ({"frameio": "frameio: {api: [v4], client_id: a}"}, "one value is wanted here, not a list"),
        ({"frameio": "frameio: {api: v5, client_id: a}"}, "this must be v2 or v4"),
        ({"frameio": "frameio: {api: v4, client_id: a, scopes: []}"}, "at least one is needed here"),
        (
            {"frameio": "frameio: {api: v4, client_id: a, scopes: [openid email]}"},
            "each scope is one word; several stand in a list",
        ),
        (
            {"extra": "headers: {X-A: a, x_a: b}"},
            "two of these names are the same header: case, and '_' for '-', make no difference to tools",
        ),
        ({"extra": "headers: [X-A]"}, "keys with values are wanted here, not a list"),
        (
            {"extra": "trusted_proxies: 10.0.0.0/8"},
            "a list is wanted here, not a single value (did you mean [10.0.0.0/8]?)",
        ),
        ({"extra": "listen: [a]"}, "one value is wanted here, not a list"),
        ({"extra": "log: {access: yes}"}, "this must be true or false (did you mean true?)"),
        ({"extra": "log: {access: False}"}, "this must be true or false (did you mean false?)"),
        ({"extra": "log: {access: maybe}"}, "this must be true or false"),
        ({"extra": "admin: {listen: 127.0.0.1:4180}"}, "admin.listen is the public listener; the two must differ"),
        ({"extra": "listen: 127.0.0.1:4181"}, "admin.listen is the public listener; the two must differ"),
        (
            {"extra": "tool_api: {listen: 127.0.0.1:4180}"},
            "tool_api.listen is the public listener; the two must differ",
        ),
        (
            {"extra": "tool_api: {listen: 127.0.0.1:4181}"},
            "tool_api.listen is admin.listen; the two must differ",
        ),
        ({"extra": "tool_api: {}"}, "'tool_api.listen' is missing"),
        (
            {"extra": "tool_api: unix:/run/tool.sock"},
            "keys with values are wanted here, not a single value (did you mean {listen: unix:/run/tool.sock}?)",
        ),
        ({"extra": "tool_api: {listn: unix:/run/tool.sock}"}, "unknown key 'listn' (did you mean 'listen'?)"),
        (
            {"access": "access: {allow: [everyone], recheck: 59s}"},
            "Frame.io counts each visitor's calls, so recheck is at least 1m (did you mean 1m?)",
        ),
        (
            {"access": "access: {allow: [everyone], recheck: 1}"},
            "a duration needs a unit, such as 90s, 15m, 8h or 7d (did you mean 1s?)",
        ),
        (
            {"access": "access: {allow: [everyone], rechek: 1h}"},
            "unknown key 'rechek' (did you mean 'recheck'?)",
        ),
        (
            {"frameio": "frameio: {api: v4, client_id: a, logout_url: signout.example.com}"},
            "a URL begins with http:// or https:// (did you mean https://signout.example.com?)",
        ),
        ({"extra": "tls: {cert: a.crt, key: a.key}"}, "the file cannot be read: no such file or directory"),
        ({"extra": "pages: {templates: nowhere}"}, "the folder cannot be read: no such file or directory"),
        ({"extra": f"pages: {{name: {'x' * 81}}}"}, "this is one line of at most 80 characters"),
        ({"extra": f"pages: {{footer: {'x' * 81}}}"}, "this is one line of at most 80 characters"),
        ({"extra": "pages: {logo: nowhere.svg}"}, "the file cannot be read: no such file or directory"),
        (
            {"extra": "pages: {contact: support}"},
            "a contact is an email address, or a URL such as https://help.example.com/review",
        ),
        (
            {"extra": "pages: {contact: 'javascript://alert(1)'}"},
            "a contact is an email address, or a URL such as https://help.example.com/review",
        ),
        ({"extra": "pages: {contact: '*@studio.example.com'}"}, "a contact is one mailbox"),
        (
            {"extra": "pages: {frame_ancestors: ['*']}"},
            AN_ANCESTOR,
        ),
        (
            {"extra": "pages: {frame_ancestors: ['https:']}"},
            AN_ANCESTOR,
        ),
        (
            {"extra": 'pages: {frame_ancestors: ["https://a.example.com; script-src *"]}'},
            AN_ANCESTOR,
        ),
        (
            {"extra": "pages: {frame_ancestors: ['https://portal.example.com/page']}"},
            AN_ANCESTOR,
        ),
        (
            {"extra": "pages: {accent: green}"},
            "a colour is written as #rrggbb, such as #0b6e4f, in quotes as # begins a comment",
        ),
    ],
)
def test_a_value_that_cannot_be_used_is_told_in_one_sentence(part: dict[str, str], message: str) -> None:
    lines = problems(file(**part))
    assert {line.split(": ", 1)[1] for line in lines} == {message}


def test_a_path_that_the_system_cannot_even_look_at_is_told_and_not_raised(tmp_path: Path) -> None:
    assert problems(file(extra=f"pages: {{templates: {'x' * 300}}}"), folder=tmp_path) == [
        "6:20: the folder cannot be read: file name too long"
    ]
    assert problems(file(extra="tls: {cert: /dev/null/x, key: /dev/null/x}")) == [
        f"6:{column}: the file cannot be read: not a directory" for column in (13, 31)
    ]


def test_settings_are_not_made_without_knowing_the_file_they_stand_in() -> None:
    with pytest.raises(TypeError, match="settings are read with a Reading as their context"):
        Cookie(domain="example.com")


def test_all_listeners_may_take_free_ports() -> None:
    listeners = "listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\ntool_api: {listen: 127.0.0.1:0}"
    assert read(file(extra=listeners)).admin.listen.port == 0


@pytest.mark.parametrize(
    "listen",
    ["unix:/run/oauth-proxy/tool.sock", "127.0.0.1:4182", "127.1.2.3:4182", "localhost:4182", "[::1]:4182"],
)
def test_the_tool_api_listens_on_this_machine(listen: str) -> None:
    settings = read(file(extra=f'tool_api: {{listen: "{listen}"}}'))
    assert settings.tool_api is not None
    assert str(settings.tool_api.listen) == listen
    assert f"tool_api:\n  listen: {listen}" in effective(settings).replace("'", "")


@pytest.mark.parametrize(
    ("listen", "suggestion"),
    [
        ("0.0.0.0:4182", " (did you mean 127.0.0.1:4182?)"),
        ("[::]:4182", " (did you mean 127.0.0.1:4182?)"),
        ("10.0.0.7:4182", " (did you mean 127.0.0.1:4182?)"),
        ("tool.example.com:4182", ""),
    ],
)
def test_the_tool_api_answers_no_other_machine(listen: str, suggestion: str) -> None:
    message = "the tool API answers on this machine only: unix:/path, or a port of 127.0.0.1"
    assert problems(file(extra=f'tool_api: {{listen: "{listen}"}}')) == [f"6:20: {message}{suggestion}"]


def test_one_socket_is_not_two_listeners() -> None:
    listeners = "admin: {listen: unix:/run/a.sock}\ntool_api: {listen: unix:/run/a.sock}"
    assert problems(file(extra=listeners)) == ["7:11: tool_api.listen is admin.listen; the two must differ"]


def test_a_tool_that_may_ask_for_tokens_is_told_its_visitors_handle() -> None:
    settings = read(file(extra=TOOL_API))
    assert settings.headers == {**read(file()).headers, "X-OAuth-Proxy-Handle": "{handle}"}
    assert "X-OAuth-Proxy-Handle: '{handle}'" in effective(settings)


def test_headers_of_ones_own_are_left_alone_by_the_tool_api() -> None:
    assert read(file(extra=f'{TOOL_API}\nheaders: {{X-User: "{{id}}"}}')).headers == {"X-User": "{id}"}
    assert read(file(extra=f'headers: {{X-H: "{{handle}}"}}\n{TOOL_API}')).headers == {"X-H": "{handle}"}


def test_a_handle_that_nobody_takes_is_refused_at_its_headers() -> None:
    assert problems(file(extra='headers: {X-H: "id={id}; {handle}"}')) == [
        "6:10: the placeholder {handle} needs tool_api, where tools exchange it for a fresh token"
    ]


def test_a_tool_api_with_a_problem_is_one_problem() -> None:
    lines = problems(file(extra='tool_api: {listen: 4182}\nheaders: {X-H: "{handle}"}'))
    assert lines == ["6:20: a listener is host:port or unix:/path (did you mean 127.0.0.1:4182?)"]
    assert len(problems(file(extra="tool_api: {listen: 4182}"))) == 1


KNOWN = [
    "public_url",
    "frameio",
    "session",
    "upstreams",
    "access",
    "headers",
    "log",
    "api",
    "secret",
    "client_secret_file",
    "cookie",
    "domain",
    "allow",
    "/",
    "url",
    "email",
    "store",
    "revocations",
    "recheck",
    "tool_api",
    "listen",
    "x",
]
VALUES = st.sampled_from(
    [
        "",
        "x",
        "v4",
        "30",
        "everyone",
        "https://a.example",
        "/a/*",
        "${A}",
        "$",
        "{email}",
        "true",
        KEY,
        "sqlite:x",
        "sqlite:/",
        "redis+sentinel://x,/y",
        "unix:/x",
        "{handle}",
        "90s",
    ]
)
TREES = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KNOWN), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(KNOWN), TREES, max_size=6))
def test_no_shape_whatever_raises_anything_but_a_configuration_error(tree: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(json.dumps(tree), {"A": "the-value-of-a"})
    assert caught.value.problems
    for line in caught.value.problems:
        assert line.startswith("proxy.yaml:1:")
        assert "the-value-of-a" not in line


@given(st.sampled_from(sorted(PARTS)), TREES)
def test_one_part_of_any_shape_reads_the_same_twice_or_is_a_configuration_error(part: str, tree: object) -> None:
    with suppress(ConfigurationError):
        settings = read(file(**{part: json.dumps({part: tree})[1:-1]}), {"A": "the-value-of-a"})
        assert read(file(**{part: json.dumps({part: tree})[1:-1]}), {"A": "the-value-of-a"}) == settings


def to_a_tool(url: str, rest: str) -> str:
    return f"upstreams: {{/: {{url: {url}, {rest}}}}}"


@pytest.mark.parametrize(
    ("url", "rest", "message"),
    [
        ("http://tool:1", "verify: false", "this is about TLS, and the tool's URL is not https"),
        ("http://tool:1", "ca_file: tls.crt", "this is about TLS, and the tool's URL is not https"),
        ("https://tool", "ca_file: tls.key", "the file holds no certificate in PEM"),
        ("https://tool", "ca_file: no.crt", "the file cannot be read: no such file or directory"),
        (
            "https://tool",
            "ca_file: tls.crt, verify: false",
            "with ca_file the tool is verified; keep one or the other",
        ),
        (
            "https://tool",
            "client_cert: {cert: tls.crt, key: other.key}",
            "the key is not that of the certificate",
        ),
        ("https://tool", "client_cert: {cert: tls.crt}", "'upstreams./.client_cert.key' is missing"),
    ],
)
def test_tls_to_a_tool_is_refused_where_it_could_not_do_what_it_says(
    folder: Path, url: str, rest: str, message: str
) -> None:
    [only] = problems(file(upstreams=to_a_tool(url, rest)), folder=folder)
    assert only.split(": ", 1)[1] == message
