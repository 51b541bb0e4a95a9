"""The status page at the admin listener: what it shows to whom, and what its buttons do."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from oauth_proxy.demo.people import EDITOR, REVIEWER, App
from oauth_proxy.recent import STEP, STEPS
from oauth_proxy.status.buttons import LASTS
from tests.session.test_ended import refused
from tests.support.browser import Visitor
from tests.support.certificates import Authority
from tests.support.operators import BROWSER, Shown, opened, pressed
from tests.support.processes import Proxies, processes
from tests.support.proxy import SECRET, Clock, Stage, a_secret, on_stage
from tests.support.redis import redis_server
from tests.support.sessions import signed_in
from tests.support.units import DAY, NOW, PATIENCE


@asynccontextmanager
async def several(folder: Path, **changes: Any) -> AsyncIterator[Proxies]:
    """A proxy of two workers, at which people can sign in."""
    async with processes(folder, workers=2, **changes) as proxies:
        redirect = f"{proxies.url}/oauth2/callback"
        proxies.stage.frameio.register(App("studio", SECRET, (redirect,), api="v2"))
        proxies.write(public_url=proxies.url)
        await proxies.reloaded("generation 2 serves")
        proxies.stage = replace(proxies.stage, url=proxies.url)
        yield proxies


async def until_it_says(url: str, *words: str) -> Shown:
    """The page once it has all these words: what workers tell reaches the parent a moment later."""
    async with asyncio.timeout(PATIENCE):
        while True:
            shown = await opened(url)
            if shown.status == 200 and all(word in shown.words for word in words):
                return shown
            await asyncio.sleep(0.1)


async def test_the_page_says_whether_it_is_well_who_is_there_and_what_went_wrong(
    stage: Stage, visitor: Visitor
) -> None:
    cookie = await signed_in(stage, visitor)
    await stage.ask("/nowhere", "Cookie: oauth_proxy=garbage")
    shown = await opened(stage.admin_url)
    assert shown.status == 200
    assert "All is well" in shown.words
    assert f"visitors at 127.0.0.1:{stage.port}" in shown.words
    assert f"{EDITOR.email} {EDITOR.id} just now just now 1 0" in shown.words
    assert "401 by proxy just now 1 no session: an incomplete cookie, of which a part is missing" in shown.words
    stage.clock.advance(STEP)
    assert " a second now" in (await opened(stage.admin_url)).words
    assert not await refused(stage, cookie)


async def test_who_is_on_their_way_to_the_login_is_no_trouble(stage: Stage) -> None:
    for headers in (["Accept: text/html"], ["Accept: application/json"]):
        await stage.ask("/page", *headers)
    assert "Nothing was refused" in (await opened(stage.admin_url)).words


async def test_the_page_is_never_stored_runs_nothing_and_stands_in_no_frame(stage: Stage) -> None:
    for path in ("/", "/people", "/settings", "/reload", "/end?user=x", "/log-level?to=debug", "/end"):
        headers = (await opened(stage.admin_url + path)).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        policy = headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} <= {
            *policy
        }
        assert [each for each in policy if each.startswith("style-src 'sha256-")]
        assert "unsafe" not in headers["Content-Security-Policy"]


async def test_it_asks_for_itself_again_but_where_somebody_decides(stage: Stage) -> None:
    assert (await opened(stage.admin_url)).headers["Refresh"] == "15;url=/"
    for path in ("/?refresh=off", "/people", "/settings", "/reload", "/end?user=x", "/log-level?to=debug"):
        assert "Refresh" not in (await opened(stage.admin_url + path)).headers


async def test_head_has_no_body_other_methods_are_405_and_other_paths_are_as_before(stage: Stage) -> None:
    head = await opened(stage.admin_url, method="HEAD")
    assert (head.status, head.text) == (200, "")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = await opened(stage.admin_url, method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert (await opened(f"{stage.admin_url}/reload", method="PUT")).headers["Allow"] == "GET, HEAD, POST"
    assert (await opened(f"{stage.admin_url}/nowhere")).text == "/metrics, /healthz and /readyz are here\n"
    for path in ("/end", "/end?user=", "/log-level", "/log-level?to=loud", "/end?" + "a&" * 50):
        assert (await opened(stage.admin_url + path)).status == 404


async def test_a_program_sees_how_it_is_and_nothing_of_anybody(stage: Stage, visitor: Visitor) -> None:
    await signed_in(stage, visitor)
    await stage.ask("/secret-path", "Cookie: oauth_proxy=garbage")
    shown = await opened(stage.admin_url, Sec_Fetch_Mode="-", Sec_Fetch_Dest="-", Sec_Fetch_Site="-")
    assert "All is well" in shown.words
    for word in (EDITOR.email, EDITOR.id, "secret-path", "127.0.0.1:", "/reload"):
        assert word not in shown.text.replace("on 127.0.0.1, or", "")
    for path in ("/people", "/settings", "/reload", "/end?user=x"):
        assert (await opened(stage.admin_url + path, Sec_Fetch_Mode="-")).status == 403


async def test_a_listener_that_others_reach_shows_no_names_and_has_no_buttons(visitor: Visitor) -> None:
    async with on_stage(admin={"listen": "0.0.0.0:0"}) as stage:
        await signed_in(stage, visitor)
        url = stage.admin_url.replace("0.0.0.0", "127.0.0.1")
        shown = await opened(url, Host="proxy.internal:4181")
        assert shown.status == 200
        assert "All is well" in shown.words
        assert EDITOR.email not in shown.text
        assert "with admin.listen on 127.0.0.1, or a Unix socket" in shown.words
        assert (await opened(f"{url}/settings")).status == 403


async def test_the_page_is_at_a_unix_socket_too(tmp_path: Path, visitor: Visitor) -> None:
    async with on_stage(admin={"listen": f"unix:{tmp_path}/admin.sock"}) as stage:
        await signed_in(stage, visitor)
        connector = aiohttp.UnixConnector(f"{tmp_path}/admin.sock")
        async with (
            aiohttp.ClientSession(connector=connector) as http,
            http.get("http://localhost:9999/", headers=BROWSER) as answer,
        ):
            assert EDITOR.email in await answer.text()


async def test_no_secret_of_any_kind_is_on_any_page(tmp_path: Path) -> None:
    Authority().pair(tmp_path / "site", "localhost")
    token = "a-token-in-a-query"
    hidden = {"store": "redis-password-4711", "hook": "hook-secret-4711-4711-4711-4711-4711", "second": a_secret()}
    async with redis_server("--requirepass", hidden["store"]) as server:
        store = server.url.replace("redis://", f"redis://:{hidden['store']}@").replace(
            f":{hidden['store']}@:@", ":"
        )
        first = a_secret()
        async with on_stage(
            session={"secret": [first, hidden["second"]], "store": store},
            webhooks={"/hooks/frameio": {"secret": [hidden["hook"]]}},
        ) as stage:
            await stage.ask(f"/page?code={token}", "Cookie: oauth_proxy=garbage", f"Authorization: Bearer {token}")
            text = "".join([(await opened(stage.admin_url + path)).text for path in ("/", "/settings", "/people")])
    assert "&lt;hidden" in text
    for secret in (SECRET, first, token, *hidden.values()):
        assert secret not in text


async def test_what_strangers_send_is_text(stage: Stage) -> None:
    await stage.ask("/<script>alert(1)</script>\u202e", "Cookie: oauth_proxy=garbage")
    await stage.ask("/x%3Cimg%20src=x%20onerror=alert(1)%3E", "Cookie: oauth_proxy=garbage")
    shown = await opened(stage.admin_url)
    assert "<script" not in shown.text
    assert "<img" not in shown.text
    for user in ("%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "%ED%A0%80%ff%00", "a%0D%0Ab"):
        asking = await opened(f"{stage.admin_url}/end?user={user}")
        assert asking.status == 200
        assert "<script" not in asking.text


async def test_a_button_ends_all_sessions_of_one_person_once(stage: Stage, visitor: Visitor) -> None:
    cookie = await signed_in(stage, visitor)
    async with Visitor() as other:
        theirs = await signed_in(stage, other, "Reviewer")
    asking = await opened(f"{stage.admin_url}/end?user={EDITOR.id}")
    assert EDITOR.id in asking.words
    assert not await refused(stage, cookie)
    done = await pressed(f"{stage.admin_url}/end", asking.form)
    assert (done.status, done.headers["Location"]) == (303, "/?done=ended")
    assert await refused(stage, cookie)
    assert not await refused(stage, theirs)
    shown = await opened(f"{stage.admin_url}/?done=ended", Sec_Fetch_Site="same-origin")
    assert "All sessions of that person have ended." in shown.words
    assert f"{EDITOR.email} {EDITOR.id}" not in shown.words
    assert f"{REVIEWER.email} {REVIEWER.id}" in shown.words
    stage.clock.advance(1)
    async with Visitor() as again:
        cookie = await signed_in(stage, again)
        assert (await pressed(f"{stage.admin_url}/end", asking.form)).status == 409
        assert not await refused(stage, cookie)


async def test_the_audit_stream_names_the_page_as_who_pressed_and_its_loss_is_said(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    async with on_stage(log={"audit": str(file)}) as stage:
        assert "audit stream ✓ good" in (await opened(stage.admin_url)).words
        form = (await opened(f"{stage.admin_url}/end?user=jo")).form
        await pressed(f"{stage.admin_url}/end", form)
        [line] = map(json.loads, file.read_text("utf-8").splitlines())
        assert (line["event"], line["subject"]) == ("revoke", "jo")
        assert line["operator"] == "somebody at the status page"
        file.unlink()
        file.mkdir()
        form = (await opened(f"{stage.admin_url}/end?user=jo")).form
        await pressed(f"{stage.admin_url}/end", form)
        assert "Not well: audit stream" in (await opened(stage.admin_url)).words


async def test_who_is_not_signed_in_is_told_to_be_nobody(stage: Stage) -> None:
    asking = await opened(f"{stage.admin_url}/end?user=everybody")
    done = await pressed(f"{stage.admin_url}/end", asking.form)
    assert done.headers["Location"] == "/?done=nobody"
    assert (
        "Nobody with that id"
        in (await opened(f"{stage.admin_url}/?done=nobody", Sec_Fetch_Site="same-origin")).words
    )


async def test_a_form_is_good_for_ten_minutes_and_the_clock_may_be_set_back(stage: Stage) -> None:
    form = (await opened(f"{stage.admin_url}/log-level?to=info")).form
    stage.clock.advance(LASTS + 1)
    assert "Not done" in (await pressed(f"{stage.admin_url}/log-level", form)).words
    form = (await opened(f"{stage.admin_url}/log-level?to=info")).form
    stage.clock.wrong = -60.0
    assert (await pressed(f"{stage.admin_url}/log-level", form)).status == 403


async def test_all_workers_count_together_and_a_death_or_a_reload_makes_no_hole(tmp_path: Path) -> None:
    async with several(tmp_path) as proxies, Visitor() as visitor:
        url = f"http://{proxies.admin}"
        cookie = await signed_in(proxies.stage, visitor)
        for _ in range(30):
            await proxies.stage.ask("/echo", cookie)
            await proxies.stage.ask("/gone", "Cookie: oauth_proxy=garbage")
        shown = await until_it_says(url, "30 no session: an incomplete cookie")
        counted = requests(shown)
        assert counted >= 60
        assert "generation 2 serves with 2 workers" in shown.words
        form = (await opened(f"{url}/end?user={EDITOR.id}")).form

        os.kill(proxies.workers[0], signal.SIGKILL)
        shown = await until_it_says(url, "1 worker has died since the start", "serves with 2 workers")
        assert requests(shown) >= counted
        assert "30 no session: an incomplete cookie" in shown.words

        await proxies.reloaded("generation 3 serves")
        shown = await until_it_says(url, "generation 3 serves with 2 workers")
        assert requests(shown) >= counted
        assert "30 no session: an incomplete cookie" in shown.words
        assert (await pressed(f"{url}/end", form)).headers["Location"] == "/?done=ended"
        assert await refused(proxies.stage, cookie)
        assert (await pressed(f"{url}/end", form)).status == 409


async def test_a_worker_that_hangs_is_said_and_keeps_nobody_waiting_for_long(tmp_path: Path) -> None:
    async with processes(tmp_path, workers=2) as proxies:
        worker = proxies.workers[0]
        os.kill(worker, signal.SIGSTOP)
        try:
            shown = await until_it_says(f"http://{proxies.admin}", "1 worker does not reply just now")
        finally:
            os.kill(worker, signal.SIGCONT)
        assert "Have a look: processes" in shown.words


async def test_what_was_counted_in_a_step_is_told_when_it_is_over_whether_or_not_anybody_looks() -> None:
    clock = Clock(NOW - NOW % STEP + STEP - 0.05)
    async with on_stage(clock=clock) as stage, asyncio.timeout(PATIENCE):
        words = "0 a second now, at most 0"
        while "0 a second now, at most 0" in words:  # what is told later than its step belongs to the next
            await stage.ask("/page")
            await asyncio.sleep(0.1)
            clock.advance(STEP)
            words = (await opened(stage.admin_url)).words
            clock.advance(2 * STEPS * STEP)


async def test_buttons_reload_and_set_the_level_of_all_workers(tmp_path: Path) -> None:
    async with processes(tmp_path, workers=2) as proxies:
        url = f"http://{proxies.admin}"
        form = (await opened(f"{url}/log-level?to=debug")).form
        assert (await pressed(f"{url}/log-level", form)).headers["Location"] == "/?done=debug"
        assert "writes debug and above" in (await opened(url)).words

        form = (await opened(f"{url}/reload")).form
        assert (await pressed(f"{url}/reload", form)).headers["Location"] == "/?done=reloaded"
        assert "generation 2 serves" in (await until_it_says(url, "writes info and above")).words

        form = (await opened(f"{url}/reload")).form
        proxies.write(upstreams={"/": "nonsense<b>"})
        told = await pressed(f"{url}/reload", form)
        assert told.status == 422
        assert "The proxy goes on as before" in told.words
        assert "a URL begins with http:// or https://" in told.words
        assert "<b>" not in told.text
        shown = await opened(url)
        assert "Not well: configuration" in shown.words
        assert "generation 2 serves" in shown.words


async def test_a_certificate_that_ends_soon_is_said_on_top(tmp_path: Path) -> None:
    Authority().write(tmp_path / "site", "localhost", ends=datetime.fromtimestamp(NOW + 3.5 * DAY, UTC))
    async with on_stage(tls={"cert": f"{tmp_path}/site.crt", "key": f"{tmp_path}/site.key"}) as stage:
        shown = await opened(stage.admin_url)
        assert f"Have a look: certificate {tmp_path.name}/site.crt" in shown.words
        assert "good for 3 days" in shown.words
        assert "visitors by https at" in shown.words
        stage.clock.advance(4 * DAY)
        assert f"Not well: certificate {tmp_path.name}/site.crt" in (await opened(stage.admin_url)).words


async def test_a_store_that_is_away_is_said_on_top() -> None:
    async with redis_server() as server, on_stage(session={"store": server.url}) as stage:
        assert "store ✓ good it answers" in (await opened(stage.admin_url)).words
        await server.kill()
        shown = await until_it_says(stage.admin_url, "Not well: store")
        assert "it does not answer" in shown.words
        assert "The store does not answer: others may be signed in." in shown.words
        assert "Nobody is signed in" not in shown.words


async def test_while_it_stops_the_page_says_so_and_buttons_do_nothing(tmp_path: Path) -> None:
    async with processes(tmp_path, drain_delay="20s") as proxies:
        url = f"http://{proxies.admin}"
        form = (await opened(f"{url}/reload")).form
        os.kill(proxies.parent, signal.SIGTERM)
        await proxies.unready()
        assert "Not well: processes" in (await opened(url)).words
        told = await pressed(f"{url}/reload", form)
        assert (told.status, "it is stopping" in told.words) == (503, True)


def requests(shown: Shown) -> int:
    """How many requests the page has counted."""
    return int(shown.words.partition(" requests in the last 15 minutes")[0].rpartition(" ")[2].replace(",", ""))


async def test_a_tool_that_only_fails_and_an_app_that_frame_io_refuses_are_said_on_top(visitor: Visitor) -> None:
    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=500)

    tool = web.Application()
    tool.router.add_get("/{path:.*}", broken)
    async with on_stage(
        tool=tool, upstreams={"/": "TOOL", "/gone/": "http://127.0.0.1:1"}, access={"public": ["/", "/gone/*"]}
    ) as stage:
        for path in ("/", "/gone/x"):
            await stage.ask(path)
        shown = await opened(stage.admin_url)
        assert "Not well: tool of /, tool of /gone/" in shown.words
        assert "1 answer and 0 failures in the last 5 minutes, 1 answer being 5xx" in shown.words
        assert "500 by tool just now 1 the tool's own answer GET /" in shown.words
        stage.frameio.register(App("studio", "another", (f"{stage.url}/oauth2/callback",)))
        await visitor.login(f"{stage.url}/oauth2/start")
        shown = await opened(stage.admin_url)
        assert "Frame.io ✗ bad it refuses this app" in shown.words
        assert "logins ! look 0 logins in the last 15 minutes, besides those that failed:" in shown.words
        stage.clock.advance(320)
        assert "tool of / ✓ good not asked in the last 5 minutes" in (await opened(stage.admin_url)).words
