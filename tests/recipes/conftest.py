"""A scene for every recipe."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.browser import Visitor
from tests.support.front_proxies import RECIPES, Recipe, Scene, behind


@pytest.fixture(params=RECIPES, ids=lambda recipe: recipe.file)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    """Each recipe in turn."""
    assert isinstance(request.param, Recipe)
    return request.param


@pytest.fixture
async def scene(recipe: Recipe, tmp_path: Path) -> AsyncIterator[Scene]:
    """The front, the proxy, the tool and Frame.io v4 with tokens of 3 kB."""
    async with behind(recipe, tmp_path) as scene:
        yield scene


@pytest.fixture
async def visitor(scene: Scene) -> AsyncIterator[Visitor]:
    """Somebody with a browser of their own, not signed in."""
    async with scene.visitor() as somebody:
        yield somebody
