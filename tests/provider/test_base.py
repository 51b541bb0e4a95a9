import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import quote_plus, unquote

import pytest
from aiohttp import web

from oauth_proxy.demo.faults import Fault
from oauth_proxy.demo.people import EDITOR, Api
from oauth_proxy.errors import (
    CodeRefused,
    GrantEnded,
    NotAllowed,
    ProviderAway,
    ProviderBusy,
    ProviderNonsense,
    ProviderRefusedUs,
    ProviderUnavailable,
    ProxyError,
)
from oauth_proxy.oauth import Attempt
from oauth_proxy.provider import calls
from tests.support.provider import HELD, STATE, Memberships, answering, asking
from tests.support.proxy import SECRET, free_port

CALLS = ("exchange", "refresh", "profile", "revoke")
ENDPOINTS = {
    "exchange": "token:authorization_code",
    "refresh": "token:refresh_token",
    "profile": "me",
    "revoke": "revoke",
}

LOGIN_HELPS = (Fault.INVALID_GRANT, Fault.INVALID_TOKEN, Fault.ACCESS_DENIED, Fault.ACTION_REQUIRED)

Call = Callable[[], Awaitable[object]]


async def prepared(asked: Memberships, call: str) -> tuple[Call, list[str]]:
    """One call that would go well, and the secrets it carries."""
    attempt = Attempt.start(STATE, asked.clock())
    if call == "exchange":
        code = await asked.code(attempt)
        return lambda: asked.provider.exchange(code, attempt), [code, attempt.verifier, SECRET]
    tokens = await asked.tokens()
    secrets = [tokens.access, tokens.refresh or "", SECRET]
    match call:
        case "refresh":
            return lambda: asked.provider.refresh(tokens, owner="o"), secrets
        case "profile":
            return lambda: asked.provider.profile(tokens.access, owner="o"), secrets
        case _:
            return lambda: asked.provider.revoke(tokens), secrets


def expected(call: str, fault: Fault) -> type[ProxyError] | None:
    """The failure a fault has to end in."""
    if call == "revoke":  # its answer is its status alone (RFC 7009 2.2)
        quiet = (Fault.HTML, Fault.NO_ACCESS_TOKEN, Fault.NOT_AN_OBJECT)
        return None if fault in quiet else ProviderUnavailable
    match fault:
        case Fault.TOO_MANY_REQUESTS | Fault.TOO_MANY_FOR_NOW:
            return ProviderBusy
        case Fault.SERVER_ERROR | Fault.HANG | Fault.DISCONNECT | Fault.LOST:
            return ProviderAway
        case Fault.FORBIDDEN if call == "profile":
            return NotAllowed
        case Fault.INVALID_CLIENT:  # a 401, which the API gives for the token
            return GrantEnded if call == "profile" else ProviderRefusedUs
        case _ if fault in LOGIN_HELPS and call == "exchange":
            return CodeRefused
        case _ if fault in LOGIN_HELPS and call == "refresh":
            return GrantEnded
        case _:
            return ProviderNonsense


@pytest.mark.parametrize("api", ["v2", "v4"])
@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("call", CALLS)
async def test_a_fault_of_frame_io_is_a_named_failure_that_tells_no_secret(
    call: str, fault: Fault, api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with asking(api) as asked:
        ask, secrets = await prepared(asked, call)
        before = asked.frameio.calls[ENDPOINTS[call]]
        asked.frameio.faults.plan(ENDPOINTS[call], fault)
        if fault is Fault.HANG:
            monkeypatch.setattr(calls, "DEADLINE", 0.05)
        failure = expected(call, fault)
        caplog.set_level(logging.DEBUG)
        caplog.clear()
        if failure is None:
            await ask()
        else:
            with pytest.raises(ProxyError) as caught:
                await ask()
            assert type(caught.value) is failure
            told = f"{caught.value!r} {caught.value} {caught.value.cause}"
            assert not [secret for secret in secrets if secret in told]
        assert not [secret for secret in secrets if secret in caplog.text]
        # A code or a refresh token is good for one use: nothing may send it a second time.
        if call != "profile":
            assert asked.frameio.calls[ENDPOINTS[call]] == before + (2 if call == "revoke" else 1)


@pytest.mark.parametrize("call", CALLS)
async def test_the_same_call_goes_well_without_the_fault(call: str) -> None:
    async with asking() as asked:
        ask, _ = await prepared(asked, call)
        await ask()


async def test_an_answer_that_begins_and_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b"{")
        await asyncio.Event().wait()
        return response

    monkeypatch.setattr(calls, "DEADLINE", 0.05)
    async with answering(drip) as url, asking(token_url=url, api_url=url) as asked:
        for ask in (asked.provider.refresh(HELD, owner="o"), asked.provider.profile("t", owner="o")):
            with pytest.raises(ProviderAway, match="TimeoutError"):
                await ask


