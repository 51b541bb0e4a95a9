"""The notes that `check` prints: there are none on settings without a risk."""

from datetime import UTC, datetime

import pytest

from oauth_proxy.settings import notes
from tests.support.configuration import KEY, QUIET, TOOL_API, file, read

TODAY = datetime(2026, 11, 23, tzinfo=UTC)

FRAMED = f"session: {{secret: {KEY}, cookie: {{same_site: none}}}}"


def said(parts: dict[str, str], today: datetime = TODAY) -> list[str]:
    """The notes on a file that has none but for these parts."""
    return notes(read(file(**{**QUIET, **parts})), today)


def test_settings_without_a_catch_are_not_commented_on() -> None:
    assert said({}) == []
    assert said({"extra": TOOL_API}) == []
    logout = "logout_url: http://signout.internal"  # no token goes there
    assert said({"frameio": f"frameio: {{api: v4, client_id: a, client_secret: b, {logout}}}"}) == []
    assert said({"extra": "admin: {listen: unix:/run/admin.sock}"}) == []
    assert (
        said({"upstreams": "upstreams: {/: unix:/run/tool.sock, /a/: https://tool, /b/: http://127.9.9.9}"}) == []
    )


@pytest.mark.parametrize(
    ("today", "when"),
    [
        (TODAY, "8 days from today"),
        (TODAY.replace(month=12, day=1), "0 days from today"),
        (TODAY.replace(month=12, day=2), "which is past"),
    ],
)
def test_the_end_of_v2_is_told_with_what_is_not_known_of_it(today: datetime, when: str) -> None:
    assert said({"frameio": "frameio: {api: v2, client_id: a, client_secret: b}"}, today) == [
        f"Frame.io has announced that v2 API endpoints are removed after 1 December 2026 ({when}), Camera to "
        "Cloud exempt. Whether the v2 login goes with them is not known. Plan to move to api: v4."
    ]


@pytest.mark.parametrize(
    ("parts", "beginning"),
    [
        (
            {"access": "access: {allow: [everyone]}"},
            "access.allow is everyone: that is everyone with a Frame.io account",
        ),
        ({"public_url": "public_url: http://localhost:4180"}, "public_url is http: good for trying out"),
        (
            {"frameio": "frameio: {api: v4, client_id: a, client_secret: b, scopes: [openid]}"},
            "Without the scope offline_access",
        ),
        (
            {"frameio": "frameio: {api: v4, client_id: a, client_secret: b, token_url: 'http://staging'}"},
            "frameio.token_url is http",
        ),
        (
            {"access": 'access: {allow: [{email: "*@example.com"}], public: ["/*"]}'},
            "access.public has a rule for /*",
        ),
        ({"extra": "headers: {X-User: '{id}'}"}, "No header carries {access_token}"),
        (
            {"extra": f"{TOOL_API}\nheaders: {{Authorization: 'Bearer {{access_token}}'}}"},
            "tool_api is on and no header carries {handle}",
        ),
        ({"extra": "headers: {}"}, "No header carries {access_token}"),
        ({"session": f"session: {{secret: {KEY}, cookie: {{domain: example.com}}}}"}, "Every host in example.com"),
        (
            {"session": FRAMED, "extra": "pages: {frame_ancestors: [https://portal.example.com]}"},
            "same_site is none",
        ),
        ({"extra": "trusted_proxies: ['::/0']"}, "trusted_proxies has everybody in it"),
        ({"extra": "admin: {listen: 0.0.0.0:4181}"}, "Whoever reaches 0.0.0.0:4181 can read the metrics"),
        ({"upstreams": "upstreams: {/: http://tool:3000}"}, "The upstream of / is http on another machine"),
        (
            {"upstreams": "upstreams: {/: {url: https://tool, verify: false}}"},
            "DANGER: verify is false, so NOBODY KNOWS WHO ANSWERS as the tool of /.",
        ),
        (
            {"access": 'access: {groups: {a: [email: jo@a.example]}, allow: [email: "*@example.com"]}'},
            "No allow and no deny names the group a",
        ),
        (
            {
                "access": 'access: {allow: [email: "*@example.com"], public: ["/render/open"]}',
                "upstreams": "upstreams: {/render/: {url: http://127.0.0.1:1, deny: [email: jo@a.example]}}",
            },
            "access.public has /render/open, and what it covers needs no sign-in: allow and deny of the upstream",
        ),
        (
            {
                "access": 'access: {allow: [email: "*@example.com"], public: ["GET /a/*"]}',
                "upstreams": "upstreams: {/a/b/: {url: http://127.0.0.1:1, allow: [email: jo@a.example]}}",
            },
            "access.public has GET /a/*, and what it covers needs no sign-in",
        ),
    ],
)
def test_what_is_worth_knowing_is_said_once(parts: dict[str, str], beginning: str) -> None:
    [only] = said(parts)
    assert only.startswith(beginning)


