import pytest

from oauth_proxy.access import Access
from oauth_proxy.identity import Identity
from oauth_proxy.paths import read_target
from oauth_proxy.settings import (
    EmailPattern,
    Everyone,
    Member,
    Rule,
    parse_email_pattern,
    parse_public_rule,
)

ACCOUNT = "2f1c7d0e-5b7a-4a52-9d3c-1f6d5c1f4b20"
HOST = "review.example.com"


def who(email: str | None = None, account_id: str | None = None) -> Identity:
    return Identity("id", email, None, account_id)


def allows(rule: Rule, identity: Identity) -> bool:
    return Access([rule], []).allows(identity)


def test_nobody_is_let_in_without_a_rule() -> None:
    assert not Access([], []).allows(who("a@b.example", ACCOUNT))


def test_everyone_lets_in_whoever_signed_in() -> None:
    assert allows(Everyone(), who())


@pytest.mark.parametrize(
    ("pattern", "email", "allowed"),
    [
        ("*@studio.example.com", "jo@studio.example.com", True),
        ("*@studio.example.com", "JO@Studio.Example.COM", True),
        ("*@studio.example.com", "jo@badstudio.example.com", False),
        ("*@studio.example.com", "jo@sub.studio.example.com", False),
        ("*@studio.example.com", "jo@example.com", False),
        ("*@studio.example.com", "jo@studio.example.com.evil.net", False),
        ("*@studio.example.com", "jo@evil@studio.example.com", False),
        ("*@studio.example.com", "jo@studio.example.com@evil.net", False),
        ("*@studio.example.com", "@studio.example.com", False),
        ("*@studio.example.com", "studio.example.com", False),
        ("*@studio.example.com", "jo@studio.example.com ", False),
        ("*@studio.example.com", " jo@studio.example.com", False),
        ("*@studio.example.com", "j o@studio.example.com", False),
        ("*@studio.example.com", "jo@studio.example.com\n", False),
        ("*@studio.example.com", "jo\x00@studio.example.com", False),
        ("*@studio.example.com", "jo@studio.example.com.", False),
        ("*@studio.example.com", "jo@ｓtudio.example.com", False),
        ("*@bücher.example", "jo@xn--bcher-kva.example", True),
        ("*@bücher.example", "jo@BÜCHER.example", True),
        ("*@strasse.example", "jo@straße.example", False),
        ("jo@studio.example.com", "jo@studio.example.com", True),
        ("jo@studio.example.com", "Jo@studio.example.com", True),
        ("jo@studio.example.com", "mojo@studio.example.com", False),
        ("kim@studio.example.com", "\u212aim@studio.example.com", False),
        ("*@*.example.com", "jo@studio.example.com", True),
        ("*@*.example.com", "jo@a.b.example.com", True),
        ("*@*.example.com", "jo@example.com", False),
        ("*@*.example.com", "jo@badexample.com", False),
    ],
)
def test_an_email_fits_its_pattern_by_whole_labels(pattern: str, email: str, allowed: bool) -> None:
    assert allows(parse_email_pattern(pattern), who(email)) is allowed


def test_somebody_without_an_email_or_account_fits_no_rule_about_it() -> None:
    assert not allows(EmailPattern(None, "studio.example.com"), who())
    assert not allows(Member("account", ACCOUNT), who("a@studio.example.com"))


def test_an_account_fits_in_either_case() -> None:
    assert allows(Member("account", ACCOUNT), who(account_id=ACCOUNT.upper()))
    assert not allows(Member("account", ACCOUNT), who(account_id=ACCOUNT[:-1] + "1"))


STANDING = (f"account:{ACCOUNT}", f"account:{ACCOUNT}:admin", "team:t1", "team:t1:member")


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        (Member("account", ACCOUNT), True),
        (Member("account", ACCOUNT, ("admin",)), True),
        (Member("account", ACCOUNT, ("owner", "admin")), True),
        (Member("account", ACCOUNT, ("owner",)), False),
        (Member("account", "t1"), False),
        (Member("team", "t1"), True),
        (Member("team", "t1", ("member",)), True),
        (Member("team", "t1", ("team_manager",)), False),
        (Member("team", "t2"), False),
        (Member("team", ACCOUNT), False),
    ],
)
def test_standing_fits_in_its_own_place_and_role_only(rule: Rule, allowed: bool) -> None:
    assert allows(rule, Identity("id", standing=STANDING)) is allowed


def test_a_home_account_alone_gives_no_role() -> None:
    assert not allows(Member("account", ACCOUNT, ("owner",)), who(account_id=ACCOUNT))


def test_one_rule_that_fits_is_enough() -> None:
    access = Access([parse_email_pattern("*@studio.example.com"), Member("account", ACCOUNT)], [])
    assert access.allows(who("a@elsewhere.example", ACCOUNT))
    assert access.allows(who("a@studio.example.com"))
    assert not access.allows(who("a@elsewhere.example"))


PUBLIC = Access(
    [],
    [parse_public_rule("GET /healthz"), parse_public_rule("/assets/*"), parse_public_rule("POST /hooks/frameio")],
)


@pytest.mark.parametrize(
    ("method", "sent"),
    [
        ("GET", "/healthz"),
        ("GET", "/healthz?verbose=1"),
        ("GET", "/assets/"),
        ("GET", "/assets/a/b.css?v=1"),
        ("HEAD", "/assets/a.css"),
        ("GET", "/assets/my%20file.css"),
        ("POST", "/hooks/frameio"),
    ],
)
def test_what_a_rule_names_is_public(method: str, sent: str) -> None:
    assert PUBLIC.is_public(method, read_target(sent, HOST))


SUFFIXES = ["", "?", "?x=/healthz", ";/healthz", "#/healthz", "%23/healthz", "%3f/healthz", "%00", "/../healthz"]


@pytest.mark.parametrize(
    ("method", "sent"),
    [
        *(("GET", f"/admin{suffix}") for suffix in SUFFIXES),
        *(
            ("GET", f"/healthz{suffix}")
            for suffix in (";", ";x", "/", "/x", "#", "#x", "%23", "%3f", "%2f", "x", "%00")
        ),
        ("POST", "/healthz"),
        ("HEAD", "/healthz"),
        ("OPTIONS", "/healthz"),
        ("get", "/healthz"),
        ("GET", "/Healthz"),
        ("GET", "//healthz"),
        ("GET", "/./healthz"),
        ("GET", "/x/../healthz"),
        ("POST", "/assets/a.css"),
        ("GET", "/assets"),
        ("GET", "/assetsx"),
        ("GET", "/assets/../admin"),
        ("GET", "/assets/..%2fadmin"),
        ("GET", "/assets%2f..%2fadmin"),
        ("GET", "/assets/%2e%2e/admin"),
        ("GET", "/assets/..;/admin"),
        ("GET", "/assets/..\\admin"),
        ("GET", "/assets/%252e%252e/admin"),
        ("GET", "/assets//admin"),
        ("GET", "/hooks/frameio"),
    ],
)
def test_nothing_beside_what_a_rule_names_is_public(method: str, sent: str) -> None:
    assert not PUBLIC.is_public(method, read_target(sent, HOST))
