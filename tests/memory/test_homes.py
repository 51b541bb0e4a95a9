"""What each home promises, whatever it is made of: one suite for the process, a file, and Redis in three forms."""

import asyncio

from oauth_proxy.memory.home import BATCH, Home, Record
from tests.support.redis import needs_redis
from tests.support.stores import Place, everywhere, shared

pytestmark = needs_redis


def record(key: str, text: str = "sealed", at: float = 1.0, lasts: float = 60.0) -> Record:
    return Record(key, text, at, lasts)


async def news(home: Home) -> list[str]:
    """All that has ended since the last call."""
    found, more = list[str](), True
    while more:
        _, texts, more = await home.news()
        found += texts
    return found


async def listed(home: Home, kind: str) -> dict[str, str]:
    return {key: text async for key, text in home.every(kind)}


@everywhere
async def test_what_is_put_is_got_until_it_is_deleted(place: Place) -> None:
    home = place.home()
    await home.open()
    assert await home.get("session:a") is None
    await home.put(record("session:a", "one"), record("session:b", "two"))
    await home.put()
    assert [await home.get(f"session:{name}") for name in "abc"] == ["one", "two", None]
    await home.delete("session:a", "session:c")
    assert [await home.get(f"session:{name}") for name in "ab"] == [None, "two"]


@everywhere
async def test_the_later_of_two_counts_in_whatever_order_they_come(place: Place) -> None:
    home = place.home()
    await home.open()
    for at, text in ((2.0, "second"), (1.0, "first"), (2.0, "second again")):
        await home.put(record("session:a", text, at))
    assert await home.get("session:a") == "second again"
    await home.put(record("session:a", "third", 3.25), record("session:a", "between", 3.125))
    assert await home.get("session:a") == "third"


@everywhere
async def test_what_is_over_is_gone_and_gives_way_to_something_older(place: Place) -> None:
    home = place.home()
    await home.open()
    await home.put(record("seen:a", "brief", at=9.0, lasts=0.1))
    assert await home.add(record("claim:a", lasts=0.1))
    await passes(place, 0.15)
    assert await home.get("seen:a") is None
    assert await listed(home, "seen") == {}
    await home.put(record("seen:a", "older", at=1.0))
    assert await home.get("seen:a") == "older"
    assert await home.add(record("claim:a", "again"))


@everywhere
async def test_however_many_put_and_delete_at_a_time_each_is_done(place: Place) -> None:
    home = place.home()
    await home.open()
    for at in range(10):
        puts = [home.put(record(f"seen:{number}", f"{at}", float(at))) for number in range(100)]
        deletes = [home.delete(f"held:{number}") for number in range(25)]
        await asyncio.gather(*puts, *deletes)
    assert await listed(home, "seen") == {f"seen:{number}": "9" for number in range(100)}


@everywhere
async def test_of_several_that_add_at_a_time_one_is_the_first(place: Place) -> None:
    homes = [place.home()] * 2 if place.address == "cookie" else [place.home(), place.home()]
    for home in homes:
        await home.open()
    added = await asyncio.gather(*(homes[n % 2].add(record("claim:a", str(n))) for n in range(20)))
    assert added.count(True) == 1
    assert await homes[0].get("claim:a") == str(added.index(True))


@everywhere
async def test_every_record_of_a_kind_is_told_and_of_no_other_kind(place: Place) -> None:
    home = place.home()
    await home.open()
    count = 2 * BATCH + 3
    await home.put(*(record(f"seen:{number:04}", str(number)) for number in range(count)))
    await home.put(record("seenx:a"), record("see:a"), record("held:a"))
    assert await listed(home, "seen") == {f"seen:{number:04}": str(number) for number in range(count)}
    assert await listed(home, "claim") == {}


@shared
async def test_sites_do_not_mix(place: Place) -> None:
    one, other = place.home(), place.home(site="oauth-proxy:[*]?.example.com:s")
    for home in (one, other):
        await home.open()
        await home.put(record("seen:a", home.name + str(id(home))))
    assert await one.get("seen:a") != await other.get("seen:a")
    assert len(await listed(one, "seen")) == len(await listed(other, "seen")) == 1
    assert await one.take("turn:a", "one", 60.0)
    assert await other.take("turn:a", "other", 60.0)
    await one.tell([record("ended:a", "of one")])
    assert (await news(one), await news(other)) == (["of one"], [])
    await one.delete("seen:a")
    assert await other.get("seen:a") is not None


@shared
async def test_a_lease_is_one_owners_until_it_is_given_back(place: Place) -> None:
    one, other = place.home(), place.home()
    await one.open()
    await other.open()
    assert await one.take("turn:a", "one", 60.0)
    assert not await other.take("turn:a", "other", 60.0)
    assert await other.take("turn:b", "other", 60.0)
    assert not await other.give("turn:a", "other")
    assert not await other.take("turn:a", "other", 60.0)
    assert await one.give("turn:a", "one")
    assert not await one.give("turn:a", "one")
    assert await other.take("turn:a", "other", 60.0)


@shared
async def test_the_lease_of_an_owner_that_died_is_over_by_itself(place: Place) -> None:
    one, other = place.home(), place.home()
    await one.open()
    assert await one.take("turn:a", "one", 0.1)
    await asyncio.sleep(0.15)
    assert await other.take("turn:a", "other", 60.0)
    assert not await one.give("turn:a", "one")
    assert not await one.take("turn:a", "one", 60.0)


@shared
async def test_every_process_reads_each_end_once(place: Place) -> None:
    one, other = place.home(), place.home()
    epochs = [await one.open(), await other.open()]
    assert epochs[0] == epochs[1]
    await one.tell([record("ended:a", "a"), record("ended:b", "b")])
    await one.tell([])
    await other.tell([record("ended:c", "c")])
    for home in (one, other):
        assert await news(home) == ["a", "b", "c"]
        assert await news(home) == []
        assert (await home.news())[0] == epochs[0]
    late = place.home()
    await late.open()
    assert await news(late) == ["a", "b", "c"]
    await late.open()
    assert await news(late) == ["a", "b", "c"], "an opened home begins anew"


@shared
async def test_ends_are_read_in_pieces(place: Place) -> None:
    one, other = place.home(), place.home()
    await one.open()
    await other.open()
    texts = [f"{number}" for number in range(2 * BATCH)]
    await one.tell([record(f"ended:{text}", text) for text in texts])
    _, first, more = await other.news()
    assert (first, more) == (texts[:BATCH], True)
    assert await news(other) == texts[BATCH:]


@shared
async def test_the_later_of_two_ends_of_one_person_is_not_forgotten(place: Place) -> None:
    home = place.home()
    await home.open()
    await home.tell([record("ended:user", "later", at=2.0)])
    await home.tell([record("ended:user", "earlier", at=1.0)])
    assert "later" in await news(home)


@everywhere
async def test_nothing_is_there_before_anything_is_told(place: Place) -> None:
    home = place.home()
    epoch = await home.open()
    assert await home.news() == (epoch, [], False)


async def passes(place: Place, seconds: float) -> None:
    """On the clock of whoever forgets: ours, or Redis' own."""
    place.clock.advance(seconds)
    await asyncio.sleep(seconds)
