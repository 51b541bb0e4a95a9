"""An oauth2-proxy configuration becomes a file that `check` takes, and that opens nothing that was closed.

The inputs are written in the style of files that lie in public repositories: keys with '-', flags as texts, tools
without a '/' at their end, everybody's email address, an alpha configuration with capital letters.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis.strategies import text

from oauth_proxy.errors import ConfigurationError
from oauth_proxy.migration.carrying import KNOWN, migrated
from oauth_proxy.migration.patterns import matched
from oauth_proxy.migration.upstreams import NOWHERE
from oauth_proxy.settings import Settings
from tests.support.browser import Visitor
from tests.support.command import APP, said_here
from tests.support.configuration import KEY, read
from tests.support.places import ROOT
from tests.support.proxy import on_stage

ENVIRON = {**APP, "OAUTH_PROXY_SECRET": KEY, "REDIS_PASSWORD": "a%20word"}
GOOD = 'redirect_url = "https://review.example.com/oauth2/callback"\n'
NOBODY = [{"email": "nobody@not-decided.invalid"}]


def carried(
    tmp_path: Path,
    config: str = "",
    *,
    alpha: str = "",
    flags: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> tuple[dict[str, Any], str]:
    """The new file as YAML, which has to load, and everything that was said about it."""
    file, other = tmp_path / "oauth2-proxy.cfg", tmp_path / "alpha.yaml"
    file.write_text(GOOD + config, "utf-8")
    other.write_text(alpha, "utf-8")
    done = migrated(file, other if alpha else None, flags, environ or {})
    loaded(done.text, tmp_path)
    return yaml.safe_load(done.text), "\n".join(done.summary)


def loaded(text: str, folder: Path) -> Settings:
    return read(text, ENVIRON, folder)


FILES = {
    "in front of one tool": """
        provider = "google"
        http_address = ":8080"
        email_domains = ["studio.example.com"]
        session_store_type = "cookie"
        cookie_expire = "168h"
        cookie_refresh = "1h"
        upstreams = ["http://127.0.0.1:3000"]
        """,
    "everything a text": """
        http_address="0.0.0.0:4180"
        cookie_secret="b2Zmc2V0LXRoZS1tb29uLWFuZC10aGUtc2VhLTEyMw=="
        cookie_secure="false"
        email_domains="*"
        upstreams="http://tool:3838,http://tool:3839/render/"
        cookie_csrf_expire="5m"
        cookie_domains=".example.com"
        skip_provider_button="true"
        cookie_expire="0h0m30s"
        cookie_refresh=0
        """,
    "for auth_request": """
        reverse_proxy = true
        upstreams = ["static://202"]
        set_xauthrequest = true
        pass_access_token = true
        set_authorization_header = true
        email_domains = [".example.com", "*.example.org"]
        whitelist_domains = [".example.com:*"]
        """,
    "with hyphens and placeholders": """
        client-id = "CHANGE_ME"
        oidc-issuer-url = "https://YOUR_DOMAIN/realms/x"
        email-domains = ["*"]
        upstreams = ["http://tool:5006/"]
        cookie-name = "__Host-tool"
        skip-auth-route = ["^/health$"]
        """,
    "with a templater's variables": """
        redirect_url = "https://${HOST}/oauth2/callback"
        upstreams = ["http://${TOOL}:80", "tool:3000"]
        email_domains = ["${DOMAIN}"]
        cookie_name = "a$b"
        """,
    "with nothing in it": "",
}


@pytest.mark.parametrize("name", FILES)
def test_the_new_file_loads_whatever_the_old_one_is(name: str, tmp_path: Path) -> None:
    lines = [line.strip() for line in FILES[name].splitlines()]
    file = tmp_path / "oauth2-proxy.cfg"
    file.write_text("\n".join([*([] if "redirect_url" in FILES[name] else [GOOD]), *lines]), "utf-8")
    done = migrated(file, None, (), {})
    assert loaded(done.text, tmp_path).public_url.startswith("https://")
    assert done.summary[-1].startswith("Then `oauth-proxy check`")


def test_the_command_prints_a_file_that_check_takes_and_says_the_rest_on_standard_error(tmp_path: Path) -> None:
    (tmp_path / "oauth2-proxy.cfg").write_text(GOOD + 'upstreams = ["file:///srv/#/static/"]\n', "utf-8")
    done = said_here("migrate", "oauth2-proxy.cfg", "--", "--email-domain=example.com", folder=tmp_path)
    (tmp_path / "new.yaml").write_text(done.stdout, "utf-8")
    assert done.returncode == 0
    assert "upstreams 1: the proxy serves no files" in done.stderr
    checked = said_here("check", "new.yaml", environ=ENVIRON, folder=tmp_path)
    assert (checked.returncode, yaml.safe_load(checked.stdout)["access"]["allow"]) == (
        0,
        [{"email": "*@example.com"}],
    )


def test_flags_go_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    environ = {
        "OAUTH2_PROXY_UPSTREAMS": "http://b:1,http://c:1/c/",
        "OAUTH2_PROXY_PORT_4180_TCP": "tcp://10.0.0.1",
    }
    flags = ("--cookie-name", "d", "--reverse-proxy", "--skip-auth-route=GET=^/a$", "--skip-auth-route=GET=^/b$")
    new, said = carried(tmp_path, 'cookie_name = "a"\nupstreams = ["http://a:1"]', flags=flags, environ=environ)
    assert new["upstreams"] == {"/": "http://b:1", "/c/": "http://c:1/c"}
    assert new["session"]["cookie"]["name"] == "d"
    assert new["access"]["public"] == ["GET /a", "GET /b"]
    assert "--reverse-proxy: write the addresses" in said
    assert "PORT" not in said


def test_flags_may_name_both_files(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_text('email_domains = "example.com"', "utf-8")
    (tmp_path / "b.yaml").write_text("upstreamConfig: {upstreams: [{path: /, uri: 'http://a'}]}", "utf-8")
    flags = (f"--config={tmp_path}/a.cfg", "--alpha-config", f"{tmp_path}/b.yaml")
    new = yaml.safe_load(migrated(None, None, flags, {}).text)
    assert new["access"]["allow"] == [{"email": "*@example.com"}]
    assert new["upstreams"] == {"/": "http://a"}


# Tools


@pytest.mark.parametrize(
    ("written", "prefix", "url"),
    [
        ("http://tool:3000", "/", "http://tool:3000"),
        ("http://tool:3000/", "/", "http://tool:3000"),
        ("http://tool:3000/render/", "/render/", "http://tool:3000/render"),
        ("https://tool/a/b/", "/a/b/", "https://tool/a/b"),
        ("unix:///run/tool.sock", "/", "unix:/run/tool.sock"),
    ],
)
def test_the_tool_sees_the_path_that_it_saw_before(written: str, prefix: str, url: str, tmp_path: Path) -> None:
    new, _ = carried(tmp_path, f'upstreams = ["{written}"]')
    assert new["upstreams"][prefix] == url


def test_a_tool_without_a_slash_at_its_end_was_one_path_and_is_named(tmp_path: Path) -> None:
    new, said = carried(tmp_path, 'upstreams = ["http://a:1/", "http://b:1/api"]')
    assert new["upstreams"] == {"/": "http://a:1"}
    assert "upstreams 2: without a '/' at its end '/api' was this one path alone" in said


@pytest.mark.parametrize(
    "written",
    ["file:///srv/files/#/x/", "ftp://tool/x/", "http://who:hush@tool/x/"],
)
def test_a_prefix_whose_tool_is_not_carried_over_leads_nowhere(written: str, tmp_path: Path) -> None:
    new, said = carried(tmp_path, f'upstreams = ["http://a:1/", "{written}"]')
    assert new["upstreams"] == {"/": "http://a:1", "/x/": NOWHERE}
    assert "/x/ leads nowhere" in said
    assert "hush" not in said


def test_what_a_fixed_answer_refused_stays_closed_and_where_that_cannot_be_said_its_tool_is_closed(
    tmp_path: Path,
) -> None:
    alpha = """
        upstreamConfig:
          upstreams:
          - {path: /, uri: "http://a"}
          - {path: /b/, uri: "http://b"}
          - {path: /admin/, static: true, staticCode: 403}
          - {path: /b/metrics, static: true, staticCode: 404}
        """
    new, said = carried(tmp_path, alpha=alpha)
    assert new["upstreams"] == {"/": "http://a", "/b/": NOWHERE, "/admin/": NOWHERE}
    assert "Let the tool refuse it, and then write http://b/b" in said


def test_rewrites_to_a_prefix_are_written_as_one_and_others_are_named(tmp_path: Path) -> None:
    alpha = """
        UpstreamConfig:
          Upstreams:
          - {path: "^/render/(.*)$", rewriteTarget: "/$1", uri: "http://a", passHostHeader: false, timeout: 5m}
          - {path: "^/v1\\\\.0/(.*)", rewriteTarget: "/api/v1/${1}", uri: "http://b"}
          - {path: "^/c/([0-9]+)$", rewriteTarget: "/$1", uri: "http://c"}
          - {path: "/d/(.*)$", rewriteTarget: "/$1", uri: "http://d"}
          - {path: "^/e/(.*)$", rewriteTarget: "/x?y=$1", uri: "http://e"}
          - {path: /render/deep/, uri: "http://f"}
        """
    new, said = carried(tmp_path, alpha=alpha)
    assert new["upstreams"] == {
        "/render/": {"url": "http://a", "timeout": "5m", "host": "upstream"},
        "/v1.0/": "http://b/api/v1",
        "/e/": NOWHERE,
    }
    assert "upstreams 3: the path '^/c/([0-9]+)$' is no prefix" in said
    assert "upstreams 4: the path '/d/(.*)$' is no prefix" in said
    assert "upstreams 6: a rewrite took all of its requests" in said


# What needs no sign-in


EXPRESSIONS: list[tuple[str, list[tuple[str, bool]] | None, bool]] = [
    ("^/healthz$", [("/healthz", False)], True),
    ("^/assets/", [("/assets/", True)], True),
    ("^/assets/.*$", [("/assets/", True)], True),
    (r"^/robots\.txt$", [("/robots.txt", False)], True),
    ("^/robots[.]txt$", [("/robots.txt", False)], True),
    ("^/(css|js)/", [("/css/", True), ("/js/", True)], True),
    ("^/a/?$", [("/a", False), ("/a/", False)], True),
    ("^/a(?:/.*)?$", [("/a", False), ("/a/", True)], True),
    ("^/a(/|$)", [("/a/", True), ("/a", False)], True),
    ("^/a$|^/b$", [("/a", False), ("/b", False)], True),
    ("^/", [("/", True)], True),
    (".*", [("/", True)], True),
    ("^/metrics", [("/metrics", False), ("/metrics/", True)], False),
    ("/metrics$", [("/metrics", False)], False),
    ("^/favicon.ico$", [("/favicon.ico", False)], False),
    ("health$", None, False),
    ("^/api/[a-z]+$", None, False),
    ("^/v1*", None, False),
    ("^/static/.+", None, False),
    (r".*\.js$", None, False),
    (r"^/a/\*$", None, False),
    ("(?i)^/a$", None, False),
    (r"^/a/\d$", None, False),
    ("^/a{2}$", None, False),
    ("^/(a$", None, False),
    ("^/a)$", None, False),
    ("^/[^a]$", None, False),
    ("^/a.*b$", None, False),
    ("^/a$b", None, False),
    ("^(" + "a?" * 20 + ")$", None, False),
]


@pytest.mark.parametrize(("expression", "paths", "exact"), EXPRESSIONS)
def test_an_expression_is_read_as_paths_and_prefixes_or_not_at_all(
    expression: str, paths: list[tuple[str, bool]] | None, exact: bool
) -> None:
    found = matched(expression)
    assert (list(found.paths) if found else None) == paths
    assert found is None or found.exact == exact


@pytest.mark.parametrize("expression", [expression for expression, paths, _ in EXPRESSIONS if paths])
def test_what_becomes_public_was_matched_by_the_expression(expression: str) -> None:
    found = matched(expression)
    assert found is not None
    for path, below in found.paths:
        for tail in ("", "x", "x/y.z", "/") if below else ("",):
            assert re.search(expression, path + tail), path + tail


@settings(max_examples=400, deadline=None, derandomize=True)
@given(text("^/ab.$()|?*+[]\\\\:", max_size=14), text("/abx.", max_size=6))
def test_no_expression_makes_more_public_than_it_matched(expression: str, tail: str) -> None:
    found = matched(f"^/{expression}")
    if found is None:
        return
    for path, below in found.paths:
        assert re.search(f"^/{expression}", path + (tail if below else "")), (path, below)


def test_a_rule_keeps_its_method_and_one_without_is_for_all(tmp_path: Path) -> None:
    config = 'skip_auth_routes = ["post=^/hook$", "^/a$"]\nskip_auth_preflight = true'
    new, _ = carried(tmp_path, config)
    every = [f"{method} /a" for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS")]
    assert new["access"]["public"] == ["POST /hook", "/a", *every, "OPTIONS /*"]


@pytest.mark.parametrize(
    "route",
    [
        "GET!=^/a$",
        "!=^/a$",
        "BREW=^/a$",
        "GET|POST=^/a$",
        "^/x=^/a$",
        "^/oauth2/start$",
        "^/a%2fb$",
        "^/api/[0-9]$",
    ],
)
def test_a_route_that_cannot_be_said_stays_behind_the_sign_in(route: str, tmp_path: Path) -> None:
    new, said = carried(tmp_path, f"skip_auth_routes = ['{route}']")
    assert "public" not in new["access"]
    assert "skip_auth_routes 1: " in said


def test_nothing_becomes_public_at_another_tool_than_before(tmp_path: Path) -> None:
    config = """
