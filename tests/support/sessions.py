"""Who is signed in: the cookie that their browser sends, the token that the tool gets, and its refreshes."""

import json

from tests.support.browser import Visitor
from tests.support.proxy import RawAnswer, Stage
from tests.support.tool import until


async def signed_in(stage: Stage, visitor: Visitor, person: str = "Editor") -> str:
    """The Cookie line of somebody who has just signed in."""
    answer = await visitor.login(f"{stage.url}/echo", person)
    assert answer.status == 200, visitor.trail()
    return visitor.cookie_line(stage.url)


async def cookie_of(stage: Stage, person: str = "Editor", at: str = "/form") -> str:
    """The Cookie line of a browser in which this person has just signed in, on the way to that path."""
    async with Visitor() as visitor:
        await visitor.login(f"{stage.url}/oauth2/start?rd={at}", person)
        return visitor.cookie_line(stage.url)


def bearer(answer: RawAnswer) -> str:
    """The token the tool was reached with."""
    assert answer.status == 200, answer
    return str(dict(json.loads(answer.body)["headers"])["Authorization"])


def refreshes(stage: Stage) -> int:
    return stage.frameio.calls["token:refresh_token"]


async def settled(stage: Stage) -> None:
    """Return once everything is done that responses did not wait for."""
    await until(lambda: not stage.proxy.sessions.in_background)


def new_cookie_line(answer: RawAnswer) -> str:
    """The Cookie line of a browser that kept what this answer sets."""
    pairs = [line.partition(";")[0] for line in answer.all("Set-Cookie") if "Max-Age=0" not in line]
    assert pairs
    return "Cookie: " + "; ".join(pairs)
