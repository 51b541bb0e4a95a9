"""While Redis is away: patience first, and nobody is lost whose tokens are good for longer than it is gone."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.session.test_restarts import spent_twice
from tests.support.crowd import Member, crowd
from tests.support.proxy import A_MONTH
from tests.support.redis import RedisServer, needs_redis
from tests.support.replicas import Pair, pair_on
from tests.support.sessions import refreshes
from tests.support.units import HOUR

pytestmark = needs_redis

Trouble = Callable[[RedisServer], Awaitable[None]]


async def killed(redis: RedisServer) -> None:
    await redis.kill()


async def restarted_empty(redis: RedisServer) -> None:
    await redis.start()


async def frozen(redis: RedisServer) -> None:
    redis.freeze()


async def thawed(redis: RedisServer) -> None:
    redis.thaw()


async def full(redis: RedisServer) -> None:
    async with redis.client() as client:
        await client.config_set("maxmemory-policy", "noeviction")
        await client.config_set("maxmemory", "1mb")


async def roomy(redis: RedisServer) -> None:
    async with redis.client() as client:
        await client.config_set("maxmemory", "0")


TROUBLES = {"killed": (killed, restarted_empty), "paused": (frozen, thawed), "full": (full, roomy)}


async def lost(pair: Pair, people: list[Member], *, turn: int) -> list[str]:
    """Whoever is not served, where each is asked at either replica by turns, with the cookie they have."""
    stages = [pair.a, pair.b]
    answers = await asyncio.gather(*(each.ask(stages[(turn + number) % 2]) for number, each in enumerate(people)))
    return [each.person.name for each, answer in zip(people, answers, strict=True) if answer.status != 200]


async def looked(pair: Pair) -> None:
    for stage in (pair.b, pair.a):
        await stage.proxy.look()


@pytest.mark.parametrize("before", [0.0, 20.0, 47.0, 52.0])
async def test_redis_away_for_four_and_a_half_seconds_loses_none_of_forty_with_tokens_of_a_minute(
    redis: RedisServer, before: float
) -> None:
    async with pair_on(redis, session=A_MONTH, frameio={"access_lifetime": 60}) as pair:
        people = await crowd(pair.a, 40)
        pair.a.clock.advance(before)
        await killed(redis)
        for turn in range(9):
            assert not await lost(pair, people, turn=turn)
            await looked(pair)
            pair.a.clock.advance(0.5)
        assert refreshes(pair.a) == 0
        await restarted_empty(redis)
        await looked(pair)
        for turn in range(20):
            assert not await lost(pair, people, turn=turn)
            pair.a.clock.advance(7)
            await looked(pair)
        assert not spent_twice(pair.a)


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("left", [HOUR - 1, 45.0])
async def test_redis_gone_for_thirty_seconds_loses_none_of_forty_with_tokens_of_an_hour(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch, trouble: str, left: float
) -> None:
    monkeypatch.setattr("oauth_proxy.memory.redis.DEADLINE", 0.4)  # a paused Redis is waited for again and again
    begins, ends = TROUBLES[trouble]
    async with pair_on(redis, session=A_MONTH) as pair:
        people = await crowd(pair.a, 40)
        old = [Member(each.person, each.cookie) for each in people]
        pair.a.clock.advance(HOUR - left)
        await begins(redis)
        for turn in range(10):
            assert not await lost(pair, people, turn=turn)
            pair.a.clock.advance(3)
            if turn % 3 == 0:
                await looked(pair)
        assert refreshes(pair.a) == 0
        await ends(redis)
        await looked(pair)
        for turn in range(6):
            assert not await lost(pair, people, turn=turn)
            assert not await lost(pair, old, turn=turn)
            pair.a.clock.advance(29 * 60)
            await looked(pair)
        assert not spent_twice(pair.a)


async def test_redis_that_is_never_there_leaves_each_replica_by_itself_once_it_is_urgent(
    redis: RedisServer,
) -> None:
    await redis.kill()  # connections are refused
    async with pair_on(redis, session=A_MONTH) as pair:
        people = await crowd(pair.a, 40)
        pair.a.clock.advance(HOUR - 30)
        for turn in range(6):
            assert not await lost(pair, people, turn=turn)
            pair.a.clock.advance(3)
        assert refreshes(pair.a) == 0
        pair.a.clock.advance(3)
        assert not await lost(pair, people, turn=0)
        assert refreshes(pair.a) == 40
        assert not spent_twice(pair.a)


async def test_a_redis_that_came_back_empty_is_not_believed_before_the_others_have_told_it_what_they_know(
    redis: RedisServer,
) -> None:
    async with pair_on(redis, session=A_MONTH) as pair:
        [late] = await crowd(pair.a, 1)
        pair.a.clock.advance(HOUR - 30)
        assert (await pair.a.ask("/echo", late.cookie)).status == 200
        assert refreshes(pair.a) == 1
        await killed(redis)
        await restarted_empty(redis)
        await pair.b.proxy.look()  # and not yet the one that knows
        assert (await pair.b.ask("/echo", late.cookie)).status == 200
        await looked(pair)
        pair.a.clock.advance(3)
        await looked(pair)
        for stage in (pair.a, pair.b):
            assert (await stage.ask("/echo", late.cookie)).status == 200
        assert refreshes(pair.a) == 1
        assert not spent_twice(pair.a)
