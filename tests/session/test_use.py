"""What is open is use: a session that lives in a WebSocket is not idle, and nothing else revives an old cookie."""

from pathlib import Path

import pytest

from tests.session.test_open_exchanges import a_tool_without_end, are_open, opened
from tests.support.browser import Visitor
from tests.support.proxy import Stage, on_stage, replica
from tests.support.sessions import new_cookie_line, settled, signed_in


async def passes(seconds: int, *stages: Stage) -> None:
    for _ in range(seconds):
        stages[0].clock.advance(1)
        for stage in stages:
            await stage.proxy.look()
            await settled(stage)


@pytest.mark.parametrize("kind", ["WebSocket", "event stream that accepts anything", "chunked upload under way"])
async def test_what_was_open_for_longer_than_idle_keeps_the_old_cookie_good(visitor: Visitor, kind: str) -> None:
    async with on_stage(tool=a_tool_without_end(), session={"idle": "30s"}) as stage:
        cookie = await signed_in(stage, visitor)
        async with opened(stage, kind, cookie):
            await are_open((stage, 1))
            await passes(60, stage)
            assert (await stage.ask("/echo", cookie)).status == 200, "while it is open"
        await are_open((stage, 0))
        await passes(29, stage)
        answer = await stage.ask("/echo", cookie)
        assert answer.status == 200
        assert new_cookie_line(answer)
        stage.clock.advance(31)
        assert (await stage.ask("/echo", cookie)).status == 401


async def test_with_a_store_it_is_use_at_another_replica_and_after_a_restart(
    tmp_path: Path, visitor: Visitor
) -> None:
    session = {"idle": "30s", "store": f"sqlite:{tmp_path}/sessions.db"}
    async with on_stage(tool=a_tool_without_end(), session=session) as a, replica(a) as b:
        cookie = await signed_in(a, visitor)
        async with Visitor() as second:
            idle = await signed_in(a, second, "Reviewer")
        async with replica(a) as first, opened(first, "WebSocket", cookie):
            await are_open((first, 1))
            await passes(60, first, b)
        for stage in (b, a):
            assert (await stage.ask("/echo", cookie)).status == 200
            assert (await stage.ask("/echo", idle)).status == 401
        async with replica(a) as restarted:
            assert (await restarted.ask("/echo", cookie)).status == 200
            assert (await restarted.ask("/echo", idle)).status == 401
            a.clock.advance(31)
            assert (await restarted.ask("/echo", cookie)).status == 401


async def test_a_copy_of_an_old_cookie_is_not_revived_by_ordinary_requests_of_its_session(
    visitor: Visitor,
) -> None:
    async with on_stage(session={"idle": "30s"}) as stage:
        old = cookie = await signed_in(stage, visitor)
        for _ in range(8):
            await passes(5, stage)
            answer = await stage.ask("/echo", cookie)
            assert answer.status == 200
            cookie = new_cookie_line(answer)
        assert (await stage.ask("/echo", old)).status == 401


async def test_what_is_open_does_not_outlast_the_lifetime(visitor: Visitor) -> None:
    async with on_stage(tool=a_tool_without_end(), session={"idle": "30s", "lifetime": "2m"}) as stage:
        cookie = await signed_in(stage, visitor)
        async with opened(stage, "WebSocket", cookie) as socket:
            await are_open((stage, 1))
            await passes(119, stage)
            assert not socket.is_over
            await passes(2, stage)
            await socket.ends()
        assert (await stage.ask("/echo", cookie)).status == 401
