"""Sign-out means it at Frame.io too: both tokens are revoked, whoever hangs up and whoever is refused."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from oauth_proxy.demo.faults import Fault
from oauth_proxy.memory.sqlite import SqliteHome
from tests.support.browser import NAVIGATING, Visitor
from tests.support.login import complaints, query
from tests.support.proxy import STUDIO, WANTED, Stage, on_stage, replica, serving
from tests.support.sessions import bearer, settled, signed_in
from tests.support.tool import until
from tests.support.units import HOUR


class Revocations:
    """A revocation endpoint that keeps what it is told, and answers with `status`."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.status = 200
        self.gate = asyncio.Event()
        self.gate.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        self.told.append((str(form["token_type_hint"]), str(form["token"])))
        await self.gate.wait()
        return web.Response(status=self.status, text="no")

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/revoke", self.answer)
        return app


def tokens(stage: Stage) -> list[tuple[str, str]]:
    """The newest grant's, as they are to be revoked."""
    grant = stage.frameio.grants[-1]
    assert grant.access
    assert grant.refresh
    return [("access_token", grant.access), ("refresh_token", grant.refresh)]


async def test_sign_out_revokes_the_access_token_and_then_the_refresh_token(visitor: Visitor) -> None:
    revoked = Revocations()
    async with serving(revoked.app()) as url, on_stage(app={"revoke_url": f"{url}/revoke"}) as stage:
        cookie = await signed_in(stage, visitor)
        stage.clock.advance(HOUR)
        bearer(await stage.ask("/echo", cookie))
        await stage.ask("/oauth2/sign_out", cookie, WANTED)
        assert revoked.told == tokens(stage)
        await stage.ask("/oauth2/sign_out", cookie, WANTED)
        await settled(stage)
        assert revoked.told == tokens(stage), "once"