async def test_nobody_listening_and_no_tls_are_unavailable() -> None:
    async with asking() as ground:
        for url in (f"http://127.0.0.1:{free_port()}", ground.url.replace("http:", "https:")):
            async with asking(token_url=url, api_url=url) as asked:
                for ask in (asked.provider.refresh(HELD, owner="o"), asked.provider.profile("t", owner="o")):
                    with pytest.raises(ProviderAway):
                        await ask


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed_with_a_secret(status: int) -> None:
    reached: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        reached.append(request.path)
        return web.json_response({"access_token": "x", "id": "x"})

    async with answering(elsewhere) as other:

        async def move(request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, headers={"Location": f"{other}/taken"})

        async with answering(move) as url, asking(token_url=url, api_url=url, revoke_url=url) as asked:
            attempt = Attempt.start(STATE, asked.clock())
            for ask in (
                asked.provider.exchange("code", attempt),
                asked.provider.refresh(HELD, owner="o"),
                asked.provider.profile("token", owner="o"),
                asked.provider.revoke(HELD),
            ):
                with pytest.raises(ProviderUnavailable, match=str(status)):
                    await ask
    assert not reached


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_may_have_256_kib_and_no_byte_more(chunked: bool) -> None:
    size = calls.LONGEST_ANSWER

    async def pad(request: web.Request) -> web.StreamResponse:
        body = json.dumps({"id": "x", "name": "Editor"}).encode().ljust(size)
        response = web.StreamResponse()
        response.content_length = None if chunked else len(body)
        await response.prepare(request)
        await response.write(body)
        return response

    async with answering(pad) as url, asking(api_url=url) as asked:
        assert (await asked.provider.profile("token", owner="o")).id == "x"
        size += 1
        with pytest.raises(ProviderNonsense, match="longer than 262144 bytes"):
            await asked.provider.profile("token", owner="o")


async def test_an_endless_answer_is_cut_off() -> None:
    hung_up = asyncio.Event()

    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * 65_536)
        except ConnectionError:
            hung_up.set()
        return response

    async with answering(flood) as url, asking(api_url=url) as asked:
        with pytest.raises(ProviderNonsense, match="longer than"):
            await asked.provider.profile("token", owner="o")
        async with asyncio.timeout(5):
            await hung_up.wait()


async def test_a_compressed_answer_is_not_inflated() -> None:
    async def bomb(request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept-Encoding"] == "identity"
        response = web.Response(body=b'{"id": "x"}' + b" " * 2**20)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async with answering(bomb) as url, asking(api_url=url) as asked:
        with pytest.raises(ProviderNonsense, match="not what was asked for"):
            await asked.provider.profile("token", owner="o")


async def test_a_provider_that_echoes_the_request_in_its_error_puts_no_secret_into_ours() -> None:
    basic: set[str] = set()

    async def echo(request: web.Request) -> web.StreamResponse:
        credentials = request.headers["Authorization"].partition(" ")[2]
        basic.update({credentials, quote_plus(credentials)})
        told = [await request.text(), str(dict(await request.post())), unquote(await request.text()), SECRET]
        told += [quote_plus(SECRET), credentials, quote_plus(credentials)]
        fields = {
            "error": "invalid_grant",
            "error_description": " ".join(told),
            "error_hint": " ".join(told[::-1]),
        }
        return web.json_response(fields, status=400)

    async with answering(echo) as url, asking(token_url=url) as asked:
        attempt = Attempt.start(STATE, asked.clock())
        with pytest.raises(CodeRefused) as refused:
            await asked.provider.exchange("the+secret/code", attempt)
        with pytest.raises(GrantEnded) as ended:
            await asked.provider.refresh(HELD, owner="o")
    told = refused.value.cause + ended.value.cause
    assert "authorization_code" in told
    secrets = ("the+secret/code", "the%2Bsecret%2Fcode", attempt.verifier, "held-refresh-token", SECRET, *basic)
    assert not [each for each in secrets if each in told]


async def test_a_code_is_good_once_and_its_second_use_is_refused() -> None:
    async with asking() as asked:
        attempt = Attempt.start(STATE, asked.clock())
        code = await asked.code(attempt)
        await asked.provider.exchange(code, attempt)
        with pytest.raises(CodeRefused):
            await asked.provider.exchange(code, attempt)


async def test_a_code_goes_with_its_own_attempt_only() -> None:
    async with asking() as asked:
        code = await asked.code(Attempt.start(STATE, asked.clock()))
        with pytest.raises(CodeRefused):
            await asked.provider.exchange(code, Attempt.start(STATE, asked.clock()))


async def test_a_wrong_client_secret_is_our_own_mistake_and_is_not_told() -> None:
    async with (
        asking() as right,
        asking(client_secret="another-secret", token_url=f"{right.url}/oauth2/token") as us,
    ):
        with pytest.raises(ProviderRefusedUs) as caught:
            await us.provider.refresh(HELD, owner="o")
    assert "another-secret" not in caught.value.cause


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (401, GrantEnded),
        (403, NotAllowed),
        (404, ProviderNonsense),
        (204, ProviderNonsense),
        (429, ProviderBusy),
        (500, ProviderAway),
        (503, ProviderAway),
    ],
)
async def test_the_profile_endpoints_status_is_a_named_failure(status: int, failure: type[ProxyError]) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    async with answering(refuse) as url, asking(api_url=url) as asked:
        with pytest.raises(ProxyError) as caught:
            await asked.provider.profile("the-secret-token", owner="o")
    assert type(caught.value) is failure
    assert str(status) in caught.value.cause
    assert "the-secret-token" not in repr(caught.value)


async def test_a_person_who_left_frame_io_has_no_profile() -> None:
    async with asking() as asked:
        tokens = await asked.tokens()
        asked.frameio.remove_person(EDITOR)
        with pytest.raises(GrantEnded):
            await asked.provider.profile(tokens.access, owner="o")
