"""What stands in Redis: sealed, bound to its key, bounded, and not for ever."""

from typing import Any

import pytest

from oauth_proxy.demo.people import EDITOR
from oauth_proxy.identity import Session
from oauth_proxy.memory import Memory
from tests.session.test_ended import refused, until
from tests.support.browser import Visitor
from tests.support.login import issued_codes, issued_tokens
from tests.support.proxy import WANTED, Stage, on_stage, replica
from tests.support.redis import RedisServer, needs_redis
from tests.support.replicas import Pair, is_complained, pair_on
from tests.support.sessions import bearer, new_cookie_line, signed_in
from tests.support.stores import WEEK
from tests.support.units import HOUR

pytestmark = needs_redis


async def refreshed(stage: Stage) -> list[Session]:
    """The sessions whose newest tokens are in Redis."""
    memory = stage.proxy.memory
    found = [await memory.newest(note.session_id) for note in await memory.notes()]
    return [session for session in found if session is not None]


async def test_redis_can_read_nothing_and_forgets_everything(redis: RedisServer, visitor: Visitor) -> None:
    async with pair_on(redis, session={"lifetime": "7d", "idle": "2h"}) as pair:
        cookie = await signed_in(pair.a, visitor)
        pair.a.clock.advance(HOUR)
        token = bearer(await pair.b.ask("/echo", cookie)).removeprefix("Bearer ")
        async with Visitor() as other:
            theirs = await signed_in(pair.a, other, "Reviewer")
        await pair.b.ask("/oauth2/sign_out", theirs, WANTED)
        known = await refreshed(pair.b)
        assert [each.identity.id for each in known] == [EDITOR.id]
        private = {token, *(each.id for each in known), *(str(each.tokens.refresh) for each in known)}
        issued = issued_codes(pair.a) | issued_tokens(pair.a)
        private |= issued | {EDITOR.id, EDITOR.email, EDITOR.name, "reviewer@", *pair.a.keys}
        lasting = {"session": WEEK, "seen": 2 * HOUR, "claim": HOUR / 4, "left": 60.0}
        lasting |= {"ended": WEEK, "epoch": WEEK, "clock": WEEK}
        async with redis.client() as client:
            keys = await client.keys("*")
            kinds = {key: kind for key in keys for kind in lasting if f":{kind}".encode() in key}
            assert len(keys) == len(kinds)
            assert set(kinds.values()) == set(lasting)
            for key, kind in kinds.items():
                assert 0 < await client.pttl(key) <= lasting[kind] * 1000 + 1
                held = await _everything(client, key)
                assert not [text for text in private if text.encode() in key + held or text in repr(held)]
                assert b"session" not in held


async def _everything(client: Any, key: bytes) -> bytes:
    """Whatever stands in a key, as it was written and as Redis dumps it."""
    kind = await client.type(key)
    read = {b"string": client.get, b"hash": client.hgetall, b"stream": client.xrange}[kind]
    dumped: bytes = await client.dump(key)
    return repr(await read(key)).encode() + dumped


async def test_no_number_of_ends_pushes_out_an_older_one_and_time_does(
    redis: RedisServer, visitor: Visitor
) -> None:
    async with pair_on(redis, session={"lifetime": "2s", "idle": "2s"}) as pair:
        cookie = await signed_in(pair.a, visitor)
        await pair.a.ask("/oauth2/sign_out", cookie, WANTED)
        memory = pair.a.proxy.memory
        for number in range(300):
            await memory.end_user(f"somebody-{number}")
        async with redis.client() as client:
            [ended] = await client.keys("*:ended")
            assert await client.xlen(ended) == 301
        async with replica(pair.a) as restarted:
            assert await refused(restarted, cookie)
        async with redis.client() as client:
            await until(lambda: _is_trimmed(memory, client, ended))


async def _is_trimmed(memory: Memory, client: Any, ended: bytes) -> bool:
    """Redis trims whole pieces of about a hundred entries, by its own clock."""
    await memory.end_user("somebody-else")
    return bool(await client.xlen(ended) < 250)


async def test_an_older_session_does_not_take_a_newer_ones_place(pair: Pair, visitor: Visitor) -> None:
    cookie = await signed_in(pair.a, visitor)
    memory = pair.a.proxy.memory
    held = []
    for _ in range(2):
        pair.a.clock.advance(HOUR)
        bearer(await pair.a.ask("/echo", cookie))
        [session] = await refreshed(pair.a)
        held.append(session)
    older, newer = held
    assert await memory.remember(older)
    known = await memory.newest(newer.id)
    assert known == newer


async def test_what_somebody_else_wrote_into_redis_is_an_error_in_the_log_and_nothing_more(
    pair: Pair, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    old = await signed_in(pair.a, visitor)
    pair.a.clock.advance(HOUR)
    new = new_cookie_line(await pair.a.ask("/echo", old))
    async with pair.redis.client() as client:
        [session] = await client.keys("*:session:*")
        await client.hset(session, "sealed", b"\xff\x00 no seal of ours")
        [epoch] = await client.keys("*:epoch")
        await client.xadd(epoch.replace(b":epoch", b":ended"), {"sealed": "neither is this"})
    await pair.b.proxy.look()
    pair.a.clock.advance(HOUR)
    bearer(await pair.b.ask("/echo", new))
    assert await is_complained(caplog, "cannot open")
    assert "a fault of ours" not in caplog.text
    assert pair.b.proxy.memory.trouble is None


async def test_records_of_one_session_do_not_open_as_anothers(pair: Pair, visitor: Visitor) -> None:
    async with Visitor() as other:
        cookies = [await signed_in(pair.a, visitor), await signed_in(pair.a, other, "Reviewer")]
    pair.a.clock.advance(HOUR)
    for cookie in cookies:
        bearer(await pair.a.ask("/echo", cookie))
    ids = [session.id for session in await refreshed(pair.a)]
    assert len(ids) == 2
    memory = pair.b.proxy.memory
    async with pair.redis.client() as client:
        one, another = await client.keys("*:session:*")
        swapped = await client.hgetall(another)
        await client.hset(one, mapping=swapped)
    assert [await memory.newest(session_id) is None for session_id in ids].count(True) == 1


async def test_two_sites_on_one_redis_do_not_mix(redis: RedisServer, visitor: Visitor) -> None:
    store = {"store": redis.url}
    async with on_stage(session=store) as one, on_stage(session=store) as other:
        cookie = await signed_in(one, visitor)
        await one.ask("/oauth2/sign_out", cookie, WANTED)
        await other.proxy.look()
        assert other.proxy.memory.trouble is None
        assert await refused(one, cookie)
    async with redis.client() as client:
        assert len(await client.keys("*:epoch")) == 2
