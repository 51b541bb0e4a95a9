"""What people often write into a file at first: one sentence, and what to write instead, which then is good."""

import pytest

from oauth_proxy.settings import write_duration
from oauth_proxy.settings.problems import Refused
from oauth_proxy.settings.scalars import parse_duration
from tests.support.configuration import ACCOUNT, KEY, file, problem, problems, read

ALLOW = {"access": "access: {allow: WRITTEN}"}
RULE = {"access": "access: {allow: [WRITTEN]}"}
PUBLIC = {"access": "access: {allow: [everyone], public: WRITTEN}"}
PATH = {"access": "access: {allow: [everyone], public: [WRITTEN]}"}
STORE = {"session": f"session: {{secret: {KEY}, store: WRITTEN}}"}
LIFETIME = {"session": f"session: {{secret: {KEY}, lifetime: WRITTEN}}"}
LISTEN = {"extra": "listen: WRITTEN"}
URL = {"public_url": "public_url: WRITTEN"}
UPSTREAMS = {"upstreams": "upstreams: WRITTEN"}
TOOL = {"upstreams": "upstreams: {/: WRITTEN}"}
SCOPES = {"frameio": "frameio: {api: v4, client_id: an-app, scopes: WRITTEN}"}


@pytest.mark.parametrize(
    ("part", "written", "instead"),
    [
        (ALLOW, "'*'", "[everyone]"),
        (ALLOW, "everyone", "[everyone]"),
        (ALLOW, "Anyone", "[everyone]"),
        (ALLOW, "'*@example.com'", '[{email: "*@example.com"}]'),
        (ALLOW, "example.com", '[{email: "*@example.com"}]'),
        (ALLOW, "{email: jo@example.com}", '[{email: "jo@example.com"}]'),
        (ALLOW, ACCOUNT, f"[{{account: {ACCOUNT}}}]"),
        (RULE, "'*'", "everyone"),
        (RULE, "all", "everyone"),
        (RULE, "'*@example.com'", 'email: "*@example.com"'),
        (RULE, "'@example.com'", 'email: "*@example.com"'),
        (RULE, "example.com", 'email: "*@example.com"'),
        (RULE, "{domain: example.com}", 'email: "*@example.com"'),
        (RULE, ACCOUNT, f"account: {ACCOUNT}"),
        (PUBLIC, "'*'", '["/*"]'),
        (PUBLIC, "/healthz", "[/healthz]"),
        (PUBLIC, "GET /healthz", '["GET /healthz"]'),
        (PATH, "'*'", "/*"),
        (PATH, "healthz", "/healthz"),
        (PATH, "'GET:/healthz'", "GET /healthz"),
        (PATH, "'* /healthz'", "/healthz"),
        (PATH, "/assets/**", "/assets/*"),
        (STORE, "redis.local:6379", "redis://redis.local:6379/0"),
        (STORE, "redis:6379", "redis://redis:6379/0"),
        (STORE, "redis", "redis://localhost:6379/0"),
        (STORE, "redis:host", "redis://host:6379/0"),
        (STORE, "tcp://cache:6379", "redis://cache:6379/0"),
        (STORE, "127.0.0.1:6379", "redis://127.0.0.1:6379/0"),
        (STORE, "memory", "cookie"),
        (LIFETIME, "30", "30s"),
        (LIFETIME, "1.5h", "1h30m"),
        (LIFETIME, "2 weeks", "14d"),
        (LISTEN, "4180", "127.0.0.1:4180"),
        (LISTEN, ":4180", "127.0.0.1:4180"),
        (LISTEN, "'*:4180'", "0.0.0.0:4180"),
        (LISTEN, "http://127.0.0.1:4180/", "127.0.0.1:4180"),
        (LISTEN, "/run/proxy.sock", "unix:/run/proxy.sock"),
        (URL, "review.example.com", "https://review.example.com"),
        (URL, "https://review.example.com/tool", "https://review.example.com"),
        (URL, "https://review.example.com/oauth2/callback", "https://review.example.com"),
        (URL, "localhost:4180", "http://localhost:4180"),
        (UPSTREAMS, "http://127.0.0.1:3000", "{/: http://127.0.0.1:3000}"),
        (UPSTREAMS, "127.0.0.1:3000", "{/: http://127.0.0.1:3000}"),
        (UPSTREAMS, "[http://127.0.0.1:3000]", "{/: http://127.0.0.1:3000}"),
        (TOOL, "/run/tool.sock", "unix:/run/tool.sock"),
        (TOOL, "ws://localhost:3000", "http://localhost:3000"),
        (SCOPES, "openid email", "[openid, email]"),
        (SCOPES, "'openid, email'", "[openid, email]"),
        ({"extra": "admin: WRITTEN"}, "127.0.0.1:4181", "{listen: 127.0.0.1:4181}"),
        ({"extra": "log: WRITTEN"}, "debug", "{level: debug}"),
        ({"extra": "headers: {X-Email: WRITTEN}"}, "{email}", '"{email}"'),
    ],
)
def test_what_is_suggested_instead_is_good_at_its_place(part: dict[str, str], written: str, instead: str) -> None:
    [(key, text)] = part.items()
    assert problem(**{key: text.replace("WRITTEN", written)}).endswith(f" (did you mean {instead}?)")
    read(file(**{key: text.replace("WRITTEN", instead)}))


