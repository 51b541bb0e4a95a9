"""Who is asking: the quick answer is the full one, whatever happened before."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oauth_proxy.assembly import cookies_for
from oauth_proxy.cookies import RequestCookies
from oauth_proxy.demo.faults import Fault
from oauth_proxy.demo.people import EDITOR
from oauth_proxy.errors import ProxyError
from oauth_proxy.headers import Fields
from tests.support.browser import Visitor
from tests.support.proxy import Stage, on_stage
from tests.support.sessions import signed_in
from tests.support.units import HOUR

WAITS = st.sampled_from([1.0, 40.0, 900.0, HOUR - 70, HOUR - 30, HOUR, 3 * HOUR, 26 * HOUR])


@dataclass(frozen=True)
class Ask:
    """A request with one of the cookies that the visitor ever had."""

    which: int


@dataclass(frozen=True)
class Wait:
    """Time passes; `wrong` is by how much the machine's clock is wrong from then on."""

    seconds: float
    wrong: float


@dataclass(frozen=True)
class Fail:
    """Frame.io's next answer of a kind goes wrong."""

    endpoint: str
    fault: Fault


@dataclass(frozen=True)
class Revocation:
    """The visitor signs out with one of their cookies, or Frame.io ends the grant."""

    which: int
    by_frameio: bool


Step = Ask | Wait | Fail | Revocation
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.builds(Ask, st.integers(0, 9)),
        st.builds(Wait, WAITS, st.sampled_from([0.0, 0.0, -HOUR, HOUR])),
        st.builds(Fail, st.sampled_from(["token", "me"]), st.sampled_from([Fault.SERVER_ERROR, Fault.DISCONNECT])),
        st.builds(Revocation, st.integers(0, 9), st.booleans()),
    ),
    min_size=3,
    max_size=12,
)


class Browser:
    """Somebody who is signed in, and all cookies they ever had."""

    def __init__(self, stage: Stage, line: str) -> None:
        self._stage = stage
        self.lines = [line]
        self._cookies = cookies_for(stage.settings)

    def received(self, line: str) -> RequestCookies:
        return self._cookies.read(Fields([(b"Cookie", line.removeprefix("Cookie: ").encode())]))

    async def play(self, step: Step) -> None:
        match step:
            case Ask(which):
                answer = await self._stage.ask("/echo", self.lines[which % len(self.lines)])
                if answer.status == 200 and (pairs := answer.all("Set-Cookie")):
                    self.lines.append("Cookie: " + "; ".join(pair.partition(";")[0] for pair in pairs))
            case Wait(seconds, wrong):
                self._stage.clock.advance(seconds)
                self._stage.clock.wrong = wrong
                await self._stage.proxy.look()
            case Fail(endpoint, fault):
                self._stage.frameio.faults.plan(endpoint, fault, 1)
            case Revocation(which, by_frameio):
                if by_frameio:
                    self._stage.frameio.revoke_all(EDITOR)
                else:
                    line = self.lines[which % len(self.lines)]
                    await self._stage.ask(
                        "/oauth2/sign_out", line, "Sec-Fetch-Site: none", "Sec-Fetch-Dest: document"
                    )

    async def check(self) -> int:
        """How many cookies had a quick answer; each of those was the full one, for which nothing was asked."""
        sessions, quick = self._stage.proxy.sessions, 0
        for line in self.lines:
            visit = sessions.cached(self.received(line))
            if visit is not None:
                calls = self._stage.frameio.calls.total()
                assert visit == await sessions.resume(self.received(line))
                assert self._stage.frameio.calls.total() == calls
                quick += 1
        return quick


async def played(steps: list[Step]) -> None:
    async with on_stage(session={"lifetime": "2d", "idle": "1d"}) as stage, AsyncExitStack() as stack:
        visitor = await stack.enter_async_context(Visitor())
        browser = Browser(stage, await signed_in(stage, visitor))
        await browser.play(Ask(0))
        assert await browser.check() == 1, "there is a quick answer, or nothing is compared"
        for step in steps:
            await browser.play(step)
            await browser.check()
            try:
                await stage.proxy.sessions.resume(browser.received(browser.lines[0]))
            except ProxyError:
                continue
            await browser.check()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_the_quick_answer_is_the_full_one(steps: list[Step]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(played(steps))
