"""Replicas that share a Redis: one refresh for all of them, and one end."""

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest
import yaml

from oauth_proxy.demo.faults import Fault
from oauth_proxy.demo.people import EDITOR
from oauth_proxy.memory import home
from oauth_proxy.provider import calls, shares
from tests.session.test_ended import refused, until
from tests.support.browser import Visitor
from tests.support.command import said
from tests.support.proxy import WANTED, Clock, replica, settings_tree
from tests.support.redis import RedisServer, needs_redis
from tests.support.replicas import USES, Pair, is_complained, pair_on
from tests.support.sessions import bearer, new_cookie_line, refreshes, signed_in
from tests.support.units import HOUR

pytestmark = needs_redis


async def test_200_parallel_requests_over_two_replicas_make_one_token_call(pair: Pair, visitor: Visitor) -> None:
    cookie = await signed_in(pair.a, visitor)
    before = bearer(await pair.b.ask("/echo", cookie))
    pair.a.clock.advance(HOUR + 1)
    stages = [pair.a, pair.b] * 100
    answers = await asyncio.gather(*(stage.ask(f"/echo?{n}", cookie) for n, stage in enumerate(stages)))
    assert refreshes(pair.a) == 1
    assert len({bearer(answer) for answer in answers} | {before}) == 2
    for answer in answers:
        assert bearer(answer) != before
    for stage, answer in ((pair.a, answers[1]), (pair.b, answers[0])):
        assert bearer(await stage.ask("/echo", new_cookie_line(answer))) == bearer(answers[0])
    assert refreshes(pair.a) == 1


async def test_a_late_old_cookie_gets_the_successor_at_the_other_replica_and_after_a_restart(
    pair: Pair, visitor: Visitor
) -> None:
    old = await signed_in(pair.a, visitor)
    pair.a.clock.advance(HOUR)
    first = await pair.a.ask("/echo", old)
    for _ in range(3):
        pair.a.clock.advance(900)
        late = await pair.b.ask("/echo", old)
        assert bearer(late) == bearer(first)
        assert late.all("Set-Cookie")
        async with replica(pair.a) as restarted:
            assert bearer(await restarted.ask("/echo", old)) == bearer(first)
    assert refreshes(pair.a) == 1


async def test_replicas_take_turns_for_as_long_as_a_session_lasts(pair: Pair, visitor: Visitor) -> None:
    cookie = await signed_in(pair.a, visitor)
    for count in range(1, 9):
        pair.a.clock.advance(HOUR)
        bearer(await (pair.a, pair.b)[count % 2].ask("/echo", cookie))
        assert refreshes(pair.a) == count


async def test_while_one_replica_asks_the_other_waits_and_takes_over_its_answer(
    pair: Pair, visitor: Visitor
) -> None:
    cookie = await signed_in(pair.a, visitor)
    pair.a.frameio.faults.plan("token", Fault.HANG, 1)
    pair.a.clock.advance(HOUR)
    asking = asyncio.create_task(pair.a.ask("/echo", cookie))
    await pair.a.frameio.faults.hanging(1)
    waiting = asyncio.create_task(pair.b.ask("/echo", cookie))
    attempts = await pair.redis.asked("set")
    await until(lambda: _is_asked(pair.redis, "set", attempts + 3))
    pair.a.frameio.faults.release()
    assert bearer(await waiting) == bearer(await asking)
    assert refreshes(pair.a) == 1


async def _is_asked(redis: RedisServer, command: str, times: int) -> bool:
    return await redis.asked(command) >= times


async def test_a_replica_that_died_while_it_asked_delays_the_others_until_its_lease_is_over(
    pair: Pair, visitor: Visitor
) -> None:
    cookie = await signed_in(pair.a, visitor)
    pair.a.frameio.faults.plan("token", Fault.HANG, 1)
    pair.a.clock.advance(HOUR)
    asking = asyncio.create_task(pair.a.ask("/echo", cookie))
    await pair.a.frameio.faults.hanging(1)
    async with pair.redis.client() as client:
        [lease] = await client.keys("*:turn:*")
        assert calls.DEADLINE * 1000 < await client.pttl(lease) <= home.LEASE * 1000
        pair.a.frameio.faults.release()
        bearer(await asking)
        assert not await client.exists(lease)
        pair.a.clock.advance(HOUR)
        await client.set(lease, "a dead replica's", px=500)
        bearer(await pair.b.ask("/echo", cookie))
        assert refreshes(pair.a) == 2
        assert not await client.exists(lease)


