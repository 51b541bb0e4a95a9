"""Replicas that share a Redis: what they owe each other while it is there, and how each goes on without it."""

import asyncio
import random
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from oauth_proxy.demo.faults import Fault
from oauth_proxy.demo.people import EDITOR
from oauth_proxy.errors import ConfigurationError
from oauth_proxy.provider import base
from oauth_proxy.session import records
from oauth_proxy.session.redis import RedisMemory
from tests.cast import Clock, Stage, on_stage, replica, settings_tree
from tests.command import said
from tests.flow import complaints
from tests.redis_server import RedisServer, needs_redis, redis_server
from tests.session.test_ended import refused, until
from tests.session.test_refresh import HOUR, bearer, new_cookie_line, refreshes, signed_in
from tests.visitor import Visitor

pytestmark = needs_redis

USES = ("hget", "hset", "set", "eval", "evalsha", "xadd", "del")
"""Everything but the questions of once a second."""


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    async with redis_server() as server:
        yield server


@dataclass
class Pair:
    """Two proxies on one Redis."""

    a: Stage
    b: Stage
    redis: RedisServer


@asynccontextmanager
async def pair_on(redis: RedisServer, **how: Any) -> AsyncIterator[Pair]:
    session = {"store": redis.url, **how.pop("session", {})}
    async with on_stage(session=session, **how) as a, replica(a) as b:
        yield Pair(a, b, redis)


@pytest.fixture
async def pair(redis: RedisServer) -> AsyncIterator[Pair]:
    async with pair_on(redis) as both:
        yield both


async def admin(stage: Stage, visitor: Visitor, path: str) -> tuple[int, str]:
    async with visitor.session.get(f"{stage.admin_url}{path}") as answer:
        return answer.status, await answer.text()


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


async def test_a_replica_that_died_while_it_asked_delays_the_others_until_its_turn_is_over(
    pair: Pair, visitor: Visitor
) -> None:
    cookie = await signed_in(pair.a, visitor)
    pair.a.frameio.faults.plan("token", Fault.HANG, 1)
    pair.a.clock.advance(HOUR)
    asking = asyncio.create_task(pair.a.ask("/echo", cookie))
    await pair.a.frameio.faults.hanging(1)
    async with pair.redis.client() as client:
        [turn] = await client.keys("*:turn:*")
        assert base.DEADLINE * 1000 < await client.pttl(turn) <= records.TURN * 1000
        pair.a.frameio.faults.release()
        bearer(await asking)
        assert not await client.exists(turn)
        pair.a.clock.advance(HOUR)
        await client.set(turn, "a dead replica's", px=500)
        bearer(await pair.b.ask("/echo", cookie))
        assert refreshes(pair.a) == 2
        assert not await client.exists(turn)


