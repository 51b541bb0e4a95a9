import base64
import json
import math
import os
import re

import pytest

from oauth_proxy.clock import Clock
from oauth_proxy.cookies import Cookies, SealedCookie
from oauth_proxy.demo.faults import Fault
from oauth_proxy.headers import Fields
from oauth_proxy.identity import Identity, Session, Tokens, decode, encode
from oauth_proxy.memory import memory_for
from oauth_proxy.seal import Sealer
from oauth_proxy.session import CookieStore
from tests.support.browser import NAVIGATING, Visitor
from tests.support.configuration import file, read
from tests.support.proxy import WANTED, Stage, a_secret, on_stage
from tests.support.sessions import new_cookie_line, signed_in
from tests.support.units import DAY, HOUR


def a_session() -> Session:
    who = Identity("id", "é@example.com", "Zoë \udc80", None)
    return Session("sid", who, Tokens("access", 1.5, 2.5, "refresh", "a b"), 1.25, 2.0)


def test_a_session_is_the_same_after_a_journey_through_a_cookie() -> None:
    assert decode(encode(a_session())) == a_session()


def test_a_session_of_another_version_is_a_strangers() -> None:
    assert decode(json.dumps([3, "whatever"]).encode()) is None


def test_no_token_is_in_a_repr() -> None:
    shown = repr(a_session())
    assert "access" not in shown.replace("access=", "")
    assert "'refresh'" not in shown
    assert "id" in shown


async def test_no_token_can_be_read_off_a_cookie(stage: Stage, visitor: Visitor) -> None:
    cookie = await signed_in(stage, visitor)
    token = json.loads((await stage.ask("/echo", cookie)).body)
    bearer = str(dict(token["headers"])["Authorization"]).removeprefix("Bearer ")
    for value in re.findall(r"[A-Za-z0-9_-]{40,}", cookie):
        raw = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        assert bearer.encode() not in raw
        assert b"studio.example.com" not in raw
    assert bearer not in cookie


async def test_every_login_makes_a_session_of_its_own(stage: Stage, visitor: Visitor) -> None:
    first = await signed_in(stage, visitor)
    second = await signed_in(stage, visitor)
    await visitor.get(f"{stage.url}/oauth2/start?rd=/echo")
    await visitor.login(f"{stage.url}/oauth2/start?rd=/echo")
    third = visitor.cookie_line(stage.url)
    assert first == second, "nobody signs in twice without asking"
    assert third != first
    await stage.ask("/oauth2/sign_out", third, WANTED)
    assert (await stage.ask("/echo", third)).status == 401
    assert (await stage.ask("/echo", first)).status == 200, "ending one session does not end another"


async def test_a_session_ends_after_its_lifetime_however_busy(visitor: Visitor) -> None:
    async with on_stage(session={"lifetime": "3d", "idle": "24h"}) as stage:
        cookie = await signed_in(stage, visitor)
        for _ in range(5):
            stage.clock.advance(DAY / 2)
            answer = await stage.ask("/echo", cookie)
            assert answer.status == 200
            cookie = new_cookie_line(answer)
        stage.clock.advance(DAY / 2)
        assert (await stage.ask("/echo", cookie)).status == 401


async def test_a_session_ends_when_nobody_used_it_for_the_idle_time(visitor: Visitor) -> None:
    async with on_stage(session={"idle": "2h"}) as stage:
        cookie = await signed_in(stage, visitor)
        stage.clock.advance(2 * HOUR)
        answer = await stage.ask("/echo", cookie)
        assert answer.status == 401
        assert stage.frameio.calls["token:refresh_token"] == 0


async def test_the_idle_limit_slides_without_a_set_cookie_on_every_answer(visitor: Visitor) -> None:
    async with on_stage(session={"idle": "30m"}) as stage:
        cookie = await signed_in(stage, visitor)
        written = 0
        for _ in range(50):
            stage.clock.advance(60)
            answer = await stage.ask("/echo", cookie)
            assert answer.status == 200
            if answer.all("Set-Cookie"):
                written += 1
                cookie = new_cookie_line(answer)
        assert 5 <= written <= 20


async def test_the_cookie_lasts_as_long_as_the_session_may(visitor: Visitor) -> None:
    async with on_stage(session={"lifetime": "2d"}) as stage:
        await signed_in(stage, visitor)
        [hop] = [hop for hop in visitor.hops if hop.url.path == "/oauth2/callback"]
        [line] = [value for value in hop.headers.getall("Set-Cookie") if value.startswith("oauth_proxy=")]
        assert re.findall(r"Max-Age=(\d+)", line) == [str(int(2 * DAY))]


async def test_a_new_key_in_front_signs_nobody_out_and_reseals(visitor: Visitor) -> None:
    old, new = a_secret(), a_secret()
    async with on_stage(session={"secret": old}) as stage:
        cookie = await signed_in(stage, visitor)
        clock = stage.clock
    async with on_stage(session={"secret": [new, old]}, clock=clock) as stage:
        first = await stage.ask("/oauth2/userinfo", cookie)
        assert first.status == 200
        resealed = new_cookie_line(first)
        again = await stage.ask("/oauth2/userinfo", resealed)
        assert again.status == 200
        assert not again.all("Set-Cookie")
    async with on_stage(session={"secret": new}, clock=clock) as stage:
        assert (await stage.ask("/oauth2/userinfo", resealed)).status == 200
        assert (await stage.ask("/oauth2/userinfo", cookie)).status == 401


