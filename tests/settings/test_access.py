"""Rules of access: what is read, and what is refused."""

from pathlib import Path

import pytest

from oauth_proxy.settings import EmailPattern, EmailsFile, Everyone, Group, Member, PublicRule, parse_email_pattern
from oauth_proxy.settings.access import parse_public_rule, parse_rule
from oauth_proxy.settings.loading import load_with_files
from oauth_proxy.settings.problems import Refused
from tests.support.configuration import ACCOUNT, file, problem, read

A_RULE = "a rule is everyone, or email:, account:, team:, emails_file: or group: with its value"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("everyone", Everyone()),
        ({"email": "*@Studio.Example.com"}, EmailPattern(None, "studio.example.com")),
        ({"email": "Jo.Doe+x@example.com"}, EmailPattern("jo.doe+x", "example.com")),
        ({"email": "*@*.example.com"}, EmailPattern(None, "example.com", subdomains=True)),
        ({"email": "*@bücher.example"}, EmailPattern(None, "xn--bcher-kva.example")),
        ({"account": ACCOUNT.upper()}, Member("account", ACCOUNT)),
        ({"account": ACCOUNT, "role": "admin"}, Member("account", ACCOUNT, ("admin",))),
        (
            {"team": ACCOUNT, "role": ["member", "team_manager", "member"]},
            Member("team", ACCOUNT, ("member", "team_manager")),
        ),
        ({"team": ACCOUNT}, Member("team", ACCOUNT)),
        ({"emails_file": "people.txt"}, EmailsFile(Path("people.txt"))),
        ({"group": "editors"}, Group("editors")),
    ],
)
def test_a_rule_is_read(written: object, expected: object) -> None:
    assert parse_rule(written) == expected


@pytest.mark.parametrize(
    "read",
    [
        Everyone(),
        EmailPattern("jo", "a.example"),
        EmailPattern(None, "a.example", True),
        Member("account", ACCOUNT),
        Member("team", ACCOUNT, ("member",)),
        Member("account", ACCOUNT, ("owner", "admin")),
        EmailsFile(Path("/etc/people.txt")),
        Group("editors"),
    ],
)
def test_a_rule_is_written_back(read: Everyone | EmailPattern | Member | EmailsFile | Group) -> None:
    assert parse_rule(read.write()) == read


@pytest.mark.parametrize(
    ("written", "suggestion"),
    [
        ("everybody", "everyone"),
        ("jo@example.com", 'email: "jo@example.com"'),
        ("email: *@example.com", 'email: "*@example.com"'),
        ("nobody at all", None),
        ({"emial": "x"}, "email"),
        ({"role": "admin"}, None),
        ({"email": "a@b.example", "account": ACCOUNT}, None),
        ({}, None),
        ([], None),
        (["everyone"], None),
    ],
)
def test_what_is_not_a_rule_is_refused(written: object, suggestion: str | None) -> None:
    with pytest.raises(Refused) as refused:
        parse_rule(written)
    assert (refused.value.message, refused.value.suggestion) == (A_RULE, suggestion)


def test_the_value_of_a_rule_is_one_text() -> None:
    with pytest.raises(Refused, match="one value is wanted here, not a list"):
        parse_rule({"email": ["*@example.com"]})


def test_an_account_is_a_uuid() -> None:
    with pytest.raises(Refused, match=r"an id of Frame.io is a UUID"):
        parse_rule({"account": "studio"})


@pytest.mark.parametrize(
    ("written", "message", "suggestion"),
    [
        ({"account": ACCOUNT, "role": "admn"}, "a role is owner, admin,", "admin"),
        ({"account": ACCOUNT, "role": []}, "at least one", None),
        ({"account": ACCOUNT, "role": [["admin"]]}, "a role is owner, admin,", None),
        ({"email": "*@studio.example.com", "role": "admin"}, "a role stands beside an account or a team", None),
    ],
)
def test_a_role_is_one_of_frame_ios_words_beside_a_place(
    written: object, message: str, suggestion: str | None
) -> None:
    with pytest.raises(Refused, match=message) as refused:
        parse_rule(written)
    assert refused.value.suggestion == suggestion


@pytest.mark.parametrize(
    "pattern",
    [
        "example.com",
        "*example.com",
        "a@evil@example.com",
        "@example.com",
        "*jo@example.com",
        "j*@example.com",
        "*@*",
        "*@*example.com",
        "*@a.*.com",
        "*@*.*.example.com",
        "*@com",
        "*@*.com",
        "*@",
        "*@.com",
        "*@example.com ",
        "jo doe@example.com",
        '"jo"@example.com',
        "jo\n@example.com",
        "*@straße.example",
        "jö@example.com",
    ],
)
def test_an_email_pattern_that_could_let_others_in_is_refused(pattern: str) -> None:
    with pytest.raises(Refused):
        parse_email_pattern(pattern)


