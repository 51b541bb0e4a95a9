"""A store, a redis-server of one's own, and two proxies on it, where a test asks for them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.redis import RedisServer, redis_server
from tests.support.replicas import Pair, pair_on


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    async with redis_server() as server:
        yield server


@pytest.fixture
async def pair(redis: RedisServer) -> AsyncIterator[Pair]:
    async with pair_on(redis) as both:
        yield both


@pytest.fixture
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """Where a store is, by the name of its kind."""
    if request.param != "redis":
        yield f"sqlite:{tmp_path}/sessions.db" if request.param == "sqlite" else "cookie"
        return
    async with redis_server() as redis:
        yield redis.url