async def test_a_cookie_replayed_after_sign_out_is_a_strangers(stage: Stage, visitor: Visitor) -> None:
    cookie = await signed_in(stage, visitor)
    out = await stage.ask("/oauth2/sign_out", cookie, *NAVIGATING)
    assert out.status == 200
    assert "Max-Age=0" in (out.get("Set-Cookie") or "")
    assert (await stage.ask("/echo", cookie)).status == 401
    assert stage.frameio.calls["revoke"] == 2, "both tokens, each by itself"


async def test_a_provider_that_cannot_revoke_does_not_keep_anybody_signed_in(
    stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = await signed_in(stage, visitor)
    stage.frameio.faults.plan("revoke", Fault.SERVER_ERROR)
    assert (await stage.ask("/oauth2/sign_out", cookie, WANTED)).status == 200
    assert (await stage.ask("/echo", cookie)).status == 401
    assert "not revoked" in caplog.text


async def test_signing_out_after_a_refresh_revokes_the_newest_tokens(stage: Stage, visitor: Visitor) -> None:
    old = await signed_in(stage, visitor)
    stage.clock.advance(HOUR)
    bearer = await stage.ask("/echo", old)
    token = dict(json.loads(bearer.body)["headers"])["Authorization"]
    await stage.ask("/oauth2/sign_out", old, WANTED)
    async with visitor.session.get(f"{stage.frameio_url}/v2/me", headers={"Authorization": token}) as me:
        assert me.status == 401


@pytest.mark.parametrize("grown", [4000, 2000, 700])
async def test_v4_tokens_of_kilobytes_fit_and_survive_growing_and_shrinking(visitor: Visitor, grown: int) -> None:
    async with on_stage(api="v4") as stage:
        stage.frameio.set_token_size(3000)
        cookie = await signed_in(stage, visitor)
        pieces = cookie.count("oauth_proxy")
        stage.frameio.set_token_size(grown)
        stage.clock.advance(2 * DAY / 2 - HOUR)
        answer = await stage.ask("/echo", cookie)
        assert answer.status == 200
        gone = [line for line in answer.all("Set-Cookie") if "Max-Age=0" in line]
        kept = new_cookie_line(answer)
        assert kept.count("oauth_proxy") + len(gone) == max(pieces, kept.count("oauth_proxy"))
        assert (await stage.ask("/echo", kept)).status == 200


async def test_a_session_no_browser_would_keep_is_an_error_that_says_so(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oauth_proxy.cookies.MOST_PIECES", 2)
    async with on_stage(api="v4") as stage:
        stage.frameio.set_token_size(6000)
        answer = await visitor.login(f"{stage.url}/echo")
        assert answer.status == 500
        assert "too large" in await answer.text()


@pytest.mark.parametrize("garbage", ["1.AAAA", "1." + "A" * 3000, "2.AAAA", "x", "1.é", "%00"])
async def test_a_garbled_cookie_is_a_strangers(stage: Stage, garbage: str) -> None:
    answer = await stage.ask("/echo", f"Cookie: oauth_proxy={garbage}")
    assert answer.status == 401
    assert not stage.tool_requests


async def test_memory_of_opened_cookies_is_bounded() -> None:
    cookies = Cookies("c", secure=False)
    cookie = SealedCookie(cookies, Sealer([os.urandom(32)], "session"), "c")
    memory = memory_for(read(file()), Clock())
    store = CookieStore(
        cookie,
        lifetime=100,
        idle=100,
        clock=lambda: 2.0,
        memory=memory,
        settled_until=lambda session: math.inf,
        held=lambda session_id: 0.0,
    )
    opened = []
    for _ in range(2100):
        [line] = await store.save(a_session(), cookies.read(Fields([])))
        received = cookies.read(Fields([(b"Cookie", line.partition(";")[0].encode())]))
        assert await store.load(received) is not None
        opened.append(received)
    assert [store.cached(received) is not None for received in opened] == [False] * 52 + [True] * 2048


async def test_a_cookie_line_is_taken_apart_once(
    stage: Stage, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await visitor.login(f"{stage.url}/echo")
    cookie, is_ours = visitor.cookie_line(stage.url), Cookies.is_ours
    names: list[bytes] = []

    def noting(self: Cookies, name: bytes) -> bool:
        names.append(name)
        return is_ours(self, name)

    monkeypatch.setattr(Cookies, "is_ours", noting)
    for line in (cookie, f"{cookie}; tool=1", cookie, f"{cookie}; tool=1", cookie):
        assert (await stage.ask("/echo", line)).status == 200
    assert names.count(b"tool") == 1, "the second line"
    assert names.count(b"oauth_proxy") <= 2, "in both lines"
    names.clear()
    for _ in range(2):
        assert (await stage.ask("/echo", "Cookie: oauth_proxy=1.strange")).status == 401
    assert names == [b"oauth_proxy"] * 2, "nothing is remembered of strangers"
