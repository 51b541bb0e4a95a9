"""A scene for every recipe."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.browser import Visitor
from tests.support.front_proxies import BUILT, RECIPES, TRAEFIK_ASKS, Recipe, Scene, behind

_COOKIES = "it cannot strike cookies: ours reach the tool"
_TOLD = "it cannot give what the tool is told other names"
_PAGE = "a stranger gets the sign-in page"
_NAMES = "names with _ for - cross"
TRAEFIK_CANNOT = {
    "test_every_piece_of_a_refreshed_session_reaches_the_browser": _COOKIES,
    "test_a_session_may_grow_and_shrink": _COOKIES,
    "test_the_tool_s_own_cookies_cross_both_ways_and_ours_stay_away_from_it": _COOKIES,
    "test_a_cookie_of_another_name_that_looks_like_ours_is_the_tool_s": _COOKIES,
    "test_the_tool_is_told_who_it_is_in_the_headers_it_knows_from_the_proxy": _TOLD,
    "test_a_header_named_in_connection_is_not_taken_from_the_tool": _TOLD,
    "test_what_cannot_go_through_a_login_gets_a_401_that_names_it": _PAGE,
    "test_a_browsers_window_gets_the_page_that_takes_the_fragment_along": _PAGE,
    "test_signing_out_ends_it": _PAGE,
    "test_a_websocket_s_handshake_brings_the_refreshed_cookie": "it adds no cookies to a 101",
    "test_nothing_a_browser_forges_reaches_the_tool": _NAMES,
}
"""What holds for every other recipe and not where Traefik asks, and why; its file and the manual say so."""
BUILT_BY_MAKE_E2E = [pytest.param(recipe, marks=pytest.mark.e2e) for recipe in BUILT]


@pytest.fixture(params=[*RECIPES, *BUILT_BY_MAKE_E2E], ids=lambda recipe: recipe.file)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    """Each recipe in turn."""
    assert isinstance(request.param, Recipe)
    if request.param is TRAEFIK_ASKS and (why := TRAEFIK_CANNOT.get(request.node.originalname)):
        request.applymarker(pytest.mark.xfail(reason=why, strict=False))
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
