"""Whose a failure is, counted on the wire: one visitor's trouble is nobody else's."""

import asyncio
from collections.abc import Awaitable
from email.utils import formatdate

import aiohttp
import pytest
from aiohttp import web

from oauth_proxy.demo.faults import RETRY_AFTER, Fault
from oauth_proxy.errors import (
    GrantEnded,
    ProviderAway,
    ProviderBusy,
    ProviderNonsense,
    ProviderPaused,
    ProviderUnavailable,
    ProxyError,
)
from oauth_proxy.identity import Tokens
from oauth_proxy.oauth import Attempt
from oauth_proxy.provider import shares
from oauth_proxy.provider.calls import LONGEST_PATIENCE
from oauth_proxy.provider.shares import Shares
from tests.support.provider import STATE, Memberships, answering, asking
from tests.support.units import NOW


def held(token: str) -> Tokens:
    return Tokens(f"access-{token}", NOW, NOW + 3600, f"refresh-{token}", "account.read offline")


async def outcome(call: Awaitable[object]) -> ProxyError | None:
    try:
        await call
    except ProxyError as error:
        return error
    return None


@pytest.mark.parametrize("error", ["ride_AdobeID_acct_actreq", "invalid_grant", "server_confused"])
async def test_one_visitor_whose_refreshes_are_refused_stops_none_of_twenty_others(error: str) -> None:
    served = 0

    async def refuse_one(request: web.Request) -> web.StreamResponse:
        nonlocal served
        if (await request.post())["refresh_token"] == "refresh-0":
            return web.json_response({"error": error}, status=400)
        served += 1
        return web.json_response({"access_token": "new", "token_type": "bearer"})

    async with answering(refuse_one) as url, asking(token_url=url) as asked:
        for _ in range(24):
            failures = [
                await outcome(asked.provider.refresh(held(str(each)), owner=str(each))) for each in range(20)
            ]
            assert [failure is None for failure in failures] == [False] + [True] * 19
            assert type(failures[0]) is (ProviderNonsense if error == "server_confused" else GrantEnded)
    assert served == 24 * 19


async def test_one_persons_429_at_the_api_stops_none_of_twenty_others() -> None:
    async def busy_for_one(request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] == "Bearer access-0":
            return web.Response(status=429, headers={"x-ratelimit-window": "60000"})
        return web.json_response({"id": "x"})

    async with answering(busy_for_one) as url, asking(api_url=url) as asked:
        for _ in range(20):
            failures = [
                await outcome(asked.provider.profile(f"access-{each}", owner=str(each))) for each in range(20)
            ]
            assert [failure is None for failure in failures] == [False] + [True] * 19
            assert isinstance(failures[0], ProviderBusy)
            assert failures[0].retry_after == 60


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": " 7 "}, 7),
        ({"Retry-After": "7", "x-ratelimit-window": "60000"}, 7),
        ({"Retry-After": formatdate(NOW + 90, usegmt=True)}, 90),
        ({"Retry-After": formatdate(NOW - 90, usegmt=True)}, 1),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "-7"}, 10),
        ({"Retry-After": "soon"}, 10),
        ({"Retry-After": ""}, 10),
        ({"Retry-After": "9" * 4000}, 10),
        ({"Retry-After": "86400"}, LONGEST_PATIENCE),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 -2359"}, LONGEST_PATIENCE),
        ({"Retry-After": "Fri, 31 Dec 0001 23:59:59 GMT"}, 1),
        ({"Retry-After": "Tue, 31 Nov 2026 00:00:00 GMT"}, 10),
        ({"x-ratelimit-window": "60000"}, 60),
        ({"x-ratelimit-window": "1"}, 1),
        ({"x-ratelimit-window": "a minute"}, 10),
        ({}, 10),
    ],
)
async def test_a_429_says_for_how_long_or_is_taken_to_mean_ten_seconds(
    headers: dict[str, str], seconds: int
) -> None:
    async def busy(request: web.Request) -> web.StreamResponse:
        return web.Response(status=429, headers=headers)

    async with answering(busy) as url, asking(api_url=url) as asked:
        failure = await outcome(asked.provider.profile("t", owner="o"))
    assert isinstance(failure, ProviderBusy)
    assert failure.retry_after == seconds