upstreams = ["http://a:1/", "http://b:1/status"]
skip_auth_routes = ["^/status$", "^/(status|x)$", "^/", "GET=^/other$"]
skip_auth_preflight = true
"""
    new, said = carried(tmp_path, config)
    assert new["access"]["public"] == ["GET /other"]
    assert "skip_auth_routes 1: '^/status$' stays behind the sign-in: it was about an upstream" in said
    assert "skip_auth_preflight: " in said


# Who may enter


def test_domains_and_mailboxes_are_rules(tmp_path: Path) -> None:
    (tmp_path / "emails").write_text(
        '# people\njo@example.net, Jo\n"Mia@Example.net"\n\n*@evil.example\n', "utf-8"
    )
    config = f"""
email_domains = ["example.com", ".example.org", "*.b.example.org", "no domain"]
authenticated_emails_file = "{tmp_path}/emails"
"""
    new, said = carried(tmp_path, config)
    assert [rule["email"] for rule in new["access"]["allow"]] == [
        "*@example.com",
        "*@*.example.org",
        "*@*.b.example.org",
        "jo@example.net",
        "Mia@Example.net",
    ]
    assert "email_domains 'no domain': nobody is let in by it" in said
    assert "email: an address is believed as Frame.io's profile has it" in said
    assert "authenticated_emails_file entry 3: it is no mailbox" in said


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("jo@example.net\nMia@Example.net\r\n\n# who left: al@example.net\n", None),
        ("\ufeffjo@example.net", None),
        ("# nobody yet", None),
        ("jo@example.net\n*@example.net\n", "emails_file would let in others by the file"),
        ("jo@example.net # since May\n", "emails_file would let in others by the file"),
        ("jo@example.net,Jo\n", "emails_file does not take the file (line 1 of the file: "),
        ('"jo@example.net"\n', "emails_file does not take the file (line 1 of the file: "),
        ("jo@localhost\nmia@example.net\n", "emails_file does not take the file (line 1 of the file: "),
        ("", "emails_file does not take the file (the file is empty"),
    ],
)
def test_a_file_of_addresses_stays_a_file_where_it_means_the_same(
    lines: str, why: str | None, tmp_path: Path
) -> None:
    (tmp_path / "emails").write_text(lines, newline="")
    new, said = carried(tmp_path, f'authenticated_emails_file = "{tmp_path}/emails"')
    is_file = new["access"]["allow"] == [{"emails_file": f"{tmp_path}/emails"}]
    assert is_file is (why is None), new["access"]
    assert (why or "the file is read as it is, and again when it changes") in " ".join(said.split())
    if why:
        assert "*@" not in str(new["access"]["allow"])


def test_a_long_file_of_addresses_is_carried_over_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "emails").write_text("".join(f"jo{n}@example.net\n" for n in range(3000)))
    new, _ = carried(tmp_path, f'authenticated_emails_file = "{tmp_path}/emails"')
    assert new["access"]["allow"] == [{"emails_file": f"{tmp_path}/emails"}]


@pytest.mark.parametrize(
    "config",
    [
        'email_domains = ["*"]',
        "",
        'email_domains = ["example.com"]\nallowed_groups = ["a"]',
        'email_domains = ["example.com"]\ngithub_org = "a"',
        'email_domains = ["example.com"]\ngoogle_group = ["a@example.com"]',
        'email_domains = ["example.com"]\nazure_tenant = "0d6f8f55"',
        'authenticated_emails_file = "/no/such/file"',
    ],
)
def test_nobody_is_let_in_where_it_is_not_certain_who_was(config: str, tmp_path: Path) -> None:
    new, said = carried(tmp_path, config)
    assert new["access"]["allow"] == NOBODY
    assert "  allow: " in said


def test_everybodys_address_is_not_everyone_and_the_reason_is_told(tmp_path: Path) -> None:
    new, said = carried(tmp_path, 'email_domains = ["*", "example.com"]')
    assert new["access"]["allow"] == [{"email": "*@example.com"}]
    assert "it would be everybody in the world who has an account there" in said


def test_groups_of_an_alpha_configuration_close_the_door_too(tmp_path: Path) -> None:
    alpha = "providers: [{provider: keycloak-oidc, keycloakConfig: {Roles: [a]}}]"
    new, said = carried(tmp_path, 'email_domains = ["example.com"]', alpha=alpha)
    assert new["access"]["allow"] == NOBODY
    assert "providers: roles" in said
    assert "or just the email rules: *@example.com" in said


def test_ways_in_that_have_no_counterpart_are_named(tmp_path: Path) -> None:
    config = 'trusted_ips = ["10.0.0.0/8"]\nhtpasswd_file = "x"\nskip_jwt_bearer_tokens = true'
    new, said = carried(tmp_path, config)
    assert set(new["access"]) == {"allow"}
    assert all(key in said for key in ("trusted_ips", "htpasswd_file", "skip_jwt_bearer_tokens"))


# Headers


def test_the_tool_gets_the_token_only_where_it_got_one(tmp_path: Path) -> None:
    new, said = carried(tmp_path)
    theirs = {
        "X-Forwarded-User": "{id}",
        "X-Forwarded-Email": "{email}",
        "X-Forwarded-Preferred-Username": "{name}",
    }
    assert new["headers"] == theirs
    assert 'add Authorization: "Bearer {access_token}"' in said
    new, said = carried(tmp_path, "pass_access_token = true\npass_authorization_header = true")
    assert new["headers"] == {**theirs, "X-Forwarded-Access-Token": "{access_token}"}
    assert "pass_authorization_header: it sent the provider's ID token" in said


def test_headers_are_told_as_they_were(tmp_path: Path) -> None:
    new, _ = carried(tmp_path, "prefer_email_to_user = true")
    assert new["headers"] == {"X-Forwarded-User": "{email}", "X-Forwarded-Preferred-Username": "{name}"}
    new, _ = carried(tmp_path, "pass_basic_auth = false\npass_user_headers = false")
    assert new["headers"] == {}


def test_headers_of_an_alpha_configuration_are_templates_or_named(tmp_path: Path) -> None:
    alpha = """
        injectRequestHeaders:
        - {name: X-Who, values: [{claim: email}]}
        - {name: X-Deep, values: [{claimSource: {claim: access_token, prefix: "Bearer "}}]}
        - {name: X-Groups, values: [{claim: groups}]}
        - {name: X-Fixed, values: [{value: c2VjcmV0LXZhbHVl}]}
        - {name: X-Two, values: [{claim: user}, {claim: email}]}
        - {name: x_who, values: [{claim: user}]}
        - {name: Cookie, values: []}
        - {name: Authorization, values: [{claim: user, prefix: "Basic ", basicAuthPassword: {value: c2VjcmV0}}]}
        injectResponseHeaders:
        - {name: X-Auth-Request-Email, values: [{claim: email}]}
        - {name: X-Auth-Request-Groups, values: [{claim: groups}]}
        """
    new, said = carried(tmp_path, "pass_access_token = true", alpha=alpha)
    assert new["headers"] == {"X-Who": "{email}", "X-Deep": "Bearer {access_token}"}
    for name in ("X-Groups", "X-Fixed", "X-Two", "x_who", "Cookie", "Authorization"):
        assert f"injectRequestHeaders {name}: " in said
    assert "injectResponseHeaders X-Auth-Request-Groups: " in said
    assert "c2Vj" not in json.dumps(new) + said
    assert "pass_access_token: the alpha configuration takes its place" in said


# All of it at work


async def test_the_migrated_file_serves_as_oauth2_proxy_did(tmp_path: Path, visitor: Visitor) -> None:
    config = """
