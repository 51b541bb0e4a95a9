"""What docs/tool-authors.md promises of requests: the configurations that it shows, each on a stage."""

import json
from typing import Any

import yaml

from tests.support.browser import Visitor
from tests.support.places import ROOT
from tests.support.proxy import Stage, on_stage
from tests.test_readme import blocks


def shown(key: str) -> Any:
    """What the one configuration that begins with this key says under it."""
    trees = [yaml.safe_load(block) for block in blocks(ROOT / "docs" / "tool-authors.md", "yaml")]
    [found] = [tree[key] for tree in trees if next(iter(tree)) == key]
    return found


async def received(stage: Stage, visitor: Visitor, *lines: str, path: str = "/echo") -> dict[str, Any]:
    answer = await stage.ask(path, visitor.cookie_line(stage.url), *lines)
    told: dict[str, Any] = json.loads(answer.body)
    return told


async def test_a_tool_with_a_login_of_its_own_gets_it_and_the_token_by_another_name(visitor: Visitor) -> None:
    async with on_stage(headers=shown("headers")) as stage:
        await visitor.login(f"{stage.url}/echo")
        for own in ("Basic dG9vbDpzZWNyZXQ=", "Bearer the-tools-own"):
            headers = dict((await received(stage, visitor, f"Authorization: {own}"))["headers"])
            assert headers["Authorization"] == own
            assert headers["X-Frameio-Token"] in stage.frameio.issued("access")
            assert "X-Frameio-Token: forged" not in str(headers)
    # The kind case beside: without these lines, the tool's own login is replaced, and the tool cannot know.
    async with on_stage() as stage, Visitor() as other:
        await other.login(f"{stage.url}/echo")
        headers = dict((await received(stage, other, "Authorization: Basic dG9vbDpzZWNyZXQ="))["headers"])
        assert headers["Authorization"].startswith("Bearer ")


async def test_what_is_fetched_without_cookies_may_be_public_and_then_tells_nobody_who_asks(
    visitor: Visitor,
) -> None:
    async with on_stage(access={"public": [*shown("access")["public"], "/echo"]}) as stage:
        await visitor.login(f"{stage.url}/oauth2/start?rd=/oauth2/sign_in")
        for path in ("/manifest.json", "/favicon.ico", "/robots.txt"):
            assert (await stage.ask(path)).status == 404, "the tool's own answer"
        assert "X-Forwarded-User" not in dict((await received(stage, visitor))["headers"])


async def test_a_tool_that_knows_its_prefix_is_asked_with_it(visitor: Visitor) -> None:
    upstreams = {
        prefix: url.replace("http://127.0.0.1:8501", "TOOL/echo") for prefix, url in shown("upstreams").items()
    }
    async with on_stage(upstreams={**upstreams, "/": "TOOL"}) as stage:
        await visitor.login(f"{stage.url}/echo")
        told = await received(stage, visitor, path="/st/page")
        assert told["path"] == "/echo/st/page"
        assert dict(told["headers"])["X-Forwarded-Prefix"] == "/st"
