"""Two proxies on one Redis, and what their tests ask besides."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.browser import Visitor
from tests.support.login import complaints
from tests.support.proxy import Stage, on_stage, replica
from tests.support.redis import RedisServer

USES = ("hget", "hset", "set", "eval", "evalsha", "xadd", "del")
"""Everything but the questions of once a second."""


@dataclass
class Pair:
    """Two proxies on one Redis."""

    a: Stage
    b: Stage
    redis: RedisServer


@asynccontextmanager
async def pair_on(redis: RedisServer, **how: Any) -> AsyncIterator[Pair]:
    """Two proxies on that Redis; `how` is what `on_stage` takes."""
    session = {"store": redis.url, **how.pop("session", {})}
    async with on_stage(session=session, **how) as a, replica(a) as b:
        yield Pair(a, b, redis)


async def admin(stage: Stage, visitor: Visitor, path: str) -> tuple[int, str]:
    """Status and text of a page of the admin listener."""
    async with visitor.session.get(f"{stage.admin_url}{path}") as answer:
        return answer.status, await answer.text()


async def is_complained(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    """Whether a warning or error with these words was logged."""
    return any(words in line for line in complaints(caplog))
