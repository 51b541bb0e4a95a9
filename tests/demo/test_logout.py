"""Adobe's logout page, as far as it is known: the browser's own session there ends."""

import pytest

from oauth_proxy.demo.frameio import FrameIO
from tests.demo.conftest import REDIRECT, Client


async def test_after_the_logout_page_the_next_login_asks_who_it_is(frameio: FrameIO, v4_app: Client) -> None:
    await v4_app.tokens()
    logout = v4_app.root / "ims/logout/v1"
    assert (await v4_app.visitor.get(v4_app.question())).headers["X-Emulated-Page"] == "consent"
    page = await v4_app.visitor.get(logout.with_query(client_id=v4_app.app.client_id))
    assert (page.status, page.headers["X-Emulated-Page"]) == (200, "signed_out")
    assert (await v4_app.visitor.get(v4_app.question())).headers["X-Emulated-Page"] == "login"
    assert frameio.calls["logout"] == 1


async def test_the_logout_page_sends_the_browser_on_to_the_apps_own_place(v4_app: Client) -> None:
    logout = (v4_app.root / "ims/logout/v1").with_query(client_id=v4_app.app.client_id)
    back = await v4_app.visitor.get(logout.update_query(redirect_uri=REDIRECT + "/bye"))
    assert (back.status, back.headers["Location"]) == (303, REDIRECT + "/bye")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"redirect_uri": "https://elsewhere.example/"}, 400),
        ({"redirect_uri": "//elsewhere.example/"}, 400),
        ({"access_token": "a-token"}, 400),
        ({"client_id": "unknown"}, 401),
    ],
)
async def test_the_logout_page_refuses_a_foreign_place_and_a_token_in_its_address(
    v4_app: Client, changes: dict[str, str], status: int
) -> None:
    logout = (v4_app.root / "ims/logout/v1").with_query(client_id=v4_app.app.client_id)
    assert (await v4_app.visitor.get(logout.update_query(changes))).status == status
