"""kill -9 in the middle of a refresh storm: with a store nobody is lost but for answers that were on their way."""

import asyncio
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from tests.session.test_restarts import STORES
from tests.support.command import started
from tests.support.crowd import Member, crowd
from tests.support.processes import MachineClock
from tests.support.proxy import SECRET, Stage, free_port, on_stage, settings_tree
from tests.support.units import PATIENCE

PEOPLE, LIFETIME = 200, 3
AT_ONCE = PEOPLE // 8
"""Requests that wait at the same time: no more people than these miss an answer, however slow the machine is."""

LEASE = 8
"""Seconds that a lease lasts: those of the process that was killed are waited for, and 30 s would show no more."""
COMMAND = [
    *(sys.executable, "-c"),
    f"from oauth_proxy.cli import main; from oauth_proxy.memory import home; home.LEASE = {LEASE}.0; main()",
]


class Storm:
    """People who ask all the time, and what became of their refreshes at Frame.io."""

    def __init__(self, stage: Stage, people: list[Member]) -> None:
        self.lost: set[str] = set()
        self.served = 0
        self._answered: dict[str, float] = {}
        self._stage = stage
        self._begun = stage.clock()
        self._people = people
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def rage(self) -> None:
        """Until cancelled."""
        await asyncio.gather(*(self._ask_on(number, each) for number, each in enumerate(self._people)))

    @property
    def refreshed(self) -> dict[str, float]:
        """Whom Frame.io has refreshed since the storm began, by id, and when it did so last."""
        issued = {each.person_id: each.access_expires - LIFETIME for each in self._stage.frameio.grants}
        return {person: at for person, at in issued.items() if at > self._begun}

    async def height(self) -> None:
        """Returns while refreshes are under way, once everybody has been refreshed and served."""
        async with asyncio.timeout(PATIENCE):
            while len(self.refreshed) < PEOPLE or self.served <= PEOPLE or not self.on_their_way():  # noqa: ASYNC110 another process
                await asyncio.sleep(0.01)

    async def calm(self) -> None:
        """One more answer for each, which they wait for."""
        waiting = self._people
        async with asyncio.timeout(PATIENCE):  # the leases of the process that was killed are over after LEASE
            while waiting:
                answers = await asyncio.gather(*map(self._ask, waiting))
                waiting = [each for each, answer in zip(waiting, answers, strict=True) if answer in (503, None)]
                await asyncio.sleep(0.2)

    def on_their_way(self) -> set[str]:
        """Whom Frame.io has given tokens of which they have not heard yet."""
        return {person for person, at in self.refreshed.items() if self._answered.get(person, 0.0) < at}

    async def _ask_on(self, number: int, member: Member) -> None:
        await asyncio.sleep(number / len(self._people))
        while True:
            async with self._turns:
                await self._ask(member)
            await asyncio.sleep(0.8)

    async def _ask(self, member: Member) -> int | None:
        with suppress(OSError, IndexError, ValueError):  # the proxy is not there, or was killed in the middle
            answer = await member.ask(self._stage)
            self._answered[member.person.id] = self._stage.clock()
            self.served += answer.status == 200
            if answer.status == 401:
                self.lost.add(member.person.id)
            return answer.status
        return None


def file_of(stage: Stage, folder: Path, store: str, port: int) -> Path:
    """A configuration by which the stage's proxy is there once more, at that port."""
    tool = f"http://{stage.settings.upstreams['/'].url.authority}"
    tree = settings_tree(stage.url, "v2", stage.frameio_url, tool, client_secret=SECRET, keys=stage.keys)
    tree["listen"], tree["session"]["store"] = f"127.0.0.1:{port}", store
    file = folder / "proxy.yaml"
    file.write_text(yaml.safe_dump(tree))
    return file


def here() -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="here")

    app = web.Application()
    app.router.add_get("/echo", answer)
    return app


@pytest.mark.parametrize("store", STORES, indirect=True)
async def test_killed_under_two_hundred_sessions_with_tokens_of_three_seconds_loses_none_but_answers_on_their_way(
    store: str, tmp_path: Path
) -> None:
    frameio, port = {"access_lifetime": LIFETIME}, free_port()
    async with on_stage(tool=here(), clock=MachineClock(), frameio=frameio, session={"store": store}) as stage:
        storm = Storm(replace(stage, listens_on=port), await crowd(stage, PEOPLE))
        file = file_of(stage, tmp_path, store, port)
        raging = asyncio.create_task(storm.rage())
        async with started("run", file, sign=b"serving", command=COMMAND) as process:
            await storm.height()
            process.kill()
            await process.wait()
        raging.cancel()
        await asyncio.gather(raging, return_exceptions=True)  # what has reached Frame.io is answered to nobody
        on_their_way = storm.on_their_way()
        async with started("run", file, sign=b"serving", command=COMMAND):
            await storm.calm()
        assert not storm.lost - on_their_way
        assert len(on_their_way) < PEOPLE / 4
        assert len(storm.refreshed) == PEOPLE
        assert storm.served > PEOPLE