email_domains = ["studio.example.com"]
skip_auth_routes = ["GET=^/healthz$", "^/assets/"]
"""
    alpha = """
upstreamConfig:
  upstreams:
  - {path: /, uri: "http://127.0.0.1:1/"}
  - {path: /render/, uri: "http://127.0.0.1:1"}
  - {path: "^/short/(.*)$", rewriteTarget: "/long/way/$1", uri: "http://127.0.0.1:1"}
injectRequestHeaders: [{name: X-Who, values: [{claim: email}]}]
"""
    new, _ = carried(tmp_path, config, alpha=alpha)
    tools = {prefix: url.replace("http://127.0.0.1:1", "TOOL") for prefix, url in new["upstreams"].items()}
    async with on_stage(upstreams=tools, access=new["access"], headers=new["headers"]) as stage:
        public = [await stage.ask(path, method=how) for how, path in (("GET", "/healthz"), ("POST", "/assets/x"))]
        assert not any(answer.get("X-OAuth-Proxy") for answer in public)
        for how, path in (("POST", "/healthz"), ("GET", "/healthz/x"), ("GET", "/assets/..%2fx"), ("GET", "/")):
            assert (await stage.ask(path, method=how)).status == 401, path
        await visitor.login(f"{stage.url}/")
        cookie = visitor.cookie_line(stage.url)
        stage.tool_requests.clear()
        for path in ("/render/a?b=%2f", "/short/a"):
            await stage.ask(path, cookie)
        assert set(stage.tool_requests) == {"/render/a?b=%2f", "/long/way/a"}


# Sessions, listeners


def test_lifetimes_and_the_cookie_are_kept(tmp_path: Path) -> None:
    config = """
