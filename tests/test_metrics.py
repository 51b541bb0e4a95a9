"""What /metrics says after what has happened, over one worker and several."""

import asyncio
import os
import re
import signal
from pathlib import Path

import aiohttp
import pytest

from oauth_proxy.demo.faults import Fault
from oauth_proxy.demo.people import EDITOR
from oauth_proxy.telemetry import Metrics, distinct, drawn, exposition, merged, snapshot
from oauth_proxy.telemetry.counts import code
from tests.support.browser import NAVIGATING, Visitor
from tests.support.login import at_the_door
from tests.support.metrics import exposed, metrics
from tests.support.processes import processes, worker_of
from tests.support.proxy import SCRIPT, Stage, on_stage
from tests.support.sessions import signed_in
from tests.support.tool import until
from tests.support.units import HOUR, PATIENCE


async def grown(stage: Stage, before: dict[str, float], *names: str) -> dict[str, float]:
    """What has changed since then of the metrics whose names begin with these."""
    after = await metrics(stage.admin_url)
    changed = {name: after[name] - before.get(name, 0) for name in after if name.startswith(names)}
    return {name: number for name, number in changed.items() if number}


async def test_a_login_is_counted_when_it_starts_and_by_how_it_ends(stage: Stage, visitor: Visitor) -> None:
    before = await metrics(stage.admin_url)
    assert (
        before["oauth_proxy_logins_started_total"] == before['oauth_proxy_logins_total{result="signed_in"}'] == 0
    )
    await visitor.login(f"{stage.url}/echo", consent=False)
    async with Visitor() as other:
        callback = await at_the_door(stage, other)
        await stage.ask(callback.removeprefix(stage.url), *NAVIGATING)  # from a browser without the cookie
        await stage.ask("/oauth2/callback?state=invented", *NAVIGATING)
        await other.get(callback)
    assert await grown(stage, before, "oauth_proxy_logins") == {
        "oauth_proxy_logins_started_total": 3,
        'oauth_proxy_logins_total{result="consent_refused"}': 1,
        'oauth_proxy_logins_total{result="begun_anew"}': 1,
        'oauth_proxy_logins_total{result="attempt_unknown"}': 1,
        'oauth_proxy_logins_total{result="signed_in"}': 1,
    }


async def test_refreshes_are_counted_as_done_shared_failed_or_ended(stage: Stage, visitor: Visitor) -> None:
    cookie = await signed_in(stage, visitor)
    before = await metrics(stage.admin_url)
    stage.clock.advance(HOUR + 1)
    await asyncio.gather(*(stage.ask("/echo", cookie) for _ in range(5)))
    name = "oauth_proxy_refreshes_total"
    assert await grown(stage, before, name) == {
        f'{name}{{result="done"}}': 1,
        f'{name}{{result="shared"}}': 4,
    }
    before = await metrics(stage.admin_url)
    stage.clock.advance(HOUR + 1)
    stage.frameio.faults.plan("token", Fault.HTML, 1)
    await stage.ask("/echo", cookie)
    stage.clock.advance(60)
    stage.frameio.revoke_all(EDITOR)
    await stage.ask("/echo", cookie)
    assert await grown(stage, before, name) == {f'{name}{{result="failed"}}': 1, f'{name}{{result="ended"}}': 1}


async def test_calls_to_frameio_have_durations_and_an_outage_shows(stage: Stage) -> None:
    cookies = []
    for _ in range(3):
        async with Visitor() as visitor:
            cookies.append(await signed_in(stage, visitor))
    first = await metrics(stage.admin_url)
    assert first['oauth_proxy_provider_call_duration_seconds_count{call="exchange"}'] == 3
    assert first['oauth_proxy_provider_up{endpoint="token"}'] == 1
    stage.clock.advance(HOUR + 1)
    stage.frameio.faults.plan("token", Fault.SERVER_ERROR)
    for cookie in cookies:
        await stage.ask("/echo", cookie)
    changed = await grown(stage, first, "oauth_proxy_provider_up", "oauth_proxy_provider_calls")
    assert changed == {
        'oauth_proxy_provider_up{endpoint="token"}': -1,
        'oauth_proxy_provider_calls_total{call="refresh",result="provider_away"}': 3,
    }


