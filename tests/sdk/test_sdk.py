"""Frame.io's own SDK against the emulated Frame.io, so that this is none too strict, and through the proxy."""

import json
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from oauth_proxy.demo.frameio import FrameIO
from oauth_proxy.demo.people import EDITOR, App
from tests.support.browser import Visitor
from tests.support.places import ROOT
from tests.support.provider import CALLBACK
from tests.support.proxy import Clock, on_stage, serving

PYTHON = ROOT / ".venv-sdk/bin/python"
PROGRAM = Path(__file__).with_name("program.py")

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="Frame.io's SDK has an environment of its own: make sdk makes it"
)


class Program:
    """The program in the SDK's environment, as somebody who reads what it says and answers."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def says(self) -> Any:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the program ended; what it said last stands above"
        return json.loads(line)

    def tell(self, value: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value).encode() + b"\n")


@asynccontextmanager
async def program(does: str, **arguments: object) -> AsyncIterator[Program]:
    process = await create_subprocess_exec(
        PYTHON, PROGRAM, does, json.dumps(arguments), stdin=PIPE, stdout=PIPE, stderr=sys.stderr, env={}
    )
    try:
        yield Program(process)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def emulated(client_secret: str | None) -> AsyncIterator[tuple[FrameIO, dict[str, Any]]]:
    """The emulated Frame.io with a v4 app, and what the SDK is told of that app."""
    frameio = FrameIO(Clock(), [App("studio", client_secret, (CALLBACK,), api="v4")])
    async with serving(frameio.app()) as url:
        app: dict[str, Any] = {"client_id": "studio", "redirect_uri": CALLBACK, "ims_base_url": url}
        yield frameio, app | ({"client_secret": client_secret} if client_secret else {})


async def code(url: str) -> str:
    """The code that the Editor's browser is sent back with."""
    async with Visitor() as visitor:
        page = await visitor.follow(await signed_in(visitor, url))
        back = await visitor.press(page, "Allow")
    return parse_qs(urlsplit(back.headers["Location"]).query)["code"][0]


async def signed_in(visitor: Visitor, url: str) -> str:
    await visitor.press(await visitor.get(url), "Editor")
    return url


async def test_the_sdks_web_app_login_refresh_and_revocation_pass() -> None:
    async with emulated("p8e-a_secret") as (frameio, app), program("web_app", **app) as sdk:
        sdk.tell(await code((await sdk.says())["url"]))
        tokens = await sdk.says()
        first, second = tokens["first"], tokens["second"]
        assert frameio.issued("access") == [first["access_token"], second["access_token"]]
        assert frameio.issued("refresh") == [first["refresh_token"], second["refresh_token"]]
        assert frameio.is_live(second["access_token"])
        sdk.tell("go on")
        assert not (await sdk.says())["held"]["access_token"]
        assert not frameio.is_live(second["access_token"])
        assert frameio.calls["revoke"] == 2
    exchange, refresh = frameio.token_requests
    assert "code_verifier" not in exchange.form
    assert "scope" not in refresh.form
    for request in (exchange, refresh):
        assert request.form["client_secret"] == "p8e-a_secret"
        assert "Authorization" not in request.headers


async def test_the_sdks_spa_login_and_revocation_pass_and_there_is_nothing_to_refresh_by() -> None:
    async with emulated(None) as (frameio, app), program("spa", **app) as sdk:
        sdk.tell(await code((await sdk.says())["url"]))
        told = await sdk.says()
        assert told["first"]["refresh_token"] is None
        assert told["refused"].startswith("No refresh token available")
        assert frameio.is_live(told["first"]["access_token"])
        sdk.tell("go on")
        await sdk.says()
        assert not frameio.is_live(told["first"]["access_token"])
    (exchange,) = frameio.token_requests
    assert exchange.form["code_verifier"]


async def test_the_sdks_client_works_through_the_proxy_with_a_programs_own_token(visitor: Visitor) -> None:
    upstreams = {"/": "TOOL", "/frameio/": {"url": "FRAMEIO", "host": "upstream"}}
    access = {"allow": ["everyone"], "bearer": True}
    async with on_stage(api="v4", upstreams=upstreams, access=access) as stage:
        further = [f"account-{number}" for number in range(4)]
        stage.frameio.put_person(replace(EDITOR, accounts=dict.fromkeys(further, "member")))
        await visitor.login(f"{stage.url}/echo")
        [token] = stage.frameio.issued("access")
        async with program("client", base_url=f"{stage.url}/frameio", token=token) as sdk:
            told = await sdk.says()
    assert told["me"] == [EDITOR.id, EDITOR.email, EDITOR.name]
    assert told["accounts"] == [EDITOR.account_id, *further]
    assert stage.frameio.calls["accounts"] == 3, "pages of two"
