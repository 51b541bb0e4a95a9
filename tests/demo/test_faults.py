"""The emulated Frame.io fails in the way it was told to, as often as it was told to."""

import asyncio

import pytest
from aiohttp import ClientSession, ServerDisconnectedError
from aiohttp.test_utils import TestServer

from oauth_proxy.demo.faults import OVERSIZE, Fault
from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.people import GUEST
from tests.demo.conftest import Client
from tests.support.browser import Visitor


async def test_a_fault_lasts_as_often_as_told(frameio: FrameIO, client: Client) -> None:
    bearer = (await client.tokens())["access_token"]
    path = f"/{client.app.api}/me"
    frameio.faults.plan("me", Fault.SERVER_ERROR, times=2)
    assert [(await client.ask(path, bearer)).status for _ in range(3)] == [500, 500, 200]
    assert frameio.calls["me"] == 3


async def test_a_fault_without_a_number_lasts_until_cleared(frameio: FrameIO, client: Client) -> None:
    bearer = (await client.tokens())["access_token"]
    path = f"/{client.app.api}/me"
    frameio.faults.plan("me", Fault.SERVER_ERROR)
    assert [(await client.ask(path, bearer)).status for _ in range(3)] == [500, 500, 500]
    frameio.faults.clear()
    assert (await client.ask(path, bearer)).status == 200


async def test_refreshes_can_fail_while_codes_are_redeemed(frameio: FrameIO, lasting: Client) -> None:
    frameio.faults.plan("token:refresh_token", Fault.INVALID_GRANT)
    tokens = await lasting.tokens()
    answer = await lasting.refresh(tokens["refresh_token"])
    assert (answer.status, answer.fields["error"]) == (400, "invalid_grant")
    frameio.faults.clear()
    assert (await lasting.refresh(tokens["refresh_token"])).status == 200


async def test_too_many_requests_says_when_to_come_back(frameio: FrameIO, client: Client) -> None:
    frameio.faults.plan("token", Fault.TOO_MANY_REQUESTS)
    answer = await client.refresh("any")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "7")


@pytest.mark.parametrize(
    ("fault", "kind"), [(Fault.HTML, str), (Fault.NOT_AN_OBJECT, list), (Fault.NO_ACCESS_TOKEN, dict)]
)
async def test_nonsense_comes_with_status_200(
    frameio: FrameIO, client: Client, fault: Fault, kind: type[str | list[str] | dict[str, str]]
) -> None:
    frameio.faults.plan("token", fault)
    answer = await client.refresh("any")
    assert answer.status == 200
    assert isinstance(answer.fields, kind)
    assert "access_token" not in answer.fields


async def test_an_oversized_answer_is_right_but_for_its_size(frameio: FrameIO, client: Client) -> None:
    frameio.faults.plan("token", Fault.OVERSIZED)
    answer = await client.refresh("any")
    assert answer.status == 200
    assert answer.fields["access_token"]
    assert len(answer.fields["padding"]) == OVERSIZE


async def test_a_disconnect_leaves_everything_undone(frameio: FrameIO, lasting: Client) -> None:
    tokens = await lasting.tokens()
    frameio.faults.plan("token", Fault.DISCONNECT, times=1)
    with pytest.raises(ServerDisconnectedError):
        await lasting.refresh(tokens["refresh_token"])
    assert (await lasting.refresh(tokens["refresh_token"])).status == 200


async def test_a_lost_answer_has_used_up_the_refresh_token(frameio: FrameIO, lasting: Client) -> None:
    tokens = await lasting.tokens()
    frameio.faults.plan("token", Fault.LOST, times=1)
    with pytest.raises(ServerDisconnectedError):
        await lasting.refresh(tokens["refresh_token"])
    assert (await lasting.refresh(tokens["refresh_token"])).error == "invalid_grant"


async def test_a_server_that_stops_lets_the_hanging_go(frameio: FrameIO) -> None:
    frameio.faults.plan("me", Fault.HANG)
    server = TestServer(frameio.app())
    await server.start_server()
    async with ClientSession() as session:
        asking = asyncio.create_task(session.get(server.make_url("/v2/me")))
        await frameio.faults.hanging(1)
        await server.close()
        async with await asking as response:
            assert response.status == 401


async def test_a_hanging_request_goes_on_when_released(frameio: FrameIO, lasting: Client) -> None:
    tokens = await lasting.tokens()
    frameio.faults.plan("token", Fault.HANG, times=1)
    refreshing = asyncio.create_task(lasting.refresh(tokens["refresh_token"]))
    await frameio.faults.hanging(1)
    assert not refreshing.done()
    assert (await lasting.ask(f"/{lasting.app.api}/me", tokens["access_token"])).status == 200
    frameio.faults.release()
    assert (await refreshing).status == 200


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        (Fault.INVALID_GRANT, 400, "invalid_grant"),
        (Fault.INVALID_TOKEN, 400, "invalid_token"),
        (Fault.INVALID_CLIENT, 401, "invalid_client"),
        (Fault.ACCESS_DENIED, 400, "access_denied"),
        (Fault.ACTION_REQUIRED, 400, "ride_AdobeID_acct_actreq"),
    ],
)
async def test_an_error_has_its_own_name(
    frameio: FrameIO, client: Client, fault: Fault, status: int, error: str
) -> None:
    frameio.faults.plan("token", fault)
    answer = await client.refresh("any")
    assert (answer.status, answer.fields["error"]) == (status, error)


async def test_a_fault_can_be_one_persons_own(frameio: FrameIO, lasting: Client) -> None:
    editor = await lasting.tokens()
    await lasting.visitor.session.close()
    lasting.visitor = Visitor()
    code = (await lasting.callback("Guest")).query["code"]
    guest = (await lasting.redeem(code)).fields
    path = f"/{lasting.app.api}/me"
    frameio.faults.plan("me", Fault.TOO_MANY_FOR_NOW, person=GUEST)
    frameio.faults.plan("token:refresh_token", Fault.ACTION_REQUIRED, 1, person=GUEST)
    for _ in range(2):
        assert (await lasting.ask(path, editor["access_token"])).status == 200
        answer = await lasting.ask(path, guest["access_token"])
        assert (answer.status, answer.headers.get("Retry-After")) == (429, None)
    assert (await lasting.refresh(editor["refresh_token"])).status == 200
    refused = await lasting.refresh(guest["refresh_token"])
    assert refused.fields["error"] == "ride_AdobeID_acct_actreq"
    assert (await lasting.refresh(guest["refresh_token"])).status == 200


async def test_an_echo_holds_every_secret_of_the_request(frameio: FrameIO, secret_app: Client) -> None:
    frameio.faults.plan("token", Fault.ECHO)
    answer = await secret_app.refresh("the-refresh-token")
    told = f"{answer.fields['error_description']} {answer.fields['error_hint']}"
    for secret in ("the-refresh-token", secret_app.headers()["Authorization"]):
        assert secret in told


async def test_a_delayed_answer_comes_after_one_that_is_not(frameio: FrameIO, client: Client) -> None:
    bearer = (await client.tokens())["access_token"]
    path = f"/{client.app.api}/me"
    frameio.faults.delay("me", 3600)
    slow = asyncio.create_task(client.ask(path, bearer))
    assert (await client.refresh("any")).status == 400
    assert not slow.done()
    slow.cancel()
    frameio.faults.clear()
    assert (await client.ask(path, bearer)).status == 200