async def test_a_turn_that_took_too_long_is_not_ended_for_its_next_owner(
    pair: Pair, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = await signed_in(pair.a, visitor)
    pair.a.frameio.faults.plan("token", Fault.HANG, 1)
    pair.a.clock.advance(HOUR)
    asking = asyncio.create_task(pair.a.ask("/echo", cookie))
    await pair.a.frameio.faults.hanging(1)
    async with pair.redis.client() as client:
        [turn] = await client.keys("*:turn:*")
        await client.set(turn, "another's", px=60_000)
        pair.a.frameio.faults.release()
        bearer(await asking)
        await until(lambda: _is_complained(caplog, "longer than its turn"))
        assert await client.get(turn) == b"another's"


async def _is_complained(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    return any(words in line for line in complaints(caplog))


async def test_a_turn_nobody_gives_back_is_503_and_spends_no_token(
    pair: Pair, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = await signed_in(pair.a, visitor)
    pair.a.clock.advance(HOUR)
    first = await pair.a.ask("/echo", cookie)
    bearer(first)
    async with pair.redis.client() as client:
        [session] = await client.keys("*:session:*")
        await client.set(session.replace(b":session:", b":turn:"), "another's", px=60_000)
    monkeypatch.setattr(records, "TURN", 0.1)
    monkeypatch.setattr(records, "DEADLINE", 0.1)
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
    assert (await pair.a.ask("/oauth2/sign_out", cookie)).status == 200
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
    await pair.b.ask("/oauth2/sign_out", old)
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


async def test_redis_can_read_nothing_and_forgets_everything(redis: RedisServer, visitor: Visitor) -> None:
    async with pair_on(redis, session={"lifetime": "7d", "idle": "2h"}) as pair:
        cookie = await signed_in(pair.a, visitor)
        pair.a.clock.advance(HOUR)
        token = bearer(await pair.b.ask("/echo", cookie)).removeprefix("Bearer ")
        async with Visitor() as other:
            theirs = await signed_in(pair.a, other, "Reviewer")
        await pair.b.ask("/oauth2/sign_out", theirs)
        known = list(pair.b.proxy.refresher._newest.values())
        private = {token, *(each.id for each in known), *(str(each.tokens.refresh) for each in known)}
        issued = {value for grant in pair.a.frameio._grants["v2"]._grants for _, value in grant.issued}
        private |= issued | {EDITOR.id, EDITOR.email, EDITOR.name, "reviewer@", *pair.a.keys}
        lasting = {"session": 2 * HOUR, "ended": 7 * 24 * HOUR, "epoch": 7 * 24 * HOUR}
        async with redis.client() as client:
            keys = await client.keys("*")
            kinds = {key: kind for key in keys for kind in lasting if f":{kind}".encode() in key}
            assert len(keys) == 3
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


async def test_memory_of_what_has_ended_is_bounded(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_MOST_ENDED", 200)
    memory = pair.a.proxy.memory
    assert isinstance(memory, RedisMemory)
    for number in range(500):
        await memory.end(f"session {number}", pair.a.clock(), str(number))
    async with pair.redis.client() as client:
        [ended] = await client.keys("*:ended")
        assert 200 <= await client.xlen(ended) < 400


async def test_an_older_session_does_not_take_a_newer_ones_place(pair: Pair, visitor: Visitor) -> None:
    cookie = await signed_in(pair.a, visitor)
    memory = pair.a.proxy.memory
    held = []
    for _ in range(2):
        pair.a.clock.advance(HOUR)
        bearer(await pair.a.ask("/echo", cookie))
        [session] = pair.a.proxy.refresher._newest.values()
        held.append(session)
    older, newer = held
    assert await memory.remember(older, read=True)
    known = await memory.newest(newer.id)
    assert known is not None
    assert known.session == newer


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
    assert await _is_complained(caplog, "cannot open")
    assert "a fault of ours" not in caplog.text
    assert pair.b.proxy.memory.trouble is None


async def test_records_of_one_session_do_not_open_as_anothers(pair: Pair, visitor: Visitor) -> None:
    async with Visitor() as other:
        cookies = [await signed_in(pair.a, visitor), await signed_in(pair.a, other, "Reviewer")]
    pair.a.clock.advance(HOUR)
    for cookie in cookies:
        bearer(await pair.a.ask("/echo", cookie))
    ids = list(pair.a.proxy.refresher._newest)
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
        await one.ask("/oauth2/sign_out", cookie)
        await other.proxy.look()
        assert other.proxy.memory.trouble is None
        assert await refused(one, cookie)
    async with redis.client() as client:
        assert len(await client.keys("*:epoch")) == 2


async def test_it_starts_and_serves_without_redis_and_says_so_once(
    redis: RedisServer, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.kill()
    async with pair_on(redis) as pair:
        for stage in (pair.a, pair.b):
            assert await admin(stage, visitor, "/readyz") == (200, "ready; redis unreachable\n")
            assert "oauth_proxy_redis_up 0.0" in (await admin(stage, visitor, "/metrics"))[1]
        cookie = await signed_in(pair.a, visitor)
        for count in range(1, 4):
            pair.a.clock.advance(HOUR)
            bearer(await pair.a.ask("/echo", cookie))
            assert refreshes(pair.a) == count
            await pair.a.proxy.look()
        assert len([line for line in complaints(caplog) if "redis" in line]) == 2, "one for each replica"
        await redis.start()
        for stage in (pair.a, pair.b):
            await stage.proxy.look()
            assert await admin(stage, visitor, "/readyz") == (200, "ready\n")
            assert "oauth_proxy_redis_up 1.0" in (await admin(stage, visitor, "/metrics"))[1]
        assert bearer(await pair.b.ask("/echo", cookie)) == bearer(await pair.a.ask("/echo", cookie))
        assert refreshes(pair.a) == 3, "what was refreshed meanwhile was told"
    assert len([line for line in complaints(caplog) if "redis is back" in line]) == 2


async def test_redis_is_killed_under_traffic_and_comes_back_empty(
    pair: Pair, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = await signed_in(pair.a, visitor)
    async with Visitor() as second, Visitor() as third:
        before, during = await signed_in(pair.a, second), await signed_in(pair.a, third)
    await pair.a.ask("/oauth2/sign_out", before)
    await until(lambda: refused(pair.b, before))
    running = True

    async def traffic(stage: Stage) -> set[int]:
        statuses = set()
        while running:
            statuses.add((await stage.ask("/echo", cookie)).status)
        return statuses

    async with asyncio.TaskGroup() as group:
        visitors = [group.create_task(traffic(pair.a)) for _ in range(3)]
        await pair.redis.kill()
        await until(lambda: _is_complained(caplog, "redis fails"))
        pair.a.clock.advance(HOUR)
        first = await pair.a.ask("/echo", cookie)
        await pair.a.ask("/oauth2/sign_out", during)
        await pair.redis.start()
        for stage in (pair.a, pair.b):
            await stage.proxy.look()
        await until(lambda: refused(pair.b, during))
        running = False
    assert {status for each in visitors for status in each.result()} == {200}
    assert refreshes(pair.a) == 1
    assert bearer(await pair.b.ask("/echo", cookie)) == bearer(first), "the empty Redis was told again"
    async with replica(pair.a) as restarted:
        assert [await refused(restarted, each) for each in (before, during, cookie)] == [True, True, False]
    assert "a fault of ours" not in caplog.text


async def test_a_redis_that_was_emptied_between_two_looks_is_told_everything_again(
    pair: Pair, visitor: Visitor
) -> None:
    cookie = await signed_in(pair.a, visitor)
    await pair.a.ask("/oauth2/sign_out", cookie)
    async with pair.redis.client() as client:
        await client.flushall()
    await pair.a.proxy.look()
    async with replica(pair.a) as restarted:
        assert await refused(restarted, cookie)


async def test_a_frozen_redis_holds_up_no_request_with_a_good_token_and_others_for_a_moment(
    pair: Pair, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = await signed_in(pair.a, visitor)
    pair.redis.freeze()
    for _ in range(20):
        bearer(await pair.a.ask("/echo", cookie))
    pair.a.clock.advance(HOUR)
    answers = await asyncio.gather(*(pair.a.ask("/echo", cookie) for _ in range(50)))
    assert len({bearer(answer) for answer in answers}) == 1
    assert refreshes(pair.a) == 1
    assert await _is_complained(caplog, "redis fails")
    pair.redis.thaw()
    await until(lambda: _is_well(pair.a))


async def _is_well(stage: Stage) -> bool:
    return stage.proxy.memory.trouble is None


GARBAGE = [
    b"+OK\r\n",
    b":1\r\n",
    b"$-1\r\n",
    b"$5\r\nhello\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*1\r\n" * 5000,
    b"*2\r\n+a\r\n:1\r\n",
    b"$24\r\n*1\r\n*2\r\n+a\r\n*1\r\n:1\r\n\r\n",
    b"$-7\r\n",
    b"$99999999999999\r\n",
    b"*99999999999999\r\n",
    b":\r\n",
    b"$x\r\n",
    b"-ERR no\r\n",
    b"-LOADING Redis is loading the dataset in memory\r\n",
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
    b"\r\n",
    b"",
    random.Random(7).randbytes(10_000),  # noqa: S311 any bytes will do
]


ENTRY = b"*1\r\n*2\r\n+a\r\n*1\r\n*2\r\n%s*2\r\n+sealed\r\n%s"
PLAUSIBLE = [
    b"$5\r\nhello\r\n",
    b"*1\r\n*2\r\n+a\r\n*1\r\n:1\r\n",
    b"*1\r\n*2\r\n+a\r\n*1\r\n*2\r\n+1-0\r\n*2\r\n+unsealed\r\n+x\r\n",
    b"*1\r\n*2\r\n+a\r\n*1\r\n*2\r\n+1-0\r\n*-1\r\n",
    ENTRY % (b":99999999999999\r\n", b"+x\r\n"),
    ENTRY % (b"+1-0\r\n", b"+x\r\n"),
    ENTRY % (b"+1-0\r\n", b":1\r\n"),
]
"""What a server that knows GET and SET may answer to a reading of a stream."""


@pytest.mark.parametrize("garbage", [*GARBAGE, *PLAUSIBLE], ids=lambda each: repr(each[:12]))
async def test_a_redis_that_answers_nonsense_is_an_error_in_the_log_not_a_crash(
    visitor: Visitor, caplog: pytest.LogCaptureFixture, garbage: bytes
) -> None:
    connections: list[asyncio.Task[object] | None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.current_task())
        known = {b"SET": b"+OK\r\n", b"GET": b"$16\r\n0123456789abcdef\r\n"} if garbage in PLAUSIBLE else {}
        while asked := re.findall(rb"^\*\d+\r\n\$\d+\r\n([A-Z]+)", await reader.read(65536), re.MULTILINE):
            writer.writelines(known.get(command, garbage) for command in asked)
            if not garbage:
                break
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, on_stage(session={"store": f"redis://127.0.0.1:{port}/0"}) as stage:
        cookie = await signed_in(stage, visitor)
        stage.clock.advance(HOUR)
        bearer(await stage.ask("/echo", cookie))
        assert (await stage.ask("/oauth2/sign_out", cookie)).status == 200
        assert await admin(stage, visitor, "/readyz") == (200, "ready; redis unreachable\n")
    await asyncio.gather(*filter(None, connections))
    lines = [line for line in complaints(caplog) if "cannot open" not in line]
    assert ["redis fails" in line for line in lines] == [True], lines


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


async def test_a_password_is_told_to_redis_and_to_nobody_else(
    visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    async with redis_server("--requirepass", "sesame/open") as redis:
        wrong, right = (f"redis://:{password}@127.0.0.1:{redis.port}/3" for password in ("wr0ng", "sesame%2Fopen"))
        for store, ready in ((wrong, "ready; redis unreachable\n"), (right, "ready\n")):
            async with on_stage(session={"store": store}) as stage:
                assert await admin(stage, visitor, "/readyz") == (200, ready)
                await signed_in(stage, visitor)
        async with redis.client(password="sesame/open", db=3) as client:
            assert await client.keys("*:epoch")
    assert [line for line in complaints(caplog) if "redis fails" in line]
    assert "wr0ng" not in caplog.text
    assert "sesame" not in caplog.text


@pytest.mark.parametrize("known", [True, False])
async def test_rediss_speaks_tls_with_a_server_that_a_known_authority_vouches_for(
    visitor: Visitor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    known: bool,
) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    (authority if known else stranger).cert_pem.write_to_path(tmp_path / "trusted.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    certificate = str(tmp_path / "server.pem")
    options = ("--port", "0", "--tls-cert-file", certificate, "--tls-key-file", certificate)
    async with (
        redis_server(*options, "--tls-auth-clients", "no", tls=True) as redis,
        on_stage(session={"store": f"rediss://127.0.0.1:{redis.port}"}) as stage,
    ):
        expected = "ready\n" if known else "ready; redis unreachable\n"
        assert await admin(stage, visitor, "/readyz") == (200, expected)
    assert ("certificate" in caplog.text.lower()) is not known


async def test_a_start_without_the_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "redis"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("redis", "records"):
        monkeypatch.delitem(sys.modules, f"oauth_proxy.session.{name}")
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError) as caught:
        async with on_stage(session={"store": "redis://127.0.0.1:1/0"}):
            pass
    [problem] = caught.value.problems
    assert "pip install 'frameio-oauth-proxy[redis]'" in problem


def test_a_turn_is_longer_than_a_call_to_the_provider_may_take() -> None:
    assert records.TURN > base.DEADLINE + 2 * records.DEADLINE