async def test_a_429_of_the_token_endpoint_pauses_every_refresh_until_its_time_is_over_and_no_login() -> None:
    async with asking() as asked:
        tokens = await asked.tokens()
        asked.frameio.faults.plan("token", Fault.TOO_MANY_REQUESTS, 1)
        assert isinstance(await outcome(asked.provider.refresh(held("0"), owner="one")), ProviderBusy)
        asked.clock.advance(RETRY_AFTER - 2.5)
        before = asked.frameio.calls["token"]
        for owner in ("one", "two", "three", "four"):
            failure = await outcome(asked.provider.refresh(tokens, owner=owner))
            assert isinstance(failure, ProviderBusy)
            assert failure.retry_after == 3
        assert asked.frameio.calls["token"] == before
        await asked.tokens()  # a login
        asked.clock.advance(2.5)
        await asked.provider.refresh(tokens, owner="one")


async def test_a_429_that_strangers_get_for_their_codes_stops_nobodys_refresh() -> None:
    async with asking() as asked:
        tokens = await asked.tokens()
        asked.frameio.faults.plan("token:authorization_code", Fault.TOO_MANY_REQUESTS)
        for _ in range(5):
            failure = await outcome(asked.provider.exchange("bogus", Attempt.start(STATE, asked.clock())))
            assert isinstance(failure, ProviderBusy)
        await asked.provider.refresh(tokens, owner="one")


async def away(asked: Memberships, call: str, owners: list[str]) -> list[type[ProxyError]]:
    """How one call each ends for these owners."""
    found = []
    for owner in owners:
        ask = asked.provider.refresh(held(owner), owner=owner) if call == "token" else None
        failure = await outcome(ask or asked.provider.profile("t", owner=owner))
        assert failure is not None
        found.append(type(failure))
    return found


@pytest.mark.parametrize("call", ["token", "me"])
async def test_a_provider_that_is_away_for_three_owners_is_asked_by_one_probe_at_a_time(call: str) -> None:
    async with asking() as asked:
        asked.frameio.faults.plan(call, Fault.SERVER_ERROR)
        assert await away(asked, call, ["a", "b", "c"]) == [ProviderAway] * 3
        assert await away(asked, call, ["a", "b", "c", "d"]) == [ProviderPaused] * 4
        assert asked.frameio.calls[call] == 3
        asked.clock.advance(1)
        assert await away(asked, call, ["d", "e"]) == [ProviderAway, ProviderPaused]
        asked.frameio.faults.clear()
        asked.frameio.faults.plan(call, Fault.INVALID_GRANT)
        asked.clock.advance(2)
        assert ProviderPaused not in await away(asked, call, ["a", "b", "c", "d"])
        assert asked.frameio.calls[call] == 8


@pytest.mark.parametrize("call", ["token", "me"])
async def test_one_owner_may_find_the_provider_away_as_often_as_they_like(call: str) -> None:
    async with asking() as asked:
        asked.frameio.faults.plan(call, Fault.DISCONNECT)
        assert await away(asked, call, ["a"] * 50) == [ProviderAway] * 50


async def test_the_api_being_away_says_nothing_of_the_token_endpoint_nor_the_other_way_round() -> None:
    async with asking() as asked:
        tokens = await asked.tokens()
        asked.frameio.faults.plan("me", Fault.SERVER_ERROR)
        await away(asked, "me", ["a", "b", "c"])
        tokens = await asked.provider.refresh(tokens, owner="a")
        asked.frameio.faults.clear()
        asked.frameio.faults.plan("token", Fault.SERVER_ERROR)
        await away(asked, "token", ["a", "b", "c"])
        asked.clock.advance(1)
        await asked.provider.profile(tokens.access, owner="a")


async def test_logins_are_never_held_back_and_are_one_owner_however_many_they_are() -> None:
    async with asking() as asked:
        attempt = Attempt.start(STATE, asked.clock())
        asked.frameio.faults.plan("token", Fault.SERVER_ERROR)
        for _ in range(20):
            assert type(await outcome(asked.provider.exchange("code", attempt))) is ProviderAway
        assert await away(asked, "token", ["a", "b", "c"]) == [ProviderAway, ProviderAway, ProviderPaused]
        assert type(await outcome(asked.provider.exchange("code", attempt))) is ProviderAway
        asked.frameio.faults.clear()
        tokens = await asked.tokens()
        await asked.provider.refresh(tokens, owner="a")
        asked.frameio.faults.plan("me", Fault.SERVER_ERROR)
        await away(asked, "me", ["a", "b", "c", "d"])
        asked.frameio.faults.clear()
        await asked.provider.profile((await asked.tokens()).access, owner="login", asker="login")


