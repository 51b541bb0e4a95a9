"""A Redis that is down, killed, frozen, emptied, wrong or strange: every replica goes on alone, and says so."""

import asyncio
import random
import re
import sys
from pathlib import Path

import pytest
import trustme

from oauth_proxy.errors import ConfigurationError
from tests.session.test_ended import refused, until
from tests.support.browser import Visitor
from tests.support.login import complaints
from tests.support.proxy import WANTED, Stage, on_stage, replica
from tests.support.redis import RedisServer, needs_redis, redis_server
from tests.support.replicas import Pair, admin, is_complained, pair_on
from tests.support.sessions import bearer, refreshes, signed_in
from tests.support.units import HOUR

pytestmark = needs_redis


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
    await pair.a.ask("/oauth2/sign_out", before, WANTED)
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
        await until(lambda: is_complained(caplog, "redis fails"))
        pair.a.clock.advance(HOUR)
        first = await pair.a.ask("/echo", cookie)
        await pair.a.ask("/oauth2/sign_out", during, WANTED)
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
    await pair.a.ask("/oauth2/sign_out", cookie, WANTED)
    async with pair.redis.client() as client:
        await client.flushall()
    await pair.a.proxy.look()
    async with replica(pair.a) as restarted:
        assert await refused(restarted, cookie)


async def test_a_redis_that_is_back_with_an_older_snapshot_before_anybody_saw_it_away_is_told_what_that_lacks(
    pair: Pair, visitor: Visitor
) -> None:
    async with Visitor() as second:
        cookie, stays = await signed_in(pair.a, visitor), await signed_in(pair.a, second)
    async with pair.redis.client() as client:
        await client.save()
    await pair.a.ask("/oauth2/sign_out", cookie, WANTED)
    pair.a.clock.advance(HOUR)
    first = await pair.a.ask("/echo", stays)
    await pair.redis.kill()
    await pair.redis.start()
    for stage in (pair.a, pair.b):
        await stage.proxy.look()
        assert stage.proxy.memory.trouble is None
    async with replica(pair.a) as started_later:
        assert await refused(started_later, cookie)
        assert bearer(await started_later.ask("/echo", stays)) == bearer(first)


async def test_a_redis_that_may_not_tell_of_itself_is_used_all_the_same(pair: Pair, visitor: Visitor) -> None:
    async with pair.redis.client() as client:
        await client.execute_command("ACL", "SETUSER", "default", "-info")
    cookie = await signed_in(pair.a, visitor)
    await pair.a.ask("/oauth2/sign_out", cookie, WANTED)
    await pair.b.proxy.look()
    assert await refused(pair.b, cookie)
    assert (pair.a.proxy.memory.trouble, pair.b.proxy.memory.trouble) == (None, None)


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
    assert await is_complained(caplog, "redis fails")
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
        assert (await stage.ask("/oauth2/sign_out", cookie, WANTED)).status == 200
        assert await admin(stage, visitor, "/readyz") == (200, "ready; redis unreachable\n")
    await asyncio.gather(*filter(None, connections))
    lines = [line for line in complaints(caplog) if "cannot open" not in line]
    assert ["redis fails" in line for line in lines] == [True], lines


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
    monkeypatch.delitem(sys.modules, "oauth_proxy.memory.redis")
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError) as caught:
        async with on_stage(session={"store": "redis://127.0.0.1:1/0"}):
            pass
    [problem] = caught.value.problems
    assert "pip install 'frameio-oauth-proxy[redis]'" in problem
