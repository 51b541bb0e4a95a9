"""Assertions: nobody can send a tool one of their own, and who has one has nothing that opens the door."""

from oauth_proxy.assertions import LIFETIME
from tests.hostile.test_identity_headers import EVIL, forged, spellings
from tests.support.browser import Visitor
from tests.support.raw_http import wired
from tests.tally import tried
from tests.test_assertions import HEADER

HEADERS = {HEADER: "{assertion}"}


async def test_no_spelling_of_an_assertions_header_reaches_the_tool(visitor: Visitor) -> None:
    async with wired(headers=HEADERS) as wire:
        cookie = (await wire.login(visitor)).cookie
        for spelling in tried(dict.fromkeys(spellings(HEADER))):
            line = f"{spelling}: {EVIL}"
            assert (await wire.ask("/page", cookie, line)).status == 200
            assert (await wire.ask("/page", cookie, line, f"Connection: {HEADER}, close")).status == 200
            assert (await wire.handshake("/socket", cookie, line)).status == 101
            assert all(len(heard.all(HEADER)) == 1 for heard in wire.tool.heard)
            assert (await wire.ask("/healthz", cookie, line)).status == 200
            assert not wire.tool.heard[-1].all(HEADER)
            assert not forged(wire)
            wire.tool.heard.clear()


async def test_an_assertion_is_no_credential_at_this_door(visitor: Visitor) -> None:
    async with wired(headers=HEADERS, access={"bearer": "true"}) as wire:
        login = await wire.login(visitor)
        assert (await wire.ask("/page", login.cookie)).status == 200
        [assertion] = wire.tool.heard.pop().all(HEADER)
        name = next(iter(login.values))
        for line in tried(
            (f"Authorization: Bearer {assertion}", f"Cookie: {name}={assertion}", f"{HEADER}: {assertion}")
        ):
            assert (await wire.ask("/page", line)).status == 401
        assert not wire.tool.heard


async def test_no_assertion_is_made_for_who_has_signed_out(visitor: Visitor) -> None:
    async with wired(headers=HEADERS) as wire:
        cookie = (await wire.login(visitor)).cookie
        assert (await wire.ask("/page", cookie)).status == 200
        await wire.ask("/oauth2/sign_out", cookie, "Sec-Fetch-Site: none")
        wire.tool.heard.clear()
        for _ in tried(range(2)):
            assert (await wire.ask("/page", cookie)).status == 401
            wire.stage.clock.advance(LIFETIME)
        assert not wire.tool.heard
