"""The last minute of a token: a request is served with a living token or told to wait, whatever Frame.io does."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from oauth_proxy.demo.faults import Fault
from tests.session.test_interleavings import run
from tests.support.browser import Visitor
from tests.support.crowd import Alive, living_only
from tests.support.login import complaints
from tests.support.proxy import RawAnswer, Stage, on_stage
from tests.support.sessions import new_cookie_line, refreshes, signed_in
from tests.support.units import HOUR

PATIENCE, DEADLINE = 0.06, 0.3
"""Of the proxy in these tests, seconds: what takes three and ten elsewhere."""
DELAYS = st.sampled_from([0.0, 0.01, 0.15, 0.5])
LEFT = st.one_of(
    st.floats(0, 60, allow_nan=False), st.sampled_from([0.0, 0.001, 0.5, 1.0, 2.0, 2.999, 3.0, 3.001, 59.0, 60.0])
)
FAILURES = [
    *(Fault.SERVER_ERROR, Fault.DISCONNECT, Fault.HTML, Fault.NOT_AN_OBJECT, Fault.NO_ACCESS_TOKEN),
    *(Fault.TOO_MANY_REQUESTS, Fault.ECHO),
]
"""None of them says that a token is not good."""


@dataclass(frozen=True)
class Trouble:
    """How Frame.io answers, `left` seconds before a token ends, while `passes` seconds go by."""

    left: float
    passes: float
    refresh_takes: float
    profile_takes: float
    refresh: Fault | None
    profile: Fault | None
    times: int


TROUBLES = st.builds(
    Trouble,
    LEFT,
    st.sampled_from([0.0, 1.0, 2.5, 3.5, 70.0]),
    DELAYS,
    DELAYS,
    st.sampled_from([None, None, *FAILURES, Fault.INVALID_CLIENT]),
    st.sampled_from([None, *FAILURES]),
    st.sampled_from([1, 2, 9]),
)


async def lived_through(trouble: Trouble) -> None:
    alive = Alive()
    async with on_stage(tool=living_only(alive)) as stage, Visitor() as visitor:
        alive.stage = stage
        cookie = await signed_in(stage, visitor)
        faults = stage.frameio.faults
        faults.delay("token", trouble.refresh_takes)
        faults.delay("me", trouble.profile_takes)
        for endpoint, fault in (("token", trouble.refresh), ("me", trouble.profile)):
            if fault is not None:
                faults.plan(endpoint, fault, trouble.times)
        stage.clock.advance(HOUR - trouble.left)
        await asked_for_a_while(stage, cookie, trouble)
        await stage.proxy.refresher.close()
        faults.clear()
        stage.clock.advance(61)
        await asyncio.sleep(trouble.refresh_takes)  # what was given up on is done all the same
        answer = await stage.ask("/last", cookie)
        lost = trouble.refresh_takes > DEADLINE  # Frame.io answered too late, so nobody has the tokens
        assert answer.status == 200 or (lost and answer.status == 401), answer


async def asked_for_a_while(stage: Stage, cookie: str, trouble: Trouble) -> None:
    """Five at once, time that passes, and five more with whatever cookie they have by then."""
    before = refreshes(stage)
    waiting = [asyncio.create_task(stage.ask(f"/first?{n}", cookie)) for n in range(5)]
    await asyncio.sleep(0.02)
    stage.clock.advance(trouble.passes)
    answers = await asyncio.gather(*waiting)
    ran_out = trouble.passes >= trouble.left
    judge(answers, on_the_way=ran_out or trouble.refresh_takes > 0 or refreshes(stage) > before)
    if answers[0].all("Set-Cookie"):
        cookie = new_cookie_line(answers[0])
    await stage.proxy.look()
    before = refreshes(stage)
    answers = await asyncio.gather(*(stage.ask(f"/second?{n}", cookie) for n in range(5)))
    judge(answers, on_the_way=trouble.refresh_takes > 0 or refreshes(stage) > before)


def judge(answers: list[RawAnswer], *, on_the_way: bool) -> None:
    """Served or asked to wait. The tool's 418: the token died, or was killed by a refresh, `on_the_way` to it."""
    for answer in answers:
        assert answer.status in (200, 502, 503) or (answer.status == 418 and on_the_way), answer
        assert answer.status in (200, 418) or int(answer.get("Retry-After") or 0) > 0


@settings(
    max_examples=40,
    phases=[Phase.explicit, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(TROUBLES)
@example(Trouble(2.0, 2.5, 0.15, 0.0, None, None, 1))  # was a TimeoutError and a traceback
@example(Trouble(30.0, 70.0, 0.15, 0.15, None, Fault.SERVER_ERROR, 9))
def test_at_no_point_of_a_tokens_last_minute_is_anything_but_served_or_asked_to_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, trouble: Trouble
) -> None:
    caplog.clear()
    monkeypatch.setattr("oauth_proxy.session.flights.PATIENCE", PATIENCE)
    monkeypatch.setattr("oauth_proxy.provider.calls.DEADLINE", DEADLINE)
    run(lived_through(trouble))
    assert not [line for line in complaints(caplog) if "a fault of ours" in line or "Traceback" in line]