async def test_a_lease_that_took_too_long_is_not_ended_for_its_next_owner(
    pair: Pair, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = await signed_in(pair.a, visitor)
    pair.a.frameio.faults.plan("token", Fault.HANG, 1)
    pair.a.clock.advance(HOUR)
    asking = asyncio.create_task(pair.a.ask("/echo", cookie))
    await pair.a.frameio.faults.hanging(1)
    async with pair.redis.client() as client:
        [lease] = await client.keys("*:turn:*")
        await client.set(lease, "another's", px=60_000)
        pair.a.frameio.faults.release()
        bearer(await asking)
        await until(lambda: is_complained(caplog, "longer than its lease"))
        assert await client.get(lease) == b"another's"


async def test_a_lease_nobody_gives_back_is_503_and_spends_no_token(
    pair: Pair, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = await signed_in(pair.a, visitor)
    pair.a.clock.advance(HOUR)
    first = await pair.a.ask("/echo", cookie)
    bearer(first)
    async with pair.redis.client() as client:
        [session] = await client.keys("*:session:*")
        await client.set(session.replace(b":session:", b":turn:"), "another's", px=60_000)
    monkeypatch.setattr(home, "LEASE", 0.1)
    monkeypatch.setattr(home, "DEADLINE", 0.1)
    pair.a.clock.advance(HOUR)
    assert (await pair.b.ask("/echo", cookie)).status == 503
    assert refreshes(pair.a) == 1


async def test_a_replica_that_pauses_for_the_provider_takes_over_what_another_got(
    pair: Pair, visitor: Visitor
) -> None:
    cookie = await signed_in(pair.a, visitor)
    pair.a.frameio.faults.plan("token", Fault.SERVER_ERROR, 1)
    pair.a.clock.advance(HOUR)
    assert (await pair.b.ask("/echo", cookie)).status == 503
    first = await pair.a.ask("/echo", cookie)
    assert bearer(await pair.b.ask("/echo", cookie)) == bearer(first)


async def test_a_profile_that_one_replica_could_not_read_is_read_by_the_next(
    redis: RedisServer, visitor: Visitor
) -> None:
    async with pair_on(redis, access={"allow": [{"email": "*@studio.example.com"}]}) as pair:
        cookie = await signed_in(pair.a, visitor)
        pair.a.frameio.change_email(EDITOR, "editor@elsewhere.example.org")
        pair.a.frameio.faults.plan("me", Fault.SERVER_ERROR, 1)
        pair.a.clock.advance(HOUR - 30)
        assert (await pair.a.ask("/echo", cookie)).status == 200
        assert (await pair.b.ask("/echo", cookie)).status == 403
        assert refreshes(pair.a) == 1


async def test_a_session_signed_out_at_one_replica_is_refused_at_the_other_and_after_a_restart(
    pair: Pair, visitor: Visitor
) -> None:
    cookie = await signed_in(pair.a, visitor)
    assert (await pair.b.ask("/echo", cookie)).status == 200
    async with Visitor() as other:
        theirs = await signed_in(pair.a, other, "Reviewer")
    assert (await pair.a.ask("/oauth2/sign_out", cookie, WANTED)).status == 200
    await until(lambda: refused(pair.b, cookie))
    async with replica(pair.a) as restarted:
        assert (await restarted.ask("/echo", cookie)).status == 401, "before it serves, it has read what has ended"
        assert (await restarted.ask("/echo", theirs)).status == 200


async def test_signing_out_with_an_old_cookie_at_the_other_replica_revokes_the_newest_tokens(
    pair: Pair, visitor: Visitor
) -> None:
    old = await signed_in(pair.a, visitor)
    pair.a.clock.advance(HOUR)
    token = bearer(await pair.a.ask("/echo", old))
    await pair.b.ask("/oauth2/sign_out", old, WANTED)
    async with visitor.session.get(f"{pair.a.frameio_url}/v2/me", headers={"Authorization": token}) as me:
        assert me.status == 401
    async with pair.redis.client() as client:
        assert not await client.keys("*:session:*"), "the tokens of an ended session are not kept"


async def test_what_the_provider_ended_is_asked_for_once_by_all_replicas(pair: Pair, visitor: Visitor) -> None:
    cookie = await signed_in(pair.a, visitor)
    pair.a.frameio.revoke_all(EDITOR)
    pair.a.clock.advance(HOUR)
    assert (await pair.a.ask("/echo", cookie)).status == 401
    await pair.b.proxy.look()
    assert (await pair.b.ask("/echo", cookie)).status == 401
    assert refreshes(pair.a) == 1


async def test_requests_with_good_tokens_ask_redis_nothing(pair: Pair, visitor: Visitor) -> None:
    cookie = await signed_in(pair.a, visitor)
    before = await pair.redis.asked(*USES)
    for _ in range(20):
        bearer(await pair.a.ask("/echo", cookie))
        bearer(await pair.b.ask("/echo", cookie))
    assert await pair.redis.asked(*USES) == before


async def test_revoke_from_the_command_line_reaches_every_replica(
    redis: RedisServer, visitor: Visitor, tmp_path: Path
) -> None:
    async with pair_on(redis, clock=Clock(time.time() - 60)) as pair:
        cookie = await signed_in(pair.a, visitor)
        async with Visitor() as other:
            theirs = await signed_in(pair.a, other, "Reviewer")
        nowhere = "http://127.0.0.1:9"
        tree = settings_tree(pair.a.url, "v2", nowhere, nowhere, client_secret=None, keys=pair.a.keys)
        tree["session"]["store"] = redis.url
        file = tmp_path / "proxy.yaml"
        file.write_text(yaml.safe_dump(tree))
        done = await asyncio.to_thread(said, "revoke", file, "--user", "Editor@Studio.example.com")
        assert (done.returncode, done.stderr) == (0, "")
        for stage in (pair.a, pair.b):
            await until(partial(refused, stage, cookie))
            assert (await stage.ask("/echo", theirs)).status == 200
        async with replica(pair.a) as restarted:
            assert await refused(restarted, cookie)
        await redis.kill()
        done = await asyncio.to_thread(said, "revoke", file, "--user", "Editor@Studio.example.com")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"session.store: {redis.url} cannot be told: ")
        assert len(done.stderr.splitlines()) == 1


def test_a_lease_is_longer_than_a_call_to_the_provider_may_take() -> None:
    assert home.LEASE > shares.PATIENCE + calls.DEADLINE + 2 * home.DEADLINE
