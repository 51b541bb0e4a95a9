"""Any order of requests, failures, delays, restarts, hours and steps of the clock: no refresh token comes twice.

What happened is read off the emulated Frame.io, which revokes the whole grant when a refresh token comes twice.
"""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from urllib.parse import parse_qsl

import pytest
import uvloop
from aiohttp import web
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from oauth_proxy.demo.faults import Fault, Faults, Handler
from oauth_proxy.demo.grants import Grant
from oauth_proxy.demo.tokens import TokenRequest
from tests.support.browser import Visitor
from tests.support.proxy import RawAnswer, Stage, on_stage, replica
from tests.support.redis import needs_redis, redis_server
from tests.support.sessions import bearer, new_cookie_line, signed_in
from tests.support.units import HOUR

PEOPLE = ("Editor", "Reviewer")


@dataclass(frozen=True)
class Ask:
    """`count` requests of somebody at once, with an old cookie or the newest; the answers may be lost."""

    who: int
    count: int
    old: bool
    lost: bool


@dataclass(frozen=True)
class HangUp:
    """A request of somebody who does not wait for the answer."""

    who: int


@dataclass(frozen=True)
class Wait:
    """Time passes."""

    seconds: float


@dataclass(frozen=True)
class Fail:
    """Frame.io's next answers of a kind go wrong."""

    endpoint: str
    fault: Fault
    times: int


@dataclass(frozen=True)
class Restart:
    """One of the proxies stops, and another with the same keys takes its place."""

    which: int


@dataclass(frozen=True)
class Slow:
    """Frame.io's answers of a kind take longer from now on."""

    endpoint: str
    seconds: float


@dataclass(frozen=True)
class SetClock:
    """The clock of the proxies' machine is wrong by so much from now on."""

    wrong: float


Step = Ask | HangUp | Wait | Fail | Restart | Slow | SetClock

WHO = st.sampled_from(range(len(PEOPLE)))
WAITS = st.sampled_from([2.0, 40.0, 900.0, HOUR - 70, HOUR - 30, HOUR, 3 * HOUR])
FAULTS = st.sampled_from([Fault.LOST, Fault.SERVER_ERROR, Fault.DISCONNECT, Fault.HTML, Fault.TOO_MANY_REQUESTS])
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.builds(Ask, WHO, st.sampled_from([1, 8]), st.booleans(), st.booleans()),
        st.builds(Ask, WHO, st.just(1), st.just(False), st.just(False)),
        st.builds(HangUp, WHO),
        st.builds(Wait, WAITS),
        st.builds(Fail, st.sampled_from(["token", "token", "me"]), FAULTS, st.sampled_from([1, 2])),
        st.builds(Fail, st.just("me"), FAULTS, st.just(9)),
        st.builds(Restart, st.sampled_from([0, 1])),
        st.builds(Slow, st.sampled_from(["token", "me"]), st.sampled_from([0.0, 0.01, 0.03])),
        st.builds(SetClock, st.sampled_from([-HOUR, 0.0, HOUR])),
    ),
    min_size=4,
    max_size=16,
)