@pytest.mark.parametrize(
    ("part", "written", "sentence"),
    [
        (
            LISTEN,
            "localhost",
            "the port is missing: a listener is host:port, such as 127.0.0.1:4180, or unix:/path",
        ),
        (ALLOW, "[{email: [a@example.com]}]", "one value is wanted here, not a list; each has a rule of its own"),
        (
            ALLOW,
            "[{email: '*'}]",
            "an email pattern has one '@' in it; whoever has an account is the rule everyone",
        ),
        (
            {"frameio": "frameio: WRITTEN"},
            "[{api: v4}, {client_id: a}]",
            "keys with values are wanted here, not a list; remove the '-' before each",
        ),
        (
            PUBLIC,
            "[^/assets/]",
            "a public rule is no regular expression, but a path, such as /healthz or /assets/*",
        ),
        (
            URL,
            "\N{LEFT DOUBLE QUOTATION MARK}https://a.example.com",
            "quotation marks are straight in YAML: \" or '",
        ),
        (
            {"session": "session: {secret_file: 'C:\\\\secrets\\\\key'}"},
            "",
            "the file cannot be read: no such file or directory; "
            "a path is written with '/', and begins with no drive",
        ),
        (
            STORE,
            "'sqlite:C:\\\\data\\\\sessions.db'",
            "the folder of this file is not there; a path is written with '/', and begins with no drive",
        ),
    ],
)
def test_what_cannot_be_guessed_is_told(part: dict[str, str], written: str, sentence: str) -> None:
    [(key, text)] = part.items()
    assert problem(**{key: text.replace("WRITTEN", written)}) == sentence


@pytest.mark.parametrize(
    "secret", ["correct horse battery staple", "hunter2", '"  "', f"{KEY} short", f"{KEY}x", "'a\n\n  b\n\n  c'"]
)
def test_a_bad_secret_is_one_problem_however_many_words_it_has(secret: str) -> None:
    [only] = problems(file(session=f"session:\n  secret: {secret}"))
    assert only.startswith("4:11: ")
    [only] = problems(file(extra="webhooks:\n  /hook:\n    secret: two words"))
    assert only == "8:13: this is not what Frame.io issues: it has spaces or characters outside ASCII in it"


def test_a_unix_socket_may_be_written_as_a_url() -> None:
    assert read(file(extra="listen: unix:///run/proxy.sock")) == read(file(extra="listen: unix:/run/proxy.sock"))


@pytest.mark.parametrize("text", ["redis://:s3cret:x@host:6379", "jo:s3cret@redis.local:6379", "ws://a:s3cret@b"])
def test_a_suggestion_shows_no_password(text: str) -> None:
    for part in (STORE, TOOL, LISTEN):
        [(key, written)] = part.items()
        assert "s3cret" not in problem(**{key: written.replace("WRITTEN", text)})


@pytest.mark.parametrize("seconds", [0.25, 1.0, 5400.0, 1209600.0])
def test_a_duration_in_other_words_is_suggested_only_if_it_can_be_read(seconds: float) -> None:
    with pytest.raises(Refused) as caught:
        parse_duration(f"{seconds / 3600:.3f}hours")
    assert caught.value.suggestion is None or write_duration(parse_duration(caught.value.suggestion))
