"""Developer tokens of before v4, brought by programs: Frame.io's v4 takes them where a header says so."""

from typing import Any

import pytest

from oauth_proxy.demo.people import EDITOR
from oauth_proxy.paths import read_target
from tests.support.browser import Visitor
from tests.support.proxy import RawAnswer, Stage, on_stage
from tests.support.sessions import signed_in
from tests.support.tool_api import received

MARK = "x-frameio-legacy-token-auth"
UPSTREAMS: dict[str, Any] = {
    "/": {"url": "TOOL", "host": "upstream"},
    "/frameio/": {"url": "FRAMEIO", "host": "upstream"},
    "/v4/": {"url": "FRAMEIO/v4", "host": "upstream"},
    "/passing/": "FRAMEIO",
}
ACCESS = {"allow": ["everyone"], "bearer": True}


async def ask(stage: Stage, path: str, token: str, *lines: str) -> RawAnswer:
    return await stage.ask(path, f"Authorization: Bearer {token}", *lines)


async def test_frameios_v4_is_told_of_a_developer_token_and_nobody_else_is() -> None:
    async with on_stage(api="v4", upstreams=UPSTREAMS, access=ACCESS) as stage:
        token = stage.frameio.developer_token(EDITOR)
        for _ in range(2):
            for path in ("/frameio/v4/me", "/v4/me"):
                answer = await ask(stage, path, token)
                assert answer.status == 200, path
                assert EDITOR.id.encode() in answer.body
        assert (await ask(stage, "/passing/v4/me", token)).status == 401
        assert received(await ask(stage, "/echo", token), MARK) == []


@pytest.mark.parametrize("own", [f"{MARK}: true", "X_Frameio_Legacy_Token_Auth: true", f"{MARK.title()}: no"])
async def test_what_a_visitor_says_of_a_token_never_reaches_frameio(visitor: Visitor, own: str) -> None:
    async with on_stage(api="v4", upstreams=UPSTREAMS, access=ACCESS) as stage:
        cookie = await signed_in(stage, visitor)
        for _ in range(2):
            assert (await stage.ask("/frameio/v4/me", cookie, own)).status == 200
        [token] = stage.frameio.issued("access")
        assert (await ask(stage, "/frameio/v4/me", token, own)).status == 200
        legacy = stage.frameio.developer_token(EDITOR)
        assert (await ask(stage, "/frameio/v4/me", legacy, own)).status == 200
        assert received(await stage.ask("/echo", cookie, own), MARK) == [own.partition(": ")[2]], (
            "the tool's affair"
        )


async def test_v2_needs_no_word_about_its_own_developer_tokens() -> None:
    upstreams = {"/": {"url": "TOOL", "host": "upstream"}, "/frameio/": {"url": "FRAMEIO", "host": "upstream"}}
    async with on_stage(upstreams=upstreams, access=ACCESS) as stage:
        token = stage.frameio.developer_token(EDITOR)
        assert (await ask(stage, "/frameio/v2/me", token)).status == 200
        assert received(await ask(stage, "/echo", token), MARK) == []


async def test_an_upstream_is_frameio_by_its_origin_and_not_by_its_path_or_name(visitor: Visitor) -> None:
    """The API is said to be where the tool is; so the tool is told, at any path, and the emulator is not."""
    upstreams = {"/": {"url": "TOOL", "host": "upstream"}, "/base/": {"url": "TOOL/echo", "host": "upstream"}}
    async with on_stage(api="v4", upstreams=upstreams, access=ACCESS) as stage:
        assert [stage.proxy.upstreams.route(read_target(path, "")).mark for path in upstreams] == [None, None]
    async with on_stage(api="v4", upstreams=upstreams, access=ACCESS, app={"api_url": "TOOL/api"}) as stage:
        marks = [stage.proxy.upstreams.route(read_target(path, "")).mark for path in upstreams]
        assert [mark and mark.name for mark in marks] == [MARK, MARK]