async def test_a_probe_whose_asker_hangs_up_leaves_room_for_the_next() -> None:
    async with asking() as asked:
        asked.frameio.faults.plan("me", Fault.SERVER_ERROR)
        await away(asked, "me", ["a", "b", "c"])
        asked.clock.advance(1)
        asked.frameio.faults.plan("me", Fault.HANG)
        probe = asyncio.create_task(asked.provider.profile("t", owner="a"))
        await asked.frameio.faults.hanging(1)
        assert await away(asked, "me", ["b"]) == [ProviderPaused]
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        asked.frameio.faults.clear()
        assert await away(asked, "me", ["b"]) == [GrantEnded]


async def test_fifteen_hundred_bogus_callbacks_while_the_token_endpoint_hangs_keep_out_no_refresh() -> None:
    release, full, hanging = asyncio.Event(), asyncio.Event(), 0

    async def hang_on_codes(request: web.Request) -> web.StreamResponse:
        nonlocal hanging
        if (await request.post())["grant_type"] == "authorization_code":
            hanging += 1
            if hanging == 20:
                full.set()
            await release.wait()
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response({"access_token": "new", "token_type": "bearer"})

    async with answering(hang_on_codes) as url, asking(token_url=url) as asked:
        attempt = Attempt.start(STATE, asked.clock())
        bogus = [
            asyncio.create_task(outcome(asked.provider.exchange(f"bogus-{each}", attempt))) for each in range(1500)
        ]
        await full.wait()
        refreshed = await asked.provider.refresh(held("0"), owner="somebody")
        assert refreshed.access == "new"
        assert hanging == 20
        for task in bogus:
            task.cancel()
        await asyncio.gather(*bogus, return_exceptions=True)
        release.set()


async def test_who_waits_too_long_for_a_turn_or_is_one_too_many_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shares, "PATIENCE", 0.05)
    monkeypatch.setattr(shares, "_WAITING", 1)
    async with asking() as asked:
        asked.frameio.faults.plan("token", Fault.HANG)
        attempt = Attempt.start(STATE, asked.clock())
        asks = [asyncio.create_task(outcome(asked.provider.exchange("code", attempt))) for _ in range(41)]
        done, hanging = await asyncio.wait(asks, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 21:
            more, hanging = await asyncio.wait(hanging, timeout=60, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        failures = [task.result() for task in done]
        assert {type(failure) for failure in failures} == {ProviderUnavailable}
        causes = [str(failure) for failure in failures]
        assert causes.count("too many logins wait for the provider already") == 1
        assert causes.count("of all logins under way none ended within 0.05 s") == 20
        asked.frameio.faults.clear()
        await asyncio.gather(*hanging)
        assert (await asked.tokens()).access, "every turn was given back"


async def test_programs_questions_keep_out_no_profile_of_a_session() -> None:
    release, full, hanging = asyncio.Event(), asyncio.Event(), 0

    async def hang_on_programs(request: web.Request) -> web.StreamResponse:
        nonlocal hanging
        if request.headers["Authorization"] == "Bearer of-a-program":
            hanging += 1
            if hanging == 16:
                full.set()
            await release.wait()
        return web.json_response({"id": "x"})

    async with answering(hang_on_programs) as url, asking(api_url=url) as asked:
        asks = [
            asyncio.create_task(asked.provider.profile("of-a-program", owner=str(each), asker="program"))
            for each in range(200)
        ]
        await full.wait()
        assert (await asked.provider.profile("of-a-session", owner="somebody")).id == "x"
        assert hanging == 16
        release.set()
        await asyncio.gather(*asks)
    assert hanging == 200


def test_all_shares_together_fit_into_the_http_clients_connections() -> None:
    async def limit() -> int:
        async with aiohttp.TCPConnector() as connector:
            return connector.limit

    assert Shares().at_once <= asyncio.run(limit())
