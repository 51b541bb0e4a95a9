"""Every option of access.allow keeps out whom it does not name, and no trick in a profile gets in."""

from typing import Any

import pytest

from oauth_proxy.demo.people import EDITOR, ELSEWHERE_ACCOUNT, STUDIO_ACCOUNT
from oauth_proxy.errors import ConfigurationError
from tests.support.browser import NAVIGATING, Visitor
from tests.support.raw_http import TOOL_BYTES, Wire, location, wired
from tests.tally import tried

STUDIO = {"email": "*@studio.example.com"}


async def entering(visitor: Visitor, *rules: dict[str, Any]) -> tuple[int, int, int]:
    """What the Editor gets for a page and from /oauth2/auth under these rules, and how much the tool has heard."""
    async with wired(access={"allow": list(rules)}) as wire:
        login = await wire.login(visitor)
        auth = await wire.ask("/oauth2/auth", login.cookie)
        page = await wire.ask("/page", *NAVIGATING, login.cookie)
        assert (TOOL_BYTES in page.body) == (page.status == 200)
        return page.status, auth.status, len(wire.tool.heard)


@pytest.mark.parametrize(
    ("fits", "does_not_fit"),
    [
        (STUDIO, {"email": "*@elsewhere.example.org"}),
        ({"email": "editor@studio.example.com"}, {"email": "reviewer@studio.example.com"}),
        ({"email": "*@*.example.com"}, {"email": "*@*.studio.example.com"}),
        ({"email": "*@STUDIO.example.com"}, {"email": "*@example.com"}),
        ({"account": STUDIO_ACCOUNT}, {"account": ELSEWHERE_ACCOUNT}),
    ],
)
async def test_every_option_denies_whom_it_does_not_name(
    fits: dict[str, str], does_not_fit: dict[str, str]
) -> None:
    async with Visitor() as one, Visitor() as two, Visitor() as three:
        assert await entering(one, does_not_fit) == (403, 403, 0)
        assert await entering(two, fits) == (200, 202, 1)
        assert await entering(three, does_not_fit, fits) == (200, 202, 1)


@pytest.mark.parametrize(
    "allow", [[], None, ["everybody"], [{}], [{"emails": "*@a.example"}], [{**STUDIO, "rule": "x"}]]
)
async def test_an_option_that_would_do_nothing_is_an_error_at_the_start(allow: object) -> None:
    with pytest.raises(ConfigurationError):
        async with wired(access={"allow": allow}):
            pass


EMAILS = [
    "a@evil.com@studio.example.com", "a@evil.com,b@studio.example.com", "a@studio.example.com@evil.com",
    "a@badstudio.example.com", "a@studio.example.com.evil.com", "a@studio.example.comx",
    "a@studio.example.com\n", "a@studio.example.com ", " a@studio.example.com", "a\r\n@studio.example.com",
    "@studio.example.com", "studio.example.com", "a@studio\u3002example.com", "a@stud\u0131o.example.com",
    "a@\uff53tudio.example.com", "a@studio.example.com\x00", "<a@studio.example.com>",
    '"a@evil.com"@studio.example.com', "a@[studio.example.com]", "a@studio.example.com.",
]  # fmt: skip


async def test_no_odd_address_passes_for_one_of_the_studios(visitor: Visitor) -> None:
    """CVE-2026-40574, CVE-2021-21291."""
    async with wired(access={"allow": [STUDIO]}) as wire:
        for email in tried(EMAILS):
            wire.stage.frameio.change_email(EDITOR, email)
            login = await wire.login(visitor)
            assert (await wire.ask("/page", login.cookie)).status == 403, email
        assert not wire.tool.heard
        wire.stage.frameio.change_email(EDITOR, "Editor@Studio.Example.COM")
        assert (await wire.ask("/page", (await wire.login(visitor)).cookie)).status == 200


@pytest.mark.parametrize(
    "query",
    ["", "?state=x&code=y", "?state=&code=y", "?code=y", "?state=x&state=x&code=y", "?state=%ED%A0%80.x&code=y"],
)
async def test_a_forged_callback_redeems_nothing_and_begins_no_session(
    wire: Wire, visitor: Visitor, query: str
) -> None:
    """CVE-2017-1000069: the state is looked at first, and the token endpoint hears of nothing."""
    login = await wire.login(visitor)
    calls = wire.stage.frameio.calls["token"]
    for cookie in tried(([], [login.attempt])):
        answer = await wire.ask(f"/oauth2/callback{query}", *NAVIGATING, *cookie)
        assert answer.status == 403
        assert not [line for line in answer.all("Set-Cookie") if line.startswith("oauth_proxy=")]
    assert wire.stage.frameio.calls["token"] == calls


async def test_somebody_elses_callback_signs_nobody_in(wire: Wire, visitor: Visitor) -> None:
    """Login CSRF: a whole, fresh callback of an attacker, opened in a browser that has begun no such login."""
    async with Visitor() as attacker:
        login = await wire.login(attacker)
    calls = wire.stage.frameio.calls["token"]
    own = await wire.login(visitor, person="Guest")
    for cookie in tried(([], [own.attempt], ["Cookie: oauth_proxy-login-AAAAAAAA=x"])):
        answer = await wire.ask(login.callback, *NAVIGATING, *cookie)
        assert not [line for line in answer.all("Set-Cookie") if line.startswith("oauth_proxy=")]
        assert answer.status == 403 or location(answer).startswith(wire.stage.frameio_url), "a login of one's own"
    assert wire.stage.frameio.calls["token"] == calls + 1


async def test_half_characters_in_a_profile_break_nothing(wire: Wire, visitor: Visitor) -> None:
    """JSON can hold half a surrogate pair; a header cannot."""
    started = await wire.ask("/oauth2/start", *NAVIGATING)
    callback = await wire.through_frame_io(visitor, location(started), "Editor")
    wire.stage.frameio.change_email(EDITOR, "half\ud800@studio.example.com")
    attempt = started.all("Set-Cookie")[0].partition(";")[0]
    [session] = [
        line
        for line in (await wire.ask(callback, f"Cookie: {attempt}")).all("Set-Cookie")
        if line.startswith("oauth_proxy=")
    ]
    cookie = f"Cookie: {session.partition(';')[0]}"
    for target, status in (("/oauth2/auth", 202), ("/oauth2/userinfo", 200), ("/page", 200)):
        assert (await wire.ask(target, cookie)).status == status
    assert wire.tool.heard[-1].all("X-Forwarded-Email") == ["half?@studio.example.com"]
