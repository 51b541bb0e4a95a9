from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oauth_proxy.access import Access, Rules
from oauth_proxy.identity import Identity
from oauth_proxy.paths import read_target
from oauth_proxy.settings import (
    EmailList,
    EmailPattern,
    EmailsFile,
    Everyone,
    Member,
    Rule,
    parse_email_pattern,
    parse_public_rule,
)
from tests.support.configuration import ACCOUNT, HOST


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


def test_the_rule_by_which_a_path_is_public_is_named() -> None:
    both = Access([], [parse_public_rule("/assets/*"), parse_public_rule("GET /assets/a.css")])
    exact, folder = read_target("/assets/a.css", HOST), read_target("/assets/b.css", HOST)
    assert both.public_rule("GET", exact) == parse_public_rule("GET /assets/a.css")
    assert both.public_rule("HEAD", exact) == parse_public_rule("/assets/*")
    assert both.public_rule("GET", folder) == parse_public_rule("/assets/*")


# Who is kept out.


@pytest.mark.parametrize("fits", [parse_email_pattern("*@b.example"), Member("account", ACCOUNT)])
def test_whom_deny_fits_stays_out_whatever_allow_says(fits: Rule) -> None:
    one, other = who("a@b.example", ACCOUNT), who("a@c.example")
    for allow in ([Everyone()], [fits, parse_email_pattern("*@c.example")]):
        access = Access(allow, [], deny=[fits])
        assert not access.allows(one)
        assert access.allows(other)
    assert Access([fits], []).allows(one)


@pytest.mark.parametrize(
    "email",
    [None, "", "kim", "kim@x@b.example", "kim@b.example.", "kim@stra\u00dfe.example", "\u212aim@b.example"],
)
def test_nobody_passes_deny_by_an_address_that_cannot_be_read(email: str | None) -> None:
    for rule in (parse_email_pattern("kim@b.example"), EmailsFile(PEOPLE)):
        access = Access([Everyone()], [], deny=[rule], lists=LISTS)
        assert not access.allows(who(email))
        assert access.allows(who("jo@b.example"))


PEOPLE = Path("/etc/people.txt")
LISTS = {PEOPLE: EmailList(frozenset(map(parse_email_pattern, ("kim@b.example", "*@c.example", "*@*.d.example"))))}


@pytest.mark.parametrize(
    ("email", "allowed"),
    [
        ("kim@b.example", True),
        ("KIM@B.example", True),
        ("jo@b.example", False),
        ("jo@c.example", True),
        ("jo@x.c.example", False),
        ("jo@x.y.d.example", True),
        ("jo@d.example", False),
        ("\u212aim@b.example", False),
        (None, False),
    ],
)
def test_a_list_of_addresses_lets_in_whom_its_patterns_fit(email: str | None, allowed: bool) -> None:
    assert Access([EmailsFile(PEOPLE)], [], lists=LISTS).allows(who(email)) is allowed


def test_a_list_counts_as_it_is_now() -> None:
    lists = dict(LISTS)
    access = Access([EmailsFile(PEOPLE)], [], lists=lists)
    lists[PEOPLE] = EmailList(frozenset())
    assert not access.allows(who("kim@b.example"))


# Who gets to which tool.

UPSTREAMS = {
    "/": Rules(None),
    "/admin/": Rules([parse_email_pattern("admin@b.example")]),
    "/admin/open/": Rules(None),
    "/Tools/v1./": Rules(None, [parse_email_pattern("*@c.example")]),
}
NARROWED = Access([Everyone()], [], upstreams=UPSTREAMS)