cookie_expire = "12h30m"
cookie_refresh = "15m"
cookie_name = "__Secure-tool"
cookie_domains = [".other.example", "example.com", "review.example.com"]
cookie_samesite = "strict"
cookie_path = "/tool"
"""
    new, said = carried(tmp_path, config)
    cookie = {"name": "tool", "domain": "review.example.com"}
    assert new["session"] == {
        "secret": "${OAUTH_PROXY_SECRET}",
        "lifetime": "12h30m",
        "idle": "12h30m",
        "cookie": cookie,
    }
    assert new["access"]["recheck"] == "15m"
    assert all(f"{key}: " in said for key in ("cookie_domains", "cookie_samesite", "cookie_path"))


@pytest.mark.parametrize(
    ("config", "store"),
    [
        ('redis_connection_url = "redis://redis:6379/2"', "redis://redis:6379/2"),
        ('redis_connection_url = "rediss://me:hush@redis"', "rediss://me:${REDIS_PASSWORD}@redis"),
        ('redis_connection_url = "redis://redis"\nredis_password = "hush"', "redis://:${REDIS_PASSWORD}@redis"),
        (
            'redis_use_sentinel = true\nredis_sentinel_master_name = "m"\n'
            'redis_sentinel_connection_urls = ["redis://a:1", "redis://b:2"]',
            "redis+sentinel://a:1,b:2/m",
        ),
        (
            'redis_use_cluster = true\nredis_cluster_connection_urls = "redis://a:1,redis://b:2"',
            "redis+cluster://a:1,b:2",
        ),
        ('redis_connection_url = "unix:///run/redis.sock"', None),
        ("", None),
    ],
)
def test_a_redis_is_the_store_and_its_password_a_variable(config: str, store: str | None, tmp_path: Path) -> None:
    new, said = carried(tmp_path, f'session_store_type = "redis"\n{config}')
    assert new["session"].get("store") == store
    assert store or "replicas need one" in said
    assert "hush" not in said


@pytest.mark.parametrize(
    ("config", "key", "value"),
    [
        ('http_address = "http://127.0.0.1:80"', "listen", "127.0.0.1:80"),
        ('http_address = ":8080"', "listen", "0.0.0.0:8080"),
        ('http_address = "unix:///run/a.sock,0660"', "listen", {"path": "/run/a.sock", "mode": "0660"}),
        ('http_address = "fd:3"', "listen", None),
        ('metrics_address = "127.0.0.1:9100"', "admin", {"listen": "127.0.0.1:9100"}),
        ('metrics_address = "0.0.0.0:9100"', "admin", None),
        ('http_address = "127.0.0.1:4181"', "admin", {"listen": "127.0.0.1:4182"}),
        ("request_logging = false", "log", {"access": False}),
        ('reverse_proxy = true\ntrusted_proxy_ips = ["10.0.0.7", "::/0"]', "trusted_proxies", ["10.0.0.7/32"]),
        ('trusted_proxy_ips = ["10.0.0.7"]', "trusted_proxies", None),
        ("reverse_proxy = true", "trusted_proxies", None),
    ],
)
def test_where_it_listens_and_whom_it_believes(config: str, key: str, value: object, tmp_path: Path) -> None:
    new, said = carried(tmp_path, config)
    assert new.get(key) == value
    assert value is not None or said


def test_tls_is_served_here_where_it_was_and_a_missing_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a.cfg"
    file.write_text(f'{GOOD}tls_cert_file = "/no/a.crt"\ntls_key_file = "/no/a.key"\ntls_min_version = "TLS1.3"')
    done = migrated(file, None, (), {})
    new = yaml.safe_load(done.text)
    assert (new["tls"], new["listen"]) == (
        {"cert": "/no/a.crt", "key": "/no/a.key", "min_version": "1.3"},
        "0.0.0.0:443",
    )
    assert "`oauth-proxy check` will say:" in done.summary


# Everything is named, and no secret is


def test_every_key_that_is_not_carried_over_is_named(tmp_path: Path) -> None:
    config = 'footer = "-"\nsignature_key = "sha1:hush"\nno_such_key = 1\nping_path = "/ping"\nbanner = ""'
    _, said = carried(tmp_path, config, alpha="Extra: {a: 1}")
    assert all(f"{key}" in said for key in ("footer", "signature_key", "no_such_key", "ping_path", "extra"))
    assert "banner" not in said
    assert "hush" not in said


def test_no_secret_is_in_the_file_or_in_what_is_said(tmp_path: Path) -> None:
    secrets = (
        "client_secret",
        "cookie_secret",
        "redis_password",
        "basic_auth_password",
        "github_token",
        "jwt_key",
    )
    file = tmp_path / "a.cfg"
    file.write_text("\n".join(f'{key} = "hush-{key}"' for key in secrets), "utf-8")
    done = migrated(file, None, ("--redis-connection-url=redis://:hush@a", "--session-store-type=redis"), {})
    assert "hush" not in done.text + "\n".join(done.summary)


def test_nothing_in_the_old_file_ends_a_comment(tmp_path: Path) -> None:
    config = '"a\\u2028access: {allow: [everyone]}\\u001b[2J" = 1\nskip_auth_routes = ["^/[a]+\\nworkers: 9"]'
    new, said = carried(tmp_path, config)
    assert "workers" not in new
    assert "\u001b" not in said
    assert new["access"]["allow"] == NOBODY


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.cfg", "a = [", "this is not TOML"),
        ("a.cfg", "\udcff", "the file is not UTF-8 text"),
        (".", "", "the file cannot be read: is a directory"),
        ("b.cfg", "", "the file cannot be read: no such file or directory"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(name: str, content: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigurationError, match=sentence):
        migrated(tmp_path / name, None, (), {})


def test_nothing_to_read_and_a_word_that_is_no_flag_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing of oauth2-proxy's is there"):
        migrated(None, None, (), {})
    with pytest.raises(ConfigurationError, match="begins with --"):
        migrated(None, None, ("--provider=google", "stray"), {})
    (tmp_path / "alpha.yaml").write_text("a: [", "utf-8")
    with pytest.raises(ConfigurationError, match=r"alpha.yaml:1:5: this is not YAML"):
        migrated(None, tmp_path / "alpha.yaml", ("--provider=google",), {})


def test_the_page_about_it_names_every_key_that_is_known() -> None:
    page = (ROOT / "docs" / "migration.md").read_text("utf-8")
    named = set(re.findall(r"`([a-z0-9_]+)`", page))
    assert named >= KNOWN