async def test_a_programs_wrong_token_is_no_grant_that_has_ended() -> None:
    async with on_stage(access={"bearer": "true"}) as stage:
        before = await metrics(stage.admin_url)
        await stage.ask("/echo", "Authorization: Bearer fio-u-wrong")
        assert await grown(stage, before, "oauth_proxy_provider_calls", "oauth_proxy_refusals") == {
            'oauth_proxy_provider_calls_total{call="profile",result="token_refused"}': 1,
            'oauth_proxy_refusals_total{reason="token_refused"}': 1,
        }


async def test_refusals_are_counted_by_their_reason(visitor: Visitor) -> None:
    async with on_stage(access={"allow": [{"email": "nobody@studio.example.com"}]}) as stage:
        await stage.ask("/echo", *SCRIPT)
        await stage.ask("/oauth2/nowhere")
        await stage.ask("/", method="TRACE")
        await stage.raw(b"GET / HTTP/1.1\r\nHost: elsewhere\r\nConnection: close\r\n\r\n")
        await stage.raw(b"nonsense\r\n\r\n")
        await visitor.login(f"{stage.url}/echo")
        assert await grown(stage, {}, "oauth_proxy_refusals") == {
            f'oauth_proxy_refusals_total{{reason="{reason}"}}': 1
            for reason in (
                *("bad_request", "method_not_allowed", "misdirected", "not_allowed"),
                *("not_found", "sign_in_required"),
            )
        }


async def test_a_stream_that_is_open_shows_and_when_it_ends_it_is_no_latency(
    stage: Stage, visitor: Visitor
) -> None:
    cookie = (await signed_in(stage, visitor)).removeprefix("Cookie: ")
    before = await metrics(stage.admin_url)
    headers = {"Cookie": cookie, "Origin": stage.url}
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{stage.url}/clock", headers=headers) as socket,
        http.get(f"{stage.url}/feed", headers={**headers, "Accept": "text/event-stream"}) as feed,
    ):
        await socket.receive_str()
        await feed.content.readany()
        opened = await grown(stage, before, "oauth_proxy_streams", "oauth_proxy_upstream_websockets")
        assert opened == {"oauth_proxy_streams": 2, 'oauth_proxy_upstream_websockets{upstream="/"}': 1}
    streams = "oauth_proxy_upstream_stream_duration_seconds_count"
    await until(lambda: not stage.proxy.open_exchanges.streams)
    assert await grown(
        stage, before, streams, "oauth_proxy_streams", "oauth_proxy_request_duration_seconds_c"
    ) == {
        f'{streams}{{kind="websocket",upstream="/"}}': 1,
        f'{streams}{{kind="events",upstream="/"}}': 1,
    }


async def test_a_session_was_seen_recently_for_a_quarter_of_an_hour_and_counts_once(stage: Stage) -> None:
    cookies = []
    for _ in range(2):
        async with Visitor() as visitor:
            cookies.append(await signed_in(stage, visitor))
        for path in ("/echo", "/echo", "/oauth2/auth"):
            await stage.ask(path, cookies[-1])
    stage.clock.advance(899)
    assert (await metrics(stage.admin_url))["oauth_proxy_recent_sessions"] == 2
    await stage.ask("/oauth2/auth", cookies[0])
    stage.clock.advance(2)
    assert (await metrics(stage.admin_url))["oauth_proxy_recent_sessions"] == 1


async def test_what_is_near_its_limit_shows_and_nothing_sent_makes_a_label(stage: Stage) -> None:
    for junk in ("/a", "/b?c", "/oauth2/d", "/%zz"):
        await stage.ask(junk, "X-Junk: junk", method="BREW")
    known = await metrics(stage.admin_url)
    for junk in ("/a2", "/b2?c", "/oauth2/d2", "/%z2"):
        await stage.ask(junk, "X-Junk: junk2", method="BREW2")
    after = await metrics(stage.admin_url)
    assert after.keys() == known.keys()
    used = {name: number for name, number in after.items() if name.startswith("oauth_proxy_limit_used_ratio")}
    shown = [re.findall('"(.*)"', name)[0] for name in used]
    assert shown == ["connections", "held_bodies", "held_forms", "descriptors"]
    assert all(0 <= number < 0.2 for number in used.values())
    assert (code(599), code(404), code(499), code(444)) == ("other", "404", "499", "444")


