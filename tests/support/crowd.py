"""Many people who are signed in, each with cookies of their own, and a tool that sees whether tokens are alive."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from aiohttp import web

from oauth_proxy.demo.people import EDITOR, Person
from tests.support.browser import Visitor
from tests.support.proxy import RawAnswer, Stage
from tests.support.sessions import new_cookie_line, signed_in

AT_ONCE = 10


@dataclass
class Member:
    """Somebody who is signed in. `cookie` is the line their browser sends now."""

    person: Person
    cookie: str

    async def ask(self, stage: Stage, path: str = "/echo", *lines: str) -> RawAnswer:
        """One request; what the answer sets is kept, as a browser does."""
        answer = await stage.ask(path, self.cookie, *lines)
        self.keep(answer)
        return answer

    def keep(self, answer: RawAnswer) -> None:
        """What a browser keeps of an answer."""
        if any("Max-Age=0" not in line for line in answer.all("Set-Cookie")):
            self.cookie = new_cookie_line(answer)


async def crowd(stage: Stage, count: int) -> list[Member]:
    """So many different people, signed in at the same time."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def enter(number: int) -> Member:
        name = f"Visitor {number}"
        person = replace(
            EDITOR, id=f"{EDITOR.id[:-4]}{number:04}", name=name, email=f"visitor-{number}@example.com"
        )
        async with turns, Visitor() as visitor:
            stage.frameio.put_person(person)  # not before their turn: a login page lists everybody
            return Member(person, await signed_in(stage, visitor, name))

    return list(await asyncio.gather(*map(enter, range(count))))


async def statuses(stage: Stage, people: Sequence[Member], path: str = "/echo") -> list[int]:
    """One request of each at once."""
    return [answer.status for answer in await asyncio.gather(*(each.ask(stage, path) for each in people))]


def living_only(alive: "Alive") -> web.Application:
    """A tool that answers 418 where the bearer it is reached with is dead at Frame.io by then."""

    async def answer(request: web.Request) -> web.Response:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        return web.Response(status=200 if alive.stage.frameio.is_live(token) else 418)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


class Alive:
    """Where such a tool asks: the stage, once there is one."""

    stage: Stage