def test_frames_in_which_nobody_could_sign_in_are_noted() -> None:
    _, frames = said({"session": FRAMED})
    assert (
        frames == "Partitioned cookies, and no pages.frame_ancestors: in frames of other sites nobody can sign in."
    )
    [_] = said({"session": FRAMED.replace("none", "none, partitioned: false")})


@pytest.mark.parametrize("scopes", ["", ", scopes: [openid]"])
def test_adobes_single_page_app_credential_is_told_that_it_gets_no_refresh_token_whatever_the_scopes(
    scopes: str,
) -> None:
    [note] = said({"frameio": f"frameio: {{api: v4, client_id: a{scopes}}}"})
    assert note == (
        "No client_secret: the proxy signs in as a PKCE (public) app, for Adobe a Single Page App credential, "
        "which gets no refresh token. A session ends with its access token, and opening a page then makes a "
        "quiet trip through the login."
    )


def test_a_pkce_app_of_v2_gets_refresh_tokens_for_the_scope() -> None:
    _, pkce = said({"frameio": "frameio: {api: v2, client_id: a}"})
    assert pkce == "No client_secret: the proxy signs in as a PKCE (public) app."
    _, scope, _ = said({"frameio": "frameio: {api: v2, client_id: a, scopes: [account.read]}"})
    assert scope.startswith("Without the scope offline ")


def test_programs_behind_something_that_is_not_trusted_are_one_client() -> None:
    access = 'access: {allow: [{email: "*@example.com"}], bearer: true}'
    [note] = said({"access": access})
    assert note.startswith("access.bearer is on and trusted_proxies is empty: ")
    assert said({"access": access, "extra": "trusted_proxies: [10.0.0.0/8]"}) == []


@pytest.mark.parametrize(
    ("upstreams", "expected"),
    [
        ("/: http://127.0.0.1:1, /admin/: {url: http://127.0.0.1:1/admin, RULES}", None),
        ("/: http://127.0.0.1:1, /staff/: {url: http://127.0.0.1:1/admin, RULES}", "/admin/, by the upstream /"),
        ("/: http://127.0.0.1:1, /staff/: {url: http://127.0.0.1:1, RULES}", "/, by the upstream /"),
        ("/a/: http://127.0.0.1:1/x, /b/: {url: http://127.0.0.1:1/x/y, RULES}", "/a/y/, by the upstream /a/"),
        ("/a/: http://127.0.0.1:1/x, /b/: {url: http://127.0.0.1:1/xy, RULES}", None),
        ("/: http://127.0.0.1:2, /staff/: {url: http://127.0.0.1:1, RULES}", None),
        ("/: http://127.0.0.1:1, /staff/: {url: http://127.0.0.1:1, strip: false, RULES}", None),
        (
            "/: http://127.0.0.1:1, /staff/: {url: http://127.0.0.1:1/a, strip: false, RULES}",
            "/a/staff/, by the upstream /",
        ),
        ("/: {url: http://127.0.0.1:1, RULES}, /staff/: {url: http://127.0.0.1:1, RULES}", None),
    ],
)
def test_a_way_round_the_rules_of_an_upstream_is_noted(upstreams: str, expected: str | None) -> None:
    rules = "deny: [email: jo@a.example]"
    found = said({"upstreams": f"upstreams: {{{upstreams.replace('RULES', rules)}}}"})
    assert [note for note in found if expected and expected in note] == found
    assert len(found) == (expected is not None)