async def test_several_workers_count_as_one_and_a_dead_ones_counters_stay(
    tmp_path: Path, visitor: Visitor
) -> None:
    async with processes(tmp_path, workers=2) as proxies:
        cookie = (await signed_in(proxies.stage, visitor)).removeprefix("Cookie: ")
        headers = {"Cookie": cookie, "Host": f"localhost:{proxies.stage.port}"}
        asked: dict[str, int] = {}
        async with asyncio.timeout(PATIENCE):
            while len(asked) < 2:  # until both have seen the session
                async with (
                    aiohttp.ClientSession() as http,
                    http.get(f"{proxies.url}/echo", headers=headers) as each,
                ):
                    worker = worker_of(await each.read())
                asked[worker] = asked.get(worker, 0) + 1
        before = await proxies.metrics()
        assert before["oauth_proxy_recent_sessions"] == 1
        assert sum(value for name, value in before.items() if name.startswith("oauth_proxy_build_info")) == 1
        answered = 'oauth_proxy_upstream_requests_total{code="200",upstream="/"}'
        assert before[answered] == before['oauth_proxy_requests_total{by="tool",code="200"}'] >= 2
        assert before["process_resident_memory_bytes"] > 3 * 10_000_000, "the parent and two workers"
        assert before['oauth_proxy_provider_up{endpoint="token"}'] == 1
        killed = proxies.workers[0]
        os.kill(killed, signal.SIGKILL)
        await until(lambda: killed not in proxies.workers and len(proxies.workers) == 2)
        after = await proxies.metrics()
        assert after[answered] == before[answered]
        assert after["process_cpu_seconds_total"] >= before["process_cpu_seconds_total"]
        assert after["process_start_time_seconds"] == before["process_start_time_seconds"]


def test_of_states_the_worst_counts_and_numbers_are_added() -> None:
    def told(number: float) -> list[list[object]]:
        return [
            [name, "", "gauge", [[name, [["a", "b"]], number]]]
            for name in (
                "x_up",
                "x_ratio",
                "x_info",
                "x_bytes",
                "x_timestamp_seconds",
                "process_start_time_seconds",
            )
        ]

    text = exposition(merged([told(1), told(3)])).decode()
    assert dict(line.split(" ") for line in text.splitlines() if line[0] != "#") == {
        'x_up{a="b"}': "1.0",
        'x_ratio{a="b"}': "3.0",
        'x_info{a="b"}': "3.0",
        'x_bytes{a="b"}': "4.0",
        'x_timestamp_seconds{a="b"}': "1.0",
        'process_start_time_seconds{a="b"}': "1.0",
    }


@pytest.mark.parametrize(("each", "together", "wrong_by"), [(10, 15, 0), (600, 900, 0), (40_000, 60_000, 0.1)])
def test_what_two_have_seen_is_counted_once_exactly_while_it_is_little(
    each: int, together: int, wrong_by: float
) -> None:
    one = drawn(f"session {number}" for number in range(each))
    other = drawn(f"session {number}" for number in range(each // 2, each // 2 + each))
    assert abs(distinct([one, other]) - together) <= wrong_by * together
    assert len(one) <= 1024


async def test_the_text_is_what_prometheus_reads(stage: Stage) -> None:
    text = await exposed(stage.admin_url)
    assert not [line for line in text.splitlines() if "_created" in line]
    assert len(re.findall(r"^# TYPE", text, re.MULTILINE)) > 30


def test_a_certificate_whose_path_is_no_text_is_shown_beside_all_else() -> None:
    """There was no page at all, as it could not be written."""
    shown = Metrics("1.0")
    shown.show_certificates(lambda: {os.fsdecode(b"/N\xe9x/tls.crt"): 1.0, "/N\xf6x/tls.crt": 2.0})
    text = exposition(snapshot(shown.registry)).decode()
    assert r'{file="/N\\udce9x/tls.crt"} 1.0' in text
    assert '{file="/N\xf6x/tls.crt"} 2.0' in text
