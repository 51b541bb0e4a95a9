"""A place for a memory, of each kind that a test asks for by its parameter."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.stores import ClusterNode, Place, a_place


@pytest.fixture(scope="session")
def cluster_node() -> Iterator[ClusterNode]:
    node = ClusterNode()
    yield node
    node.stop()


@pytest.fixture
async def place(request: pytest.FixtureRequest, tmp_path: Path, cluster_node: ClusterNode) -> AsyncIterator[Place]:
    async with a_place(request.param, tmp_path, cluster_node) as somewhere:
        yield somewhere
