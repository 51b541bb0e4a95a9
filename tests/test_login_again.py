import pytest

from oauth_proxy.demo.faults import Fault
from tests.support.browser import Visitor
from tests.support.login import COOKIE, complaints, cookies, nothing_leaked, session_cookie
from tests.support.proxy import Stage, on_stage
from tests.support.units import HOUR

pytestmark = pytest.mark.usefixtures("everything_logged")


async def test_signing_in_as_somebody_else_replaces_the_session_and_its_cookie(
    stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    await visitor.login(f"{stage.url}/echo")
    editors = session_cookie(visitor)
    answer = await visitor.login(f"{stage.url}/oauth2/start?rd=/echo&switch=1", "Reviewer")
    headers = dict((await answer.json())["headers"])
    assert headers["X-Forwarded-Email"] == "reviewer@studio.example.com"
    assert list(cookies(visitor)) == [COOKIE]
    assert session_cookie(visitor) != editors
    await nothing_leaked(stage, visitor, caplog)


async def test_a_shorter_session_leaves_no_piece_of_the_longer_one_behind(
    visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    async with on_stage(api="v4") as stage:
        stage.frameio.set_token_size(3500)  # what aiohttp's cookie jar is willing to send
        await visitor.login(f"{stage.url}/echo")
        editors = cookies(visitor)
        assert len(editors) >= 2
        stage.frameio.set_token_size(600)
        answer = await visitor.login(f"{stage.url}/oauth2/start?rd=/echo&switch=1", "Reviewer")
        assert dict((await answer.json())["headers"])["X-Forwarded-Email"] == "reviewer@studio.example.com"
        assert list(cookies(visitor)) == [COOKIE]
        assert not set(cookies(visitor).values()) & set(editors.values())
        await nothing_leaked(stage, visitor, caplog)


async def test_signing_in_again_does_not_depend_on_the_session_that_is_being_replaced(
    stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    """The old tokens have run out and cannot be refreshed; the new ones have just been granted."""
    await visitor.login(f"{stage.url}/echo")
    stage.clock.advance(HOUR)
    stage.frameio.faults.plan("token:refresh_token", Fault.SERVER_ERROR)
    answer = await visitor.login(f"{stage.url}/oauth2/start?rd=/echo&switch=1", "Reviewer")
    assert answer.status == 200, complaints(caplog)
    assert stage.frameio.calls["token:refresh_token"] == 0


async def test_a_session_that_comes_back_without_its_first_piece_is_called_incomplete(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with on_stage(api="v4") as stage, Visitor(forgetful=True) as visitor:
        stage.frameio.set_token_size(4096)
        page = await visitor.login(f"{stage.url}/echo")
        assert page.status == 403
        assert "this site still does not know you" in await page.text()
        assert "(incomplete): a part of it is missing" in caplog.text
