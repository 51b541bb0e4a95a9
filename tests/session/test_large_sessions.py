"""Sessions too large for cookies: the cookie points to them, and Redis holds them for every replica."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.session.test_ended import refused
from tests.support.browser import Visitor
from tests.support.proxy import WANTED, replica
from tests.support.redis import RedisServer, needs_redis
from tests.support.replicas import USES, Pair, admin, pair_on
from tests.support.sessions import bearer, new_cookie_line, refreshes, settled, signed_in
from tests.support.tool import until
from tests.support.units import DAY, HOUR

pytestmark = needs_redis


@pytest.fixture
async def pair(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    """Tokens of 5 kB, and browsers that keep two cookies."""
    monkeypatch.setattr("oauth_proxy.cookies.MOST_PIECES", 2)
    async with pair_on(redis, api="v4") as both:
        both.a.frameio.set_token_size(5000)
        yield both


async def test_the_cookie_is_small_and_every_replica_finds_the_session(pair: Pair, visitor: Visitor) -> None:
    cookie = await signed_in(pair.a, visitor)
    assert cookie.count("=") == 1
    assert len(cookie) < 400
    at_a, at_b = [bearer(await stage.ask("/echo", cookie)) for stage in (pair.a, pair.b)]
    assert at_a == at_b
    assert len(at_a) > 5000


async def test_redis_is_asked_for_it_once_and_not_for_each_request(pair: Pair, visitor: Visitor) -> None:
    cookie = await signed_in(pair.a, visitor)
    bearer(await pair.b.ask("/echo", cookie))
    before = await pair.redis.asked(*USES)
    for _ in range(20):
        bearer(await pair.b.ask("/echo", cookie))
    assert await pair.redis.asked(*USES) == before


async def test_an_old_pointer_leads_to_the_newest_tokens(pair: Pair, visitor: Visitor) -> None:
    old = await signed_in(pair.a, visitor)
    for stage in (pair.a, pair.b):
        bearer(await stage.ask("/echo", old))
    pair.a.clock.advance(DAY - 60)
    first = await pair.a.ask("/echo", old)
    assert refreshes(pair.a) == 1
    for cookie in (old, new_cookie_line(first)):
        assert bearer(await pair.b.ask("/echo", cookie)) == bearer(first)
    assert refreshes(pair.a) == 1


async def test_it_may_shrink_into_the_cookie_and_grow_out_of_it(pair: Pair, visitor: Visitor) -> None:
    cookie = await signed_in(pair.a, visitor)
    for number, size in enumerate([600, 5000, 600], start=1):
        pair.a.frameio.set_token_size(size)
        pair.a.clock.advance(DAY - 60)
        answer = await (pair.a, pair.b)[number % 2].ask("/echo", cookie)
        assert len(bearer(answer)) == len("Bearer ") + size
        cookie = new_cookie_line(answer)
        assert (len(cookie) < 400) is (size == 5000)
        assert refreshes(pair.a) == number


async def test_busy_it_outlasts_the_idle_time_and_unused_it_ends_with_it(
    redis: RedisServer, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oauth_proxy.cookies.MOST_PIECES", 2)
    async with pair_on(redis, api="v4", session={"idle": "2h"}) as pair:
        pair.a.frameio.set_token_size(5000)
        cookie = await signed_in(pair.a, visitor)
        written = 0
        for number in range(30):
            pair.a.clock.advance(HOUR / 6)
            answer = await (pair.a, pair.b)[number % 2].ask("/echo", cookie)
            bearer(answer)
            if answer.all("Set-Cookie"):
                cookie = new_cookie_line(answer)
                written += 1
        assert 5 < written < 30
        pair.a.clock.advance(2 * HOUR)
        assert await refused(pair.a, cookie)


async def test_signed_out_it_is_gone(pair: Pair, visitor: Visitor) -> None:
    cookie = await signed_in(pair.a, visitor)
    bearer(await pair.b.ask("/echo", cookie))
    await pair.a.ask("/oauth2/sign_out", cookie, WANTED)
    await pair.b.proxy.look()
    assert await refused(pair.b, cookie)
    async with replica(pair.a) as restarted:
        assert await refused(restarted, cookie)
    async with pair.redis.client() as client:
        assert not await client.keys("*:session:*")


@pytest.mark.parametrize("hangs_up", [False, True])
async def test_signed_out_where_it_cannot_be_fetched_it_has_ended_everywhere(
    pair: Pair, visitor: Visitor, caplog: pytest.LogCaptureFixture, hangs_up: bool
) -> None:
    cookie = await signed_in(pair.a, visitor)
    pair.redis.freeze()
    if hangs_up:
        _, writer = await asyncio.open_connection("127.0.0.1", pair.b.listens_on)
        lines = ["POST /oauth2/sign_out HTTP/1.1", f"Host: localhost:{pair.b.port}", cookie, WANTED, "", ""]
        writer.write("\r\n".join(lines).encode())
        await until(lambda: pair.b.proxy.sessions.in_background > 0)
        writer.transport.abort()
        await settled(pair.b)
    else:
        answer = await pair.b.ask("/oauth2/sign_out", cookie, WANTED)
        assert (answer.status, len(answer.all("Set-Cookie"))) == (200, 1)
    pair.redis.thaw()
    assert "not revoked at Frame.io: a session too large for cookies could not be fetched" in caplog.text
    for stage in (pair.b, pair.a):
        await stage.proxy.look()
        assert await refused(stage, cookie)


async def test_without_redis_who_knows_it_goes_on_and_who_does_not_answers_503(
    pair: Pair, visitor: Visitor
) -> None:
    cookie = await signed_in(pair.a, visitor)
    bearer(await pair.a.ask("/echo", cookie))
    await pair.redis.kill()
    await pair.b.proxy.look()
    answer = await pair.b.ask("/echo", cookie)
    assert (answer.status, answer.all("Set-Cookie")) == (503, []), "nobody is signed out by that"
    assert json.loads(answer.body)["error"] == "sessions_unavailable"
    assert int(answer.get("Retry-After") or 0) > 0
    pair.a.clock.advance(DAY - 60)
    first = await pair.a.ask("/echo", cookie)
    assert len(bearer(first)) > 5000
    assert refreshes(pair.a) == 1
    await pair.redis.start()
    await pair.a.proxy.look()
    await pair.b.proxy.look()
    assert bearer(await pair.b.ask("/echo", cookie)) == bearer(first), "A has told the empty Redis"
    assert refreshes(pair.a) == 1


async def test_nobody_can_sign_in_with_one_while_redis_is_down(pair: Pair, visitor: Visitor) -> None:
    await pair.redis.kill()
    await pair.a.proxy.look()
    answer = await visitor.login(f"{pair.a.url}/echo")
    assert answer.status == 503
    assert "try again" in await answer.text()
    assert await admin(pair.a, visitor, "/readyz") == (200, "ready; redis unreachable\n")


async def test_one_that_redis_has_lost_is_a_strangers(pair: Pair, visitor: Visitor) -> None:
    cookie = await signed_in(pair.a, visitor)
    async with pair.redis.client() as client:
        [session] = await client.keys("*:session:*")
        await client.delete(session)
    assert await refused(pair.b, cookie)


async def test_a_new_key_in_front_seals_it_anew(pair: Pair, visitor: Visitor) -> None:
    cookie = await signed_in(pair.a, visitor)
    settings = pair.a.settings
    old, new = settings.session.secret[0], type(settings.session.secret[0])(bytes(range(32)))

    def keyed(*ring: object) -> Pair:
        session = settings.session.model_copy(update={"secret": ring})
        pair.a.settings = settings.model_copy(update={"session": session})
        return pair

    async with replica(keyed(new, old).a) as both:
        resealed = new_cookie_line(await both.ask("/echo", cookie))
    async with replica(keyed(new).a) as rotated:
        assert len(bearer(await rotated.ask("/echo", resealed))) > 5000
        assert await refused(rotated, cookie)
