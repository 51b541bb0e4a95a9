"""Ten thousand requests of mixed trouble; three questions are answered by log, audit stream and metrics alone."""

import asyncio
import json
import subprocess
from collections import Counter
from typing import Any

import pytest

from oauth_proxy.demo.people import GUEST, REVIEWER
from tests.support.ten_thousand import KINDS, SLOW, TOTAL, Told, a_person, played
from tests.test_readme import OPERATING, blocks


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Ten thousand requests through two workers, and all that was told of them."""
    return asyncio.run(played(tmp_path_factory.mktemp("ten-thousand")))


def test_every_request_is_one_line_and_the_counters_add_up_to_what_clients_saw(told: Told) -> None:
    assert len(told.lines) == len(told.by_id) == len(told.planted) + told.nameless == TOTAL
    assert told.metrics["oauth_proxy_log_lines_dropped_total"] == 0
    for name, each in told.planted.items():
        assert told.by_id[name]["status"] == each.status or each.status is None, (each, told.by_id[name])
    answered = Counter((str(line["status"]), line["by"]) for line in told.lines)
    assert told.sums("oauth_proxy_requests_total", "code", "by") == answered
    refused = Counter((line["failure"],) for line in told.lines if "failure" in line)
    assert told.sums("oauth_proxy_refusals_total", "reason") == refused


@pytest.mark.parametrize("kind", KINDS)
def test_why_was_this_visitor_refused(told: Told, kind: str) -> None:
    expected = KINDS[kind]
    assert told.of(kind)
    for name, each in told.of(kind).items():
        line = told.by_id[name]
        assert (line["status"], line["by"], line.get("failure")) == (
            expected.status,
            expected.by,
            expected.failure,
        )
        assert line.get("upstream") == (expected.upstream or line.get("upstream"))
        assert line["client"] == each.client
        assert each.user is None or line.get("user") == each.user, line
        if expected.why is None:
            assert "cause" not in line, line
        else:
            assert line["cause"].startswith(expected.why), line


def test_why_was_this_person_refused_by_their_id_alone(told: Told) -> None:
    seen = Counter(line.get("failure") for line in told.lines if line.get("user") == REVIEWER.id)
    assert seen == {"not_allowed": 200, None: 1}, "and once, they signed in"
    audited = [line for line in told.audit if line.get("user") == REVIEWER.id and line["event"] != "sign_in"]
    why = "no rule of upstreams./staff/.allow fits: a mailbox at studio.example.com"
    assert {(line["event"], line["email"], line["why"]) for line in audited} == {
        ("refused_by_rule", REVIEWER.email, why)
    }
    assert {line["request_id"] for line in audited} <= told.of("not for this tool").keys()


def test_who_came_who_left_and_whom_somebody_ended_is_audited_once_each(told: Told) -> None:
    events = Counter((line["event"], line["by"]) for line in told.audit)
    logins = told.sums("oauth_proxy_logins_total", "result")
    assert events["sign_in", "visitor"] == len(told.of("signs in")) == logins["signed_in",]
    assert logins["consent_refused",] == 1
    assert events["sign_out", "visitor"] == told.metrics["oauth_proxy_sign_outs_total"] == 1
    assert [line["subject"] for line in told.audit if line["event"] == "revoke"] == [a_person(51).email]
    ended = Counter((line["by"], line["user"]) for line in told.audit if line["event"] == "session_ended")
    assert ended == {("proxy", GUEST.id): 1, ("provider", a_person(65).id): 1}


def test_who_saw_502s_and_why(told: Told) -> None:
    tools_own = [line for line in told.lines if line["status"] in (502, 504) and line["by"] == "tool"]
    ours = [line for line in told.lines if line["status"] in (502, 504) and line["by"] == "proxy"]
    assert {line["user"] for line in [*ours, *tools_own]} == {a_person(0).id}
    assert Counter(line["upstream"] for line in tools_own) == {"/own/": 100}
    why = Counter((line["upstream"], line["failure"].removeprefix("upstream_")) for line in ours)
    half = [line for line in told.lines if line.get("cause", "").startswith("cut short: ")]
    why["/half/", "cut_short"] = len(half)
    assert why == {
        ("/down/", "unreachable"): 200,
        ("/hangs_up/", "hung_up"): 100,
        ("/nonsense/", "nonsense"): 50,
        ("/hang/", "timeout"): 60,
        ("/half/", "cut_short"): 50,
    }
    assert told.sums("oauth_proxy_upstream_errors_total", "upstream", "kind") == why
    left = told.sums("oauth_proxy_upstream_abandoned_total", "upstream", "reason")
    assert left == {("/slow/", "visitor_left"): len(told.of("gives up"))}


def test_is_frameio_slow(told: Told) -> None:
    waited = {line["request_id"] for line in told.lines if line.get("identity_seconds", 0) >= SLOW}
    assert waited == told.of("frameio slow").keys()
    slow = [line for line in told.lines if line["seconds"] >= SLOW / 2 and line["request_id"] not in waited]
    assert {line.get("upstream") for line in slow} >= {"/hang/"}, "others wait for a tool"
    calls = told.sums("oauth_proxy_provider_calls_total", "call", "result")
    assert calls["refresh", "ok"] == 3
    assert calls["refresh", "provider_away"] == 2
    assert calls["refresh", "grant_ended"] == 1
    assert calls["refresh", "provider_busy"] == 2
    bucket = "oauth_proxy_provider_call_duration_seconds"
    over = (
        told.metrics[f'{bucket}_count{{call="refresh"}}']
        - told.metrics[f'{bucket}_bucket{{call="refresh",le="0.5"}}']
    )
    assert over == 3
    assert told.sums("oauth_proxy_refreshes_total", "result") == {("done",): 3, ("failed",): 4, ("ended",): 1}


def asked(filter_: str, lines: list[str], **known: str) -> list[Any]:
    """What jq answers to a filter of the manual, with what is known in the place of its capitals."""
    for name, value in known.items():
        filter_ = filter_.replace(name, value)
    options = "-sc" if filter_.startswith("map(") else "-c"
    done = subprocess.run(  # noqa: S603 Debian's
        ["jq", options, filter_],  # noqa: S607
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_manuals_filters_answer_the_same_questions(told: Told) -> None:
    """Each line of the section, in its order."""
    ended, forty = a_person(65), a_person(50)
    filters = iter("".join(blocks(OPERATING, "jq")).splitlines())

    [one] = asked(next(filters), told.log, REQUEST=next(iter(told.of("not for this tool"))))
    assert (one["status"], one["failure"], one["user"]) == (403, "not_allowed", REVIEWER.id)
    mine = asked(next(filters), told.log, PERSON=forty.id)
    assert {tuple(each[1:]) for each in mine} == {(401, "/", "sign_in_required", "no session: an ended session")}
    assert len(mine) == 200
    assert len(asked(next(filters), told.log, ADDRESS="192.0.2.3")) == len(told.of("foreign"))

    [[_, event, by, why]] = asked(by_person := next(filters), told.audit_log, PERSON=ended.id)
    assert (event, by) == ("session_ended", "provider")
    assert "invalid_grant" in why
    [[_, event, by, _]] = asked(by_person, told.audit_log, PERSON=forty.id)
    assert (event, by) == ("sign_out", "visitor")
    assert [each[1:] for each in asked(next(filters), told.audit_log)] == [["operator", a_person(51).email]]

    assert len(asked(next(filters), told.log)) == len(told.of("own"))
    ours = told.of("down", "hangs up", "nonsense", "hang", "frameio down", "frameio busy")
    assert len(asked(next(filters), told.log)) == len(ours)
    assert len(asked(next(filters), told.log)) == len(told.of("half"))
    [table] = asked(next(filters), told.log)
    assert ["/hang/", "upstream_timeout", 60, [a_person(0).id]] in table
    assert [None, "provider_away", 2, sorted(a_person(number).id for number in (63, 64))] in table

    waited = [each for each in asked(next(filters), told.log) if each[1] >= SLOW]
    assert {user for *_, user in waited} == {a_person(number).id for number in (60, 61, 62)}
    assert len(asked(next(filters), told.log)) == len(told.of("signs in", "says no"))
    assert not list(filters)
