"""A place for a memory, of each kind that a test asks for by its parameter."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.memory.homes import Place, a_place


@pytest.fixture
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async with a_place(request.param, tmp_path) as somewhere:
        yield somewhere