def test_a_domain_alone_is_answered_with_the_pattern_for_it() -> None:
    with pytest.raises(Refused) as refused:
        parse_email_pattern("example.com")
    assert refused.value.suggestion == "*@example.com"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET /healthz", PublicRule(frozenset({"GET"}), "/healthz")),
        ("POST /hooks/*", PublicRule(frozenset({"POST"}), "/hooks/", below=True)),
        ("/assets/*", PublicRule(frozenset({"GET", "HEAD"}), "/assets/", below=True)),
        ("/*", PublicRule(frozenset({"GET", "HEAD"}), "/", below=True)),
        ("/favicon.ico", PublicRule(frozenset({"GET", "HEAD"}), "/favicon.ico")),
    ],
)
def test_a_public_rule_is_read_and_written_back(text: str, expected: PublicRule) -> None:
    assert parse_public_rule(text) == expected
    assert expected.write() == text


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("healthz", "/healthz"),
        ("get /healthz", "GET /healthz"),
        ("GTE /healthz", "GET /healthz"),
        ("SUBSCRIBE /healthz", None),
        ("GET  /healthz", None),
        ("/assets*", "/assets/*"),
        ("GET /assets*", "GET /assets/*"),
        ("/*/public", "/*"),
        ("/a/*/*", "/a/*"),
        ("/a//b", None),
        ("/a/../b", None),
        ("/a/./b", None),
        ("/a/..", None),
        ("/a%2fb", None),
        ("/a?x=/healthz", None),
        ("/a#b", None),
        ("/a;b", None),
        ("/a\\b", None),
        ("/healthz ", None),
        ("/oauth2/start", None),
        ("*", "/*"),
    ],
)
def test_a_public_rule_that_could_cover_more_than_it_says_is_refused(text: str, suggestion: str | None) -> None:
    with pytest.raises(Refused) as refused:
        parse_public_rule(text)
    assert refused.value.suggestion == suggestion


EDITORS = "groups: {editors: [email: jo@a.example]}"


def narrowing(rules: str) -> str:
    return f"upstreams: {{/: http://127.0.0.1:3000, /x/: {{url: http://127.0.0.1:3001, {rules}}}}}"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"access": "access: {allow: [group: editors]}"},
            "access.groups has no group of this name",
        ),
        (
            {"access": f"access: {{{EDITORS}, allow: [group: editor]}}"},
            "access.groups has no group of this name (did you mean editors?)",
        ),
        (
            {"upstreams": narrowing("deny: [group: editors]")},
            "access.groups has no group of this name",
        ),
        (
            {"access": "access: {groups: {a: [email: jo@a.example], b: [group: a]}, allow: [everyone]}"},
            "a group holds rules, and no other group",
        ),
        (
            {"access": "access: {groups: {a: [everyone]}, allow: [group: a]}"},
            "everyone stands in access.allow alone; anywhere else, rules name some of them",
        ),
        (
            {"access": "access: {allow: [everyone], deny: [everyone]}"},
            "everyone stands in access.allow alone; anywhere else, rules name some of them",
        ),
        (
            {"upstreams": narrowing("allow: [everyone]")},
            "everyone stands in access.allow alone; anywhere else, rules name some of them",
        ),
        ({"upstreams": narrowing("allow: []")}, "at least one is needed here"),
        ({"access": "access: {groups: {a: []}, allow: [everyone]}"}, "at least one is needed here"),
        (
            {"access": "access: {groups: {a b: [email: jo@a.example]}, allow: [everyone]}"},
            "a group's name is letters, digits, '_' and '-', at most 64 of them",
        ),
        (
            {"access": "access: {allow: [emails_file: people.txt]}"},
            "the file cannot be read: no such file or directory",
        ),
        (
            {"access": "access: {allow: [everyone], deny: [{email: jo@a.example, role: admin}]}"},
            "a role stands beside an account or a team",
        ),
        (
            {"upstreams": narrowing(f"allow: [team: {ACCOUNT}]")},
            "Frame.io v4 tells nothing of teams; let in an account, or email addresses",
        ),
        (
            {"access": f"access: {{allow: [everyone], groups: {{a: [team: {ACCOUNT}]}}}}"},
            "Frame.io v4 tells nothing of teams; let in an account, or email addresses",
        ),
    ],
)
def test_a_list_that_could_not_do_what_it_says_is_refused(parts: dict[str, str], message: str) -> None:
    assert problem(**parts) == message


def test_a_group_stands_for_its_rules(tmp_path: Path) -> None:
    (tmp_path / "people.txt").write_text("kim@a.example\n")
    access = f"access: {{{EDITORS}, allow: [{{group: editors}}, {{account: {ACCOUNT}}}]}}"
    settings = read(file(access=access, upstreams=narrowing("deny: [emails_file: people.txt]")), folder=tmp_path)
    assert [*settings.rules()] == [
        EmailPattern("jo", "a.example"),
        Member("account", ACCOUNT),
        EmailsFile(tmp_path / "people.txt"),
    ]


def test_the_files_of_lists_belong_to_what_a_watched_configuration_depends_on(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text("# nobody\n")
    access = "access: {groups: {some: [emails_file: a]}, allow: [everyone], deny: [emails_file: b]}"
    path = tmp_path / "proxy.yaml"
    path.write_text(file(access=access, upstreams=narrowing("allow: [{emails_file: c}, {group: some}]")))
    assert load_with_files(path, {}).files == {path, *(tmp_path / name for name in "abc")}
