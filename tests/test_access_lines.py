"""The access line alone says what became of a request, for whom, by whom and why."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientSession

from oauth_proxy.demo.faults import Fault
from oauth_proxy.demo.people import EDITOR
from tests.support.browser import NAVIGATING, Visitor
from tests.support.proxy import SCRIPT, STUDIO, WANTED, RawAnswer, Stage, free_port, on_stage
from tests.support.raw_http import wired
from tests.support.sessions import signed_in
from tests.support.tool import until
from tests.support.units import DAY, HOUR

LINES = {"access": "true", "format": "json"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

Told = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """The access lines since the last call, as a program reads them."""
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


async def line_of(told: Told) -> dict[str, Any]:
    """The only line since the last one, once it is written."""
    lines: list[dict[str, Any]] = []

    def came() -> bool:
        lines.extend(told())
        return bool(lines)

    await until(came)
    [line] = lines
    return line


async def test_a_line_has_its_facts_as_fields(visitor: Visitor, told: Told) -> None:
    async with on_stage(log=LINES) as stage:
        cookie = await signed_in(stage, visitor)
        told()
        await stage.ask("/echo?secret=value", cookie)
        line = await line_of(told)
    facts = {"status": 200, "method": "GET", "path": "/echo", "user": EDITOR.id, "upstream": "/", "by": "tool"}
    assert facts.items() <= line.items()
    assert {"client", "request_id", "bytes", "seconds"} <= line.keys()
    assert not {"email", "cause", "trace_id"} & line.keys()


async def test_the_email_address_is_in_a_line_only_if_that_is_asked_for(visitor: Visitor, told: Told) -> None:
    async with on_stage(log={**LINES, "email": "true"}) as stage:
        cookie = await signed_in(stage, visitor)
        told()
        await stage.ask("/echo", cookie)
        assert (await line_of(told))["email"] == EDITOR.email


async def test_a_401_says_which_kind_of_stranger_it_was(visitor: Visitor, told: Told) -> None:
    async with on_stage(log=LINES) as stage:
        cookie = await signed_in(stage, visitor)
        name, _, value = cookie.removeprefix("Cookie: ").partition("=")
        told()

        async def why(*lines: str) -> str:
            assert (await stage.ask("/x", *SCRIPT, *lines)).status == 401
            return str((await line_of(told))["cause"]).removeprefix("no session: ").partition(",")[0]

        assert await why() == "no cookie"
        assert await why("Cookie: theirs=1") == "no cookie"
        assert await why(f"Cookie: {name}=1.{'A' * 200}") == "a foreign cookie"
        assert await why(f"{cookie}; {name}={value}x") == "a repeated cookie"
        assert await why(f"Cookie: {name}=2.{'A' * 200}") == "an incomplete cookie"
        assert (await stage.ask("/oauth2/sign_out", cookie, WANTED)).status == 200
        await line_of(told)
        assert await why(cookie) == "an ended session"
        again = await signed_in(stage, visitor)
        told()
        stage.clock.advance(8 * DAY)
        assert await why(again) == "an expired session"
        assert (await stage.ask("/x", again, *NAVIGATING)).status == 302
        line = await line_of(told)
        assert (line["status"], line["cause"]) == (302, "no session: an expired session")


async def test_a_403_says_which_rules_were_tried_and_names_no_mailbox(visitor: Visitor, told: Told) -> None:
    member = {"account": "2f1c7d0e-5b7a-4a52-9d3c-1f6d5c1f4b20", "role": "owner"}
    rules = [*STUDIO["allow"], {"email": "jo@else.example.com"}, {"email": "al@else.example.com"}, member]
    async with on_stage(log=LINES, access={"allow": rules}) as stage:
        assert (await visitor.login(f"{stage.url}/echo", "Guest")).status == 403
    line = next(line for line in told() if line["status"] == 403)
    assert line["cause"] == (
        "no rule of access.allow fits: *@studio.example.com, a mailbox at else.example.com (2 times), "
        "account 2f1c7d0e-5b7a-4a52-9d3c-1f6d5c1f4b20 as owner"
    )
    assert line["user"]
    assert line["by"] == "proxy"


@pytest.mark.parametrize(
    ("host", "named"),
    [("evil.com", "evil.com"), ("jo:pass-word@evil.com/x?y", "evil.com"), ("e" * 300, "e" * 100), ("", "(none)")],
)
async def test_a_421_says_which_host_was_asked_for(told: Told, host: str, named: str) -> None:
    async with on_stage(log=LINES) as stage:
        head = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        assert RawAnswer.read(await stage.raw(head.encode())).status == 421
        line = await line_of(told)
    assert (line["status"], line["cause"]) == (421, f"the Host header names another site: {named}")


async def test_each_502_made_here_says_why_however_many_there_are(visitor: Visitor, told: Told) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    async with on_stage(log=LINES, upstreams={"/": "TOOL", "/render/": nowhere}) as stage:
        cookie = await signed_in(stage, visitor)
        told()
        for _ in range(25):
            await stage.ask("/render/x", cookie)
        lines = told()
    assert len(lines) >= 24, "the last one may not be written yet"
    for line in lines:
        assert (line["status"], line["by"], line["upstream"]) == (502, "proxy", "/render/")
        assert "refused" in line["cause"] or "connect" in line["cause"], line


async def test_a_visitor_who_gave_up_on_a_slow_tool_is_a_line_and_counted(visitor: Visitor, told: Told) -> None:
    async with wired(log=LINES) as wire:
        login = await wire.login(visitor, "/page")
        told()
        wire.tool.may_answer.clear()
        before = len(wire.tool.heard)
        async with wire.connected() as (_, writer):
            writer.write(wire.request("/slow", login.cookie))
            await until(lambda: len(wire.tool.heard) > before)
        line = await line_of(told)
        assert (line["status"], line["by"], line["cause"]) == (499, "proxy", "the client went away")
        assert (line["user"], line["upstream"], line["path"]) == (EDITOR.id, "/", "/slow")
        async with ClientSession() as http, http.get(f"{wire.stage.admin_url}/metrics") as answer:
            assert 'oauth_proxy_requests_total{by="proxy",code="499"} 1.0' in await answer.text()
        wire.tool.may_answer.set()


async def request_id(stage: Stage, *lines: str) -> str:
    """The id that a request has at the tool."""
    answer = await stage.ask("/healthz", *lines)
    return str(dict(json.loads(answer.body)["headers"])["X-Request-Id"])


PUBLIC: dict[str, Any] = {"access": {"public": ["/healthz"]}, "upstreams": {"/": "TOOL/echo/"}}


async def test_the_front_s_request_id_is_kept_and_a_stranger_s_is_not(told: Told) -> None:
    async with on_stage(log=LINES, trusted_proxies=["127.0.0.0/8"], **PUBLIC) as stage:
        assert await request_id(stage, "X-Request-Id: 6f2c/a-front=7") == "6f2c/a-front=7"
        assert (await line_of(told))["request_id"] == "6f2c/a-front=7"
        for odd in ["a b", '"', "x" * 129, "é", "", "<x>"]:
            assert await request_id(stage, f"X-Request-Id: {odd}") != odd
        assert await request_id(stage, "X-Request-Id: one", "X-Request-Id: two") not in ("one", "two")
    async with on_stage(log=LINES, **PUBLIC) as stage:
        assert await request_id(stage, "X-Request-Id: 6f2c") != "6f2c"


async def trace(stage: Stage, *lines: str) -> list[str]:
    """What the tool hears of traces."""
    answer = await stage.ask("/healthz", *lines)
    return [value for name, value in json.loads(answer.body)["headers"] if name.lower().startswith("trace")]


@pytest.mark.parametrize("sent", [f"00-{TRACE}-00f067aa0ba902b7-01", f"00-{TRACE}-00f067aa0ba902b7-00", "x"])
async def test_a_trace_passes_as_it_is_and_none_is_made_unasked(sent: str) -> None:
    async with on_stage(**PUBLIC) as stage:
        assert await trace(stage, f"traceparent: {sent}", "tracestate: a=b") == [sent, "a=b"]
        assert await trace(stage) == []


async def test_a_trace_begins_here_where_none_came_and_the_line_names_it(told: Told) -> None:
    ours = {**LINES, "trace": "true"}
    async with on_stage(log=ours, **PUBLIC) as stage:
        sent = f"00-{TRACE}-00f067aa0ba902b7-01"
        assert await trace(stage, f"traceparent: {sent}", "tracestate: a=b") == [sent, "a=b"]
        assert (await line_of(told))["trace_id"] == TRACE
        for bad in (f"00-{'0' * 32}-00f067aa0ba902b7-01", "ff" + sent[2:], f"{sent}-more", "x"):
            [made] = await trace(stage, f"traceparent: {bad}", "tracestate: a=b")
            assert (await line_of(told))["trace_id"] == made.split("-")[1] != TRACE
        [first], [second] = await trace(stage), await trace(stage)
        assert first != second


async def test_a_refusal_s_own_line_has_the_facts_too(visitor: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    async with on_stage(upstreams={"/": "TOOL", "/render/": f"http://127.0.0.1:{free_port()}"}) as stage:
        cookie = await signed_in(stage, visitor)
        await stage.ask("/render/x", cookie)
    [record] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert (record.__dict__["user"], record.__dict__["upstream"]) == (EDITOR.id, "/render/")
    assert record.__dict__["cause"] == record.getMessage()


async def test_a_line_names_what_was_refused_as_the_answer_and_the_metrics_do(told: Told) -> None:
    async with on_stage(log=LINES) as stage:
        answer = await stage.ask("/x", *SCRIPT)
        line = await line_of(told)
        assert line["failure"] == json.loads(answer.body)["error"] == "sign_in_required"
        async with ClientSession() as http, http.get(f"{stage.admin_url}/metrics") as metrics:
            assert 'oauth_proxy_refusals_total{reason="sign_in_required"} 1.0' in await metrics.text()


async def test_whose_session_is_over_or_cannot_be_refreshed_is_named(visitor: Visitor, told: Told) -> None:
    async with on_stage(log=LINES) as stage:
        cookie = await signed_in(stage, visitor)
        stage.frameio.faults.plan("token:refresh_token", Fault.SERVER_ERROR)
        stage.clock.advance(2 * HOUR)
        told()
        assert (await stage.ask("/x", cookie, *SCRIPT)).status == 503
        line = await line_of(told)
        assert (line["user"], line["failure"]) == (EDITOR.id, "provider_away")
        await stage.ask("/oauth2/sign_out", cookie, WANTED)
        told()
        for lines_sent in (SCRIPT, NAVIGATING):
            await stage.ask("/x", cookie, *lines_sent)
            assert (await line_of(told))["user"] == EDITOR.id
        await stage.ask("/x", "Cookie: oauth_proxy=1." + "A" * 200, *SCRIPT)
        assert "user" not in await line_of(told)


async def test_who_waited_for_frameio_is_told_and_who_waited_for_the_tool_is_not(
    visitor: Visitor, told: Told
) -> None:
    async with on_stage(log=LINES) as stage:
        cookie = await signed_in(stage, visitor)
        stage.frameio.faults.delay("token:refresh_token", 0.15)
        stage.clock.advance(2 * HOUR)
        told()
        await stage.ask("/echo", cookie)
        line = await line_of(told)
        assert 0.1 <= line["identity_seconds"] <= line["seconds"]
        await stage.ask("/echo")
        assert "identity_seconds" not in await line_of(told)
