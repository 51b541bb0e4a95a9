"""What processes know together, wherever it is kept: two of them on one home."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from oauth_proxy.errors import ProviderUnavailable
from oauth_proxy.memory import Bell, home
from oauth_proxy.memory.home import Record
from oauth_proxy.memory.memory import Note
from oauth_proxy.seal import Sealer
from tests.support.login import complaints
from tests.support.memories import KEY, a_clock, a_memory, a_session, following, processes, refreshed
from tests.support.redis import needs_redis
from tests.support.stores import SITE, WEEK, Place, everywhere, in_a_file, shared
from tests.support.units import DAY, HOUR

pytestmark = needs_redis


@everywhere
async def test_the_newest_of_a_session_is_known_everywhere(place: Place) -> None:
    one, other = await processes(place)
    first = a_session(place)
    assert await other.newest(first.id) is None
    assert await one.remember(first)
    place.clock.advance(60)
    second = refreshed(first, place)
    assert await other.remember(second)
    assert await one.remember(first)
    assert await one.newest(first.id) == await other.newest(first.id) == second
    await one.forget(first.id)
    assert await other.newest(first.id) is None


@everywhere
async def test_what_one_claims_nobody_else_gets_and_what_one_leaves_others_find(place: Place) -> None:
    one, other = await processes(place)
    assert await one.claim("state x", 900.0) is None
    place.clock.advance(5)
    assert await other.claim("state x", 900.0) == pytest.approx(5.0)
    assert await other.claim("state y", 900.0) is None
    assert await other.find("landing x") is None
    await one.leave("landing x", b"here", 60.0)
    await one.leave("landing y", b"", 60.0)
    assert (await other.find("landing x"), await other.find("landing y")) == (b"here", b"")


@everywhere
async def test_who_was_seen_is_listed_until_their_sessions_end(place: Place) -> None:
    one, other = await processes(place)
    mine, theirs = a_session(place), a_session(place, "b", who="u-al")
    await one.note(mine, mine.seen)
    await one.note(theirs, theirs.seen)
    place.clock.advance(10)
    await other.note(mine, place.clock())
    note = Note(mine.id, "u-jo", "u-jo@example.com", mine.created, place.clock())
    assert await one.noted(mine.id) == note
    assert {each.session_id: each for each in await one.notes()}[mine.id] == note
    await other.end_user("U-AL@example.com")
    assert [each.session_id for each in await other.notes()] == [mine.id]
    await other.end(mine)
    assert await other.notes() == []
    assert await one.noted(mine.id) is None


@everywhere
async def test_a_session_with_something_open_is_in_use_everywhere(place: Place) -> None:
    one, other = await processes(place)
    session = a_session(place)
    assert await other.held(session.id) == 0.0
    for _ in range(2):
        place.clock.advance(10)
        await one.hold(session, place.clock())
    assert await other.held(session.id) == place.clock()


@shared
async def test_what_one_ends_has_ended_everywhere_and_after_a_restart(place: Place) -> None:
    one, other = await processes(place)
    mine, theirs = a_session(place), a_session(place, "b", who="u-al")
    await one.end(mine)
    assert one.has_ended(mine)
    assert not other.has_ended(mine)
    await other.follow()
    [restarted] = await processes(place, 1)
    for memory in (other, restarted):
        assert memory.has_ended(mine)
        assert not memory.has_ended(theirs)
    place.clock.advance(1)
    assert await other.end_user(None)
    await one.follow()
    assert one.has_ended(theirs)
    place.clock.advance(1)
    assert not one.has_ended(a_session(place, "later"))


@shared
async def test_what_has_ended_is_remembered_for_as_long_as_it_could_have_lasted(place: Place) -> None:
    [one] = await processes(place, 1)
    session = a_session(place)
    await one.end(session)
    place.clock.advance(WEEK - 1)
    [restarted] = await processes(place, 1)
    assert restarted.has_ended(session)


@shared
async def test_one_process_refreshes_at_a_time(place: Place) -> None:
    one, other = await processes(place)
    order = []

    async def refresh() -> None:
        async with other.lease("session-a"):
            order.append("other")

    async with one.lease("session-a"):
        waiting = asyncio.create_task(refresh())
        async with other.lease("session-b"):
            order.append("another session")
        await asyncio.sleep(2 * home.LOOK_AGAIN)
        order.append("one")
    await waiting
    assert order == ["another session", "one", "other"]


@shared
async def test_a_lease_that_is_never_given_back_is_waited_for_and_no_longer(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await processes(place)
    async with one.lease("session-a"):
        monkeypatch.setattr(home, "LEASE", 0.0)
        monkeypatch.setattr(home, "DEADLINE", 0.0)
        if not place.address.startswith("sqlite"):  # there a lease longer than any is from before a restart
            with pytest.raises(ProviderUnavailable):
                async with other.lease("session-a"):
                    pass


@shared
async def test_a_refresh_that_is_broken_off_gives_its_lease_back(place: Place) -> None:
    one, other = await processes(place)

    async def refresh() -> None:
        async with one.lease("session-a"):
            await asyncio.sleep(3600)

    for broken_off_after in (0.0, 0.001, 0.01):
        refreshing = asyncio.create_task(refresh())
        await asyncio.sleep(broken_off_after)
        while not refreshing.done():  # Redis' client sometimes overhears the first time
            refreshing.cancel()
            await asyncio.wait([refreshing], timeout=0.1)
        async with asyncio.timeout(home.LEASE / 3), other.lease("session-a"):
            pass


@shared
async def test_a_process_whose_clock_is_behind_moves_forward(place: Place) -> None:
    clock = a_clock(place, wrong=-HOUR)
    ahead, behind = a_memory(place), a_memory(place, clock=clock)
    await ahead.follow()
    await behind.follow()
    assert clock() == pytest.approx(place.clock())
    session = a_session(place)
    await behind.end_user("u-jo")
    await ahead.follow()
    assert ahead.has_ended(session), "though it began in the other's future"


@shared
async def test_an_end_is_news_of_the_time_too(place: Place) -> None:
    clock = a_clock(place)
    right, ahead = await following(a_memory(place, clock=clock)), a_memory(place, wrong=HOUR)
    await ahead.follow()
    await ahead.end_user("u-jo")
    await right.follow()
    later = a_session(place, created=clock() + 1)
    assert not right.has_ended(later), "who signs in again is not ended for an hour more"


@shared
async def test_a_clock_that_is_more_than_a_day_ahead_is_not_believed(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = a_memory(place, wrong=2 * DAY)
    await wrong.follow()
    await wrong.end_user("u-jo")
    clock = a_clock(place)
    right = await following(a_memory(place, clock=clock))
    await processes(place, 1)
    assert clock() == pytest.approx(place.clock())
    assert len([line for line in complaints(caplog) if "not believed" in line]) == 1, (
        "the right time takes its place"
    )
    session = a_session(place)
    assert right.has_ended(session), "but the end is"
    place.clock.advance(1)
    assert not right.has_ended(a_session(place, "later"))


@in_a_file
async def test_another_versions_records_are_read_over_and_told_of_once(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    [one] = await processes(place, 1)
    sealer, other = Sealer([KEY], "memory"), place.home()
    await other.open()
    strange = [b"", b"2", b"[]", b"{}", b"null", b'[2,"new"]', b"[1]", b'["session x"]', b"\xff"]
    session = a_session(place)
    await one.note(session, session.seen)
    kinds = ("session", "seen", "held", "claim")
    [seen] = [key async for key, _ in other.every("seen")]
    name = seen.partition(":")[2]
    for number, content in enumerate(strange):
        for kind in kinds:
            key = f"{kind}:{name}"
            await other.put(Record(key, sealer.seal(content, f"{SITE}:{key}"), 1e10 + number, 60.0))
        await other.put(Record("clock", sealer.seal(content, f"{SITE}:clock"), 1e10 + number, 60.0))
        await other.tell([Record(f"ended:{number}", sealer.seal(content, f"{SITE}:ended"), 1.0, 60.0)])
        await one.follow()
        assert await one.newest(session.id) is None
        await one.notes()
        await one.noted(session.id)
        await one.held(session.id)
        await one.claim(session.id, 60.0)
        place.clock.advance(60)
        assert one.trouble is None
    assert ["another version" in line for line in complaints(caplog)] == [True]


@in_a_file
async def test_a_later_version_may_add_fields_to_an_end(place: Place) -> None:
    [one] = await processes(place, 1)
    session, later = a_session(place), place.home()
    await later.open()
    text = f'[1,"session {session.id}",{place.clock()},"u-jo",{session.created},"why it ended"]'.encode()
    await later.tell([Record("ended:a", Sealer([KEY], "memory").seal(text, f"{SITE}:ended"), 1.0, 60.0)])
    await one.follow()
    assert one.has_ended(session)


@in_a_file
async def test_a_process_with_another_secret_is_told_of_once_and_harms_nobody(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    [one] = await processes(place, 1)
    foreign = a_memory(place, key=bytes(31) + b"x")
    await foreign.follow()
    for number in range(50):
        await foreign.end_user(f"somebody-{number}")
    session = a_session(place)
    await one.follow()
    assert not one.has_ended(session)
    assert ["cannot open" in line for line in complaints(caplog)] == [True, True], "one for each process"


@shared
async def test_what_ends_while_the_home_is_read_anew_is_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    its_home = place.home()
    [other], late = await processes(place, 1), a_memory(place, home=its_home)
    before, during = a_session(place), a_session(place, "b", who="u-al")
    await late.end(before)
    tell = its_home.tell
    once = [during]

    async def slow(ends: list[Record]) -> None:
        while once:
            await late.end(once.pop())
        await tell(ends)

    monkeypatch.setattr(its_home, "tell", slow)
    await late.follow()
    await other.follow()
    assert other.has_ended(before)
    assert other.has_ended(during)


@shared
@pytest.mark.parametrize("doing", ["open", "news", "tell", "put"])
async def test_whoever_looks_first_at_a_home_that_is_back_may_hang_up_while_it_is_read_and_told(
    place: Place, monkeypatch: pytest.MonkeyPatch, doing: str
) -> None:
    its_home, bell = place.home(), Bell()
    one = a_memory(place, home=its_home, bell=bell)
    session, ended = a_session(place), a_session(place, "b", who="u-al")
    await one.remember(session)
    await one.end(ended)
    write, is_asked = getattr(its_home, doing), asyncio.Event()

    async def slow(*told: object) -> None:
        is_asked.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(its_home, doing, slow)
        bell.ring()
        request = asyncio.create_task(one.catch_up())
        await is_asked.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    assert getattr(its_home, doing) == write
    await one.follow()
    assert one.trouble is None
    [other] = await processes(place, 1)
    assert await other.newest(session.id) == session
    assert other.has_ended(ended)


@pytest.mark.parametrize("place", ["redis", "cluster"], indirect=True)  # SQLite's is the place's to close, once
async def test_a_home_that_was_closed_is_not_opened_again(place: Place) -> None:
    one = await following(a_memory(place))
    session = a_session(place)
    await one.remember(session)
    await one.close()
    for _ in range(2):
        await one.follow()
        assert one.trouble
        assert await one.newest(session.id) is None


async def test_nothing_that_is_asked_of_a_home_that_is_away_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with AsyncExitStack() as stack:
        one = a_memory(Place("redis+cluster://127.0.0.1:9", stack))
        place = Place("cookie", stack)
        session = a_session(place)
        for _ in range(3):
            await one.follow()
            assert one.trouble == "redis unreachable"
            assert not await one.remember(session)
            assert await one.newest(session.id) is None
            assert await one.claim("x", 60.0) is None
            async with one.lease(session.id):
                pass
            assert await one.notes() == []
        await one.end(session)
        assert one.has_ended(session)
    assert len(complaints(caplog)) == 1