async def test_each_revocation_that_fails_is_logged_and_the_other_is_tried(
    visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    revoked = Revocations()
    revoked.status = 400
    async with serving(revoked.app()) as url, on_stage(app={"revoke_url": f"{url}/revoke"}) as stage:
        cookie = await signed_in(stage, visitor)
        assert (await stage.ask("/oauth2/sign_out", cookie, WANTED)).status == 200
        assert revoked.told == tokens(stage)
        [line] = [line for line in complaints(caplog) if "were not revoked" in line]
        assert line.index("access_token") < line.index("refresh_token")
        assert line.count("answered 400") == 2
        assert not [token for _, token in revoked.told if token in line]


async def test_a_sign_out_is_finished_although_the_connection_breaks(visitor: Visitor) -> None:
    revoked = Revocations()
    revoked.gate.clear()
    async with serving(revoked.app()) as url, on_stage(app={"revoke_url": f"{url}/revoke"}) as stage:
        cookie = await signed_in(stage, visitor)
        _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        lines = ["POST /oauth2/sign_out HTTP/1.1", f"Host: localhost:{stage.port}", cookie, WANTED, "", ""]
        writer.write("\r\n".join(lines).encode())
        await until(lambda: len(revoked.told) == 1)
        writer.transport.abort()
        assert (await stage.ask("/echo", cookie)).status == 401, "here it is over at once"
        revoked.gate.set()
        await settled(stage)
        assert revoked.told == tokens(stage)


async def test_a_copy_of_the_cookie_is_refused_while_the_sign_out_waits_for_the_store(
    visitor: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_stage(session={"store": f"sqlite:{tmp_path}/sessions.db"}) as stage:
        cookie = await signed_in(stage, visitor)
        asked, goes_on, get = asyncio.Event(), asyncio.Event(), SqliteHome.get

        async def slow(home: SqliteHome, key: str) -> str | None:
            asked.set()
            await goes_on.wait()
            return await get(home, key)

        monkeypatch.setattr(SqliteHome, "get", slow)
        leaving = asyncio.create_task(stage.ask("/oauth2/sign_out", cookie, WANTED))
        await asked.wait()
        status, is_waiting = (await stage.ask("/echo", cookie)).status, not leaving.done()
        goes_on.set()
        assert (status, is_waiting) == (401, True)
        assert (await leaving).status == 200
        async with replica(stage) as other:
            assert (await other.ask("/echo", cookie)).status == 401
        assert stage.frameio.grants[-1].revoked


async def test_a_sign_out_while_a_refresh_is_under_way_revokes_what_that_brings(visitor: Visitor) -> None:
    revoked = Revocations()
    async with serving(revoked.app()) as url, on_stage(app={"revoke_url": f"{url}/revoke"}) as stage:
        cookie = await signed_in(stage, visitor)
        stage.frameio.faults.plan("token", Fault.HANG, 1)
        stage.clock.advance(HOUR)
        asking = asyncio.create_task(stage.ask("/echo", cookie))
        await stage.frameio.faults.hanging(1)
        leaving = asyncio.create_task(stage.ask("/oauth2/sign_out", cookie, WANTED))
        await until(lambda: stage.proxy.sessions.in_background > 0)
        stage.frameio.faults.release()
        assert (await leaving).status == 200
        await asking
        await settled(stage)
        assert revoked.told == tokens(stage)
        assert (await stage.ask("/echo", cookie)).status == 401


async def test_signing_in_as_somebody_else_revokes_the_first_ones_tokens_and_refuses_a_copy_of_their_cookie(
    visitor: Visitor,
) -> None:
    revoked = Revocations()
    async with serving(revoked.app()) as url, on_stage(app={"revoke_url": f"{url}/revoke"}) as stage:
        first, theirs = await signed_in(stage, visitor), tokens(stage)
        await visitor.login(f"{stage.url}/oauth2/start?rd=/echo&switch=1", "Editor")
        assert not revoked.told, "the same person again replaces nobody"
        again, before = visitor.cookie_line(stage.url), tokens(stage)
        assert (await visitor.login(f"{stage.url}/oauth2/start?rd=/echo&switch=1", "Reviewer")).status == 200
        await settled(stage)
        assert revoked.told == before
        assert (await stage.ask("/echo", again)).status == 401
        assert (await stage.ask("/echo", visitor.cookie_line(stage.url))).status == 200
        assert theirs != before
        assert (await stage.ask("/echo", first)).status == 200, "a session of its own, of another browser perhaps"


async def test_whoever_the_door_refuses_has_their_tokens_revoked_once_and_nothing_of_them_is_kept(
    visitor: Visitor,
) -> None:
    revoked = Revocations()
    async with (
        serving(revoked.app()) as url,
        on_stage(app={"revoke_url": f"{url}/revoke"}, access=STUDIO) as stage,
    ):
        assert (await visitor.login(f"{stage.url}/echo", "Guest")).status == 403
        [cookie] = [
            f"Cookie: {value.partition(';')[0]}"
            for hop in visitor.hops
            for value in hop.headers.getall("Set-Cookie", [])
            if value.startswith("oauth_proxy=") and "Max-Age=0" not in value
        ]
        for _ in range(20):
            refused = await stage.ask("/echo", cookie, *NAVIGATING)
            assert refused.status == 403
            assert "Max-Age=0" in (refused.get("Set-Cookie") or "")
        await settled(stage)
        assert revoked.told == tokens(stage)
        for _ in range(1000):
            await stage.ask("/oauth2/sign_out", cookie, WANTED)
        await settled(stage)
        memory = stage.proxy.memory
        assert memory.sizes == {"ends": 0, "retold": 0}
        assert await memory.notes() == []
        assert revoked.told[:2] == tokens(stage)


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.FORBIDDEN, Fault.HTML])
async def test_a_login_that_fails_after_the_exchange_revokes_what_it_got(visitor: Visitor, fault: Fault) -> None:
    revoked = Revocations()
    async with serving(revoked.app()) as url, on_stage(app={"revoke_url": f"{url}/revoke"}) as stage:
        stage.frameio.faults.plan("me", fault)
        assert (await visitor.login(f"{stage.url}/echo")).status in (403, 502, 503)
        await settled(stage)
        assert revoked.told == tokens(stage)


async def test_where_frame_io_has_a_logout_page_sign_out_ends_there_and_comes_back(visitor: Visitor) -> None:
    async with on_stage(api="v4", app={"logout_url": "FRAMEIO/ims/logout/v1"}) as stage:
        cookie = await signed_in(stage, visitor)
        answer = await stage.ask("/oauth2/sign_out", cookie, *NAVIGATING)
        where = answer.get("Location") or ""
        assert (answer.status, where.partition("?")[0]) == (302, f"{stage.frameio_url}/ims/logout/v1")
        assert query(where)["client_id"] == "studio"
        assert query(where)["redirect_uri"] == f"{stage.url}/oauth2/sign_in"
        assert "Max-Age=0" in "".join(answer.all("Set-Cookie"))
        assert not [token for token in stage.frameio.issued("access") if token in where]
        assert stage.frameio.calls["revoke"] == 2


async def test_an_app_without_refresh_tokens_takes_a_quiet_trip_once_its_token_has_run_out(
    visitor: Visitor,
) -> None:
    async with on_stage(api="v4", client_secret=None) as stage:
        cookie = await signed_in(stage, visitor)
        stage.clock.advance(HOUR)
        assert (await stage.ask("/echo", cookie)).status == 401, "a script's request"
        navigated = await stage.ask("/echo", cookie, *NAVIGATING)
        assert navigated.status == 302
        assert stage.frameio.calls["token:refresh_token"] == 0
        assert (await visitor.login(f"{stage.url}/echo")).status == 200
        assert stage.frameio.calls["token:authorization_code"] == 2
