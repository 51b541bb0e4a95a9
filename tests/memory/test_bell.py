"""How the workers of one proxy learn of each other's ends at once."""

import asyncio
import os

import pytest

from oauth_proxy.memory import Bell
from tests.support.memories import a_memory, a_session
from tests.support.stores import Place, shared


@shared
async def test_a_worker_that_is_asked_after_an_end_at_another_knows_it(place: Place) -> None:
    bell = Bell()
    one, other = a_memory(place, bell=bell), a_memory(place, bell=bell)
    for memory in (one, other):
        await memory.follow()
    session = a_session(place)
    await one.end(session)
    assert other.is_behind
    await other.catch_up()
    assert other.has_ended(session)


@shared
async def test_a_store_that_is_away_is_not_asked_again_for_each_request(place: Place) -> None:
    bell = Bell()
    one = a_memory(place, bell=bell)
    await one.follow()
    bell.ring()
    await one.catch_up()
    assert not one.is_behind


@shared
async def test_who_asks_while_the_end_is_still_being_read_waits_for_it_too(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    bell, home = Bell(), place.home()
    one, other = a_memory(place, bell=bell), a_memory(place, bell=bell, home=home)
    for memory in (one, other):
        await memory.follow()
    session = a_session(place)
    await one.end(session)
    reading, may_read, news = asyncio.Event(), asyncio.Event(), home.news

    async def slow() -> tuple[object, list[str], bool]:
        reading.set()
        await may_read.wait()
        return await news()

    monkeypatch.setattr(home, "news", slow)
    first = asyncio.create_task(other.catch_up())
    await reading.wait()
    is_behind = other.is_behind
    assert is_behind, "a request that comes now is not decided by what was known before"
    may_read.set()
    await other.catch_up()
    assert other.has_ended(session)
    assert not other.is_behind
    await first


def test_a_bell_is_heard_in_another_process() -> None:
    bell = Bell()
    before = bell.heard()
    child = os.fork()
    if child == 0:
        bell.ring()
        os._exit(0)
    os.waitpid(child, 0)
    assert bell.heard() != before