@pytest.mark.parametrize(
    ("sent", "places"),
    [
        ("/", ()),
        ("/x?/admin/", ()),
        ("/administrator", ()),
        ("/admin/", ("/admin/",)),
        ("/admin/x", ("/admin/",)),
        ("/admin", ("/admin/",)),
        ("/ADMIN/x", ("/admin/",)),
        ("/admin/open/x", ()),
        ("/admin/open;x/y", ("/admin/",)),
        ("/Tools/v1./x", ("/Tools/v1./",)),
        ("/tools/v1/x", ("/Tools/v1./",)),
        ("/files/a%2Fb", ()),
        ("/files/100%25", ()),
        ("/files/caf%C3%A9", ()),
        ("/.well-known/x", ()),
        ("/x/..;/y", ("/admin/", "/Tools/v1./")),
        ("/files/%ff", ("/admin/", "/Tools/v1./")),
    ],
)
def test_the_longest_prefix_decides_and_any_that_a_tool_might_read(sent: str, places: tuple[str, ...]) -> None:
    assert NARROWED.places(read_target(sent, HOST)) == places


def test_rules_of_an_upstream_hold_there_and_say_so() -> None:
    admin, other = who("admin@b.example"), who("jo@b.example")
    assert NARROWED.allows(admin, ("/admin/",))
    assert not NARROWED.allows(other, ("/admin/",))
    assert NARROWED.allows(other)
    assert NARROWED.refusal(other, ("/admin/",)) == (
        "no rule of upstreams./admin/.allow fits: a mailbox at b.example",
        False,
    )
    assert NARROWED.refusal(who("a@c.example"), ("/Tools/v1./",)) == (
        "a rule of upstreams./Tools/v1./.deny fits",
        False,
    )
    assert Access([], [], upstreams=UPSTREAMS).refusal(admin) == ("no rule of access.allow fits: ", True)
    assert Access([Everyone()], [], deny=[parse_email_pattern("*@b.example")]).refusal(admin) == (
        "a rule of access.deny fits",
        True,
    )


EMAILS = st.sampled_from(["kim@b.example", "jo@b.example", "jo@c.example", "x@y.d.example", "odd", None])
PEOPLE_RULES: list[Rule] = [
    *(parse_email_pattern(text) for text in ("*@b.example", "kim@b.example", "*@c.example", "*@*.d.example")),
    EmailsFile(PEOPLE),
    Member("account", ACCOUNT),
    Member("team", "t1", ("member",)),
]
RULES = st.lists(st.sampled_from(PEOPLE_RULES), max_size=3)
IDENTITIES = st.builds(
    Identity,
    st.just("id"),
    EMAILS,
    st.none(),
    st.sampled_from([None, ACCOUNT]),
    st.lists(st.sampled_from(STANDING), unique=True).map(tuple),
)
PREFIXES = st.sampled_from(["/", "/a/", "/a/b/", "/A/", "/c/"])
PATHS = st.lists(
    st.sampled_from(
        ["/", "a", "b", "A", "c", "%61", "%2561", ";x", "..", ".", "%2e", "%2f", "\\", "\uff41", "?", " "]
    ),
    max_size=8,
).map(lambda parts: "/" + "".join(parts))


@given(
    RULES.map(lambda rules: [*rules] or [Everyone()]),
    RULES,
    st.dictionaries(PREFIXES, st.builds(Rules, st.none() | RULES, RULES)),
    IDENTITIES,
    PATHS,
)
@example([Everyone()], [], {"/a/": Rules([Everyone()])}, who("kim@b.example"), "/%61/")
def test_an_upstreams_rules_let_nobody_in_whom_the_sites_rules_refuse(
    allow: list[Rule], deny: list[Rule], upstreams: dict[str, Rules], identity: Identity, sent: str
) -> None:
    target = read_target(sent, HOST)
    access = Access(allow, [], deny=deny, upstreams=upstreams, lists=LISTS)
    places = access.places(target)
    longest = max((prefix for prefix in upstreams if target.path.startswith(prefix)), key=len, default="")
    if access.allows(identity, places):
        assert Access(allow, [], lists=LISTS).allows(identity)
        assert not any(Access([rule], [], lists=LISTS).allows(identity) for rule in deny)
        own = upstreams.get(longest, Rules(None))
        assert own.allow is None or Access(own.allow, [], lists=LISTS).allows(identity)
        assert not any(Access([rule], [], lists=LISTS).allows(identity) for rule in own.deny)
    assert access.allows(identity) or not access.allows(identity, places)