class Watched(Faults):
    """The emulator's faults, and which of the refreshes in `record` were done without an answer."""

    def __init__(self, record: Sequence[TokenRequest]) -> None:
        super().__init__()
        self.record = record
        self.lost: set[int] = set()

    async def play(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        """As planned."""
        response = await super().play(fault, request, handler)
        if fault is Fault.LOST and request.path.endswith("/token"):
            sent = dict(parse_qsl((await request.read()).decode()))
            self.lost.add(max(at for at, each in enumerate(self.record) if dict(each.form) == sent))
        return response

    def uses(self, since: int = 0) -> dict[str, list[int]]:
        """Where in the record each refresh token was used."""
        found = defaultdict(list)
        for at, each in enumerate(self.record):
            if at >= since and "refresh_token" in each.form:
                found[each.form["refresh_token"]].append(at)
        return found


@dataclass
class Somebody:
    """A visitor's cookies, the newest last, and the grant behind them."""

    grant: Grant
    cookies: list[str]

    def issued(self, kind: str) -> set[str]:
        """Every token of the grant so far."""
        return {token for issued, token in self.grant.issued if issued == kind}


class Play:
    """Steps played on a stage; after each of them, what may not happen has not."""

    def __init__(self, stage: Stage, faults: Watched, people: list[Somebody], *, shared: bool) -> None:
        self._stage = stage
        self._faults = faults
        self._people = people
        self._shared = shared
        self._proxies: list[tuple[AsyncExitStack, Stage]] = []
        self._since = len(faults.record)
        self._failed = False
        self._restarted = False
        self._begun_at = 0.0

    async def open(self) -> None:
        """One more proxy."""
        stack = AsyncExitStack()
        self._proxies.append((stack, await stack.enter_async_context(replica(self._stage))))

    async def close(self, which: int) -> None:
        """One proxy less, when it has finished what it began."""
        stack, _ = self._proxies.pop(which)
        await stack.aclose()

    async def stop(self) -> None:
        """No proxy any more."""
        while self._proxies:
            await self.close(0)

    async def finish(self) -> None:
        """With Frame.io well again, whoever was not ended by it is served by the cookie they have."""
        self._faults.clear()
        self._stage.clock.advance(60)
        for somebody in self._people:
            [answer] = await self._ask(somebody.cookies[-1])
            if answer.status == 503:  # a refresh that was on its way when Frame.io got well has failed
                self._stage.clock.advance(60)
                [answer] = await self._ask(somebody.cookies[-1])
            self._judge(somebody, answer)
            assert answer.status == 200 or somebody.grant.revoked, answer
        await self.stop()
        self.check_uses()

    async def play(self, step: Step) -> None:
        """The step."""
        match step:
            case Restart(which):
                await self._restart(which)
            case HangUp(who):
                await self._hang_up(self._people[who].cookies[-1])
            case Ask():
                await self._play_visitor(step)
            case _:
                await self._play_world(step)
        self.check_uses()

    async def _play_visitor(self, step: Ask) -> None:
        somebody = self._people[step.who]
        answers = await self._ask(somebody.cookies[0 if step.old else -1], step.count)
        for answer in answers:
            self._judge(somebody, answer)
        if answers[-1].status == 200 and answers[-1].all("Set-Cookie") and not step.lost:
            somebody.cookies.append(new_cookie_line(answers[-1]))

    async def _play_world(self, step: Wait | Fail | Slow | SetClock) -> None:
        match step:
            case Wait(seconds):
                self._stage.clock.advance(seconds)
                for _, stage in self._proxies:
                    await stage.proxy.look()
            case Fail(endpoint, fault, times):
                self._failed = True
                self._faults.plan(endpoint, fault, times)
            case Slow(endpoint, seconds):
                self._faults.delay(endpoint, seconds)
            case SetClock(wrong):
                self._stage.clock.wrong = wrong

    async def _restart(self, which: int) -> None:
        self._restarted = True
        await self.close(which % len(self._proxies))
        self.check_uses()
        if not self._shared:
            self._since = len(self._faults.record)
            # Without a store, a session made by a clock that was ahead is a stranger's: that is no loss of these.
            self._begun_at = self._stage.clock.wrong = max(self._begun_at, self._stage.clock.wrong)
        await self.open()

    def check_uses(self) -> None:
        """Whoever got an answer to a refresh token never sends that token again."""
        for uses in self._faults.uses(self._since).values():
            assert set(uses[:-1]) <= self._faults.lost, uses

    async def _ask(self, cookie: str, count: int = 1) -> list[RawAnswer]:
        proxies = [stage for _, stage in self._proxies]
        return await asyncio.gather(*(proxies[n % len(proxies)].ask(f"/echo?{n}", cookie) for n in range(count)))

    async def _hang_up(self, cookie: str) -> None:
        _, stage = self._proxies[-1]
        _, writer = await asyncio.open_connection("127.0.0.1", stage.listens_on)
        writer.write(f"GET /echo HTTP/1.1\r\nHost: localhost:{stage.port}\r\n{cookie}\r\n\r\n".encode())
        await writer.drain()
        await asyncio.sleep(0)
        writer.transport.abort()

    def _judge(self, somebody: Somebody, answer: RawAnswer) -> None:
        """Served with a token of their own; or out, because Frame.io said so; or told that Frame.io fails."""
        match answer.status:
            case 200:
                assert bearer(answer).removeprefix("Bearer ") in somebody.issued("access")
            case 401:
                assert somebody.grant.revoked
                assert self._may_have_come_twice(somebody)
            case status:
                assert status in (502, 503)
                assert self._failed, answer

    def _may_have_come_twice(self, somebody: Somebody) -> bool:
        """Whether an answer was lost on its way to us, or we forgot what only we knew."""
        lost = {self._faults.record[at].form["refresh_token"] for at in self._faults.lost}
        return bool(lost & somebody.issued("refresh")) or (self._restarted and not self._shared)


SLEPT = [
    *(HangUp(0), Wait(2 * HOUR), HangUp(1), Fail("token", Fault.SERVER_ERROR, 1), Restart(0), HangUp(1)),
    *(Wait(3 * HOUR), Wait(HOUR), Ask(1, 1, old=False, lost=False), HangUp(0)),
]
"""Hours go by between the answer with new tokens and their first use."""


async def played(steps: list[Step], *, store: str = "cookie", proxies: int = 1) -> None:
    """The steps, on a stage with that many proxies."""
    session = {"store": store, "lifetime": "20d", "idle": "20d"}
    async with on_stage(session=session) as stage, AsyncExitStack() as stack:
        faults = stage.frameio.faults = Watched(stage.frameio.token_requests)
        people = []
        for name in PEOPLE:
            visitor = await stack.enter_async_context(Visitor())
            cookie = await signed_in(stage, visitor, name)
            people.append(Somebody(stage.frameio.grants[-1], [cookie]))
        play = Play(stage, faults, people, shared=store != "cookie")
        stack.push_async_callback(play.stop)
        for _ in range(proxies):
            await play.open()
        for step in steps:
            await play.play(step)
        await play.finish()


async def played_by_replicas(steps: list[Step]) -> None:
    async with redis_server() as redis:
        await played(steps, store=redis.url, proxies=2)


def run(playing: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(playing)


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """A delay of some hundredths of a second is a long one here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("oauth_proxy.session.flights.PATIENCE", 0.02)
        yield


SHARED = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@settings(SHARED, max_examples=40)
@given(STEPS)
@example([HangUp(1), Wait(HOUR - 30), Ask(0, 1, old=False, lost=False), Restart(0), HangUp(1)])  # once failed
def test_one_process_never_uses_a_refresh_token_twice_and_loses_nobody(steps: list[Step]) -> None:
    run(played(steps))


@needs_redis
@SHARED
@given(STEPS)
@example([Wait(HOUR - 30), Fail("token", Fault.LOST, 1), Ask(0, 8, old=False, lost=False)])  # once failed
@example(SLEPT)  # once failed
def test_replicas_never_use_a_refresh_token_twice_and_lose_nobody(steps: list[Step]) -> None:
    run(played_by_replicas(steps))


@SHARED
@given(STEPS)
@example(SLEPT)
def test_processes_on_one_file_never_use_a_refresh_token_twice_and_lose_nobody(steps: list[Step]) -> None:
    with TemporaryDirectory() as folder:
        run(played(steps, store=f"sqlite:{folder}/sessions.db", proxies=2))
