"""An end reaches everything that is open, whatever it said it accepts, and nothing of anybody else's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from oauth_proxy.demo.faults import Fault
from oauth_proxy.demo.people import EDITOR, STUDIO_ACCOUNT
from oauth_proxy.settings import Member
from tests.support.browser import Visitor
from tests.support.proxy import WANTED, Stage, on_stage, replica
from tests.support.raw_http import HANDSHAKE
from tests.support.sessions import signed_in
from tests.support.tool import until
from tests.support.units import HOUR, PATIENCE

EXCHANGES: dict[str, tuple[str, list[str]]] = {
    "event stream that accepts anything": ("GET /drip", ["Accept: */*"]),
    "event stream": ("GET /drip", ["Accept: text/event-stream"]),
    "endless chunked answer": ("GET /chunks", ["Accept: application/json"]),
    "endless download": ("GET /download", []),
    "answer that has not begun": ("GET /never", []),
    "upload under way": ("POST /upload", ["Content-Length: 1000000000", "Content-Type: video/mp4"]),
    "chunked upload under way": ("PUT /upload", ["Transfer-Encoding: chunked"]),
    "WebSocket": ("GET /socket", HANDSHAKE),
}
PUBLIC = {"stream that is public": ("GET /open", ["Accept: */*"])}


async def flow(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    if request.path == "/download":
        answer.content_length = 10**12
    await answer.prepare(request)
    with suppress(ConnectionError):
        while True:
            await answer.write(b"data: more\n\n")
            await asyncio.sleep(0.02)
    return answer


async def never(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(PATIENCE)
    return web.Response()


async def swallow(request: web.Request) -> web.StreamResponse:
    with suppress(ConnectionError):
        async for _ in request.content.iter_any():
            pass
    return web.Response()


async def talk(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    with suppress(ConnectionError):
        while not socket.closed:
            await socket.send_str("more")
            await asyncio.sleep(0.02)
    return socket


async def here(request: web.Request) -> web.StreamResponse:
    return web.Response(text="here")


def a_tool_without_end() -> web.Application:
    """Nothing it begins ends by itself, but for /echo."""
    app = web.Application()
    app.add_routes([web.get(path, flow) for path in ("/drip", "/chunks", "/download", "/open")])
    app.add_routes([web.get("/never", never), web.get("/socket", talk), web.route("*", "/upload", swallow)])
    app.add_routes([web.get("/echo", here)])
    return app


class Exchange:
    """One exchange on a connection of its own; what comes is read and forgotten."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._reading = asyncio.create_task(self._read(reader))

    @property
    def is_over(self) -> bool:
        return self._reading.done()

    async def ends(self) -> None:
        """Returns once the proxy has cut it."""
        async with asyncio.timeout(10):
            await self._reading

    async def close(self) -> None:
        self._writer.transport.abort()
        await self._reading

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while await reader.read(65536):
                pass


@asynccontextmanager
async def opened(stage: Stage, kind: str, credential: str, below: str = "") -> AsyncIterator[Exchange]:
    line, lines = {**EXCHANGES, **PUBLIC}[kind]
    line = line.replace(" ", f" {below}")
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.listens_on)
    head = [f"{line} HTTP/1.1", f"Host: localhost:{stage.port}", credential, *lines]
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n")
    if "chunked upload" in kind:
        writer.write(b"5\r\nhello\r\n")
    elif "upload" in kind:
        writer.write(b"hello")
    exchange = Exchange(reader, writer)
    try:
        yield exchange
    finally:
        await exchange.close()


async def are_open(*counts: tuple[Stage, int]) -> None:
    """So many exchanges are open at each stage."""
    for stage, count in counts:
        await until(partial(has_open, stage, count))


def has_open(stage: Stage, count: int) -> bool:
    return stage.proxy.open_exchanges.connections().total() == count


@pytest.mark.parametrize("kind", EXCHANGES)
async def test_signing_out_cuts_what_is_open_here_and_at_a_replica_and_nothing_of_others(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = f"sqlite:{tmp_path}/sessions.db"
    async with (
        on_stage(tool=a_tool_without_end(), session={"store": store}, access={"public": ["GET /open"]}) as a,
        replica(a) as b,
        Visitor() as one,
        Visitor() as two,
    ):
        theirs, others = await signed_in(a, one), await signed_in(a, two, "Reviewer")
        async with (
            opened(a, kind, theirs) as cut_here,
            opened(b, kind, theirs) as cut_there,
            opened(a, kind, others) as others_here,
            opened(b, kind, others) as others_there,
            opened(b, "stream that is public", "Accept-Language: en") as a_strangers,
        ):
            await are_open((a, 2), (b, 2))
            assert (await a.ask("/oauth2/sign_out", theirs, WANTED)).status == 200
            for stage in (a, b):
                await stage.proxy.look()
            await asyncio.gather(cut_here.ends(), cut_there.ends())
            await asyncio.sleep(0.1)
            for going_on in (others_here, others_there, a_strangers):
                assert not going_on.is_over
    assert "a fault of ours" not in caplog.text


@pytest.mark.parametrize("kind", EXCHANGES)
async def test_a_demotion_that_a_recheck_finds_cuts_what_is_open(kind: str) -> None:
    rules = {"allow": [{"email": "*@studio.example.com"}], "recheck": "5m"}
    async with on_stage(tool=a_tool_without_end(), access=rules) as stage, Visitor() as one, Visitor() as two:
        theirs, others = await signed_in(stage, one), await signed_in(stage, two, "Reviewer")
        async with opened(stage, kind, theirs) as cut, opened(stage, kind, others) as going_on:
            await are_open((stage, 2))
            stage.frameio.change_email(EDITOR, "editor@elsewhere.example.org")
            stage.clock.advance(299)
            await rechecked(stage)
            assert not cut.is_over
            stage.clock.advance(1)
            await rechecked(stage)
            await cut.ends()
            assert not going_on.is_over
        assert stage.frameio.calls["token:refresh_token"] == 0


@pytest.mark.parametrize("kind", ["WebSocket", "event stream"])
async def test_of_a_rule_that_is_new_in_the_file_whom_it_fits_keep_what_they_have_open(kind: str) -> None:
    rules = [Member("account", STUDIO_ACCOUNT, ("admin",))]
    studio = {"allow": [{"email": "*@studio.example.com"}]}
    async with on_stage(tool=a_tool_without_end(), access=studio) as stage, Visitor() as one, Visitor() as two:
        theirs, others = await signed_in(stage, one), await signed_in(stage, two, "Reviewer")
        async with opened(stage, kind, theirs) as going_on, opened(stage, kind, others) as cut:
            await are_open((stage, 2))
            access = stage.settings.access.model_copy(update={"allow": rules})
            stage.proxy.obey(stage.settings.model_copy(update={"access": access}))
            assert not cut.is_over, "Frame.io has not been asked"
            stage.clock.advance(1)
            await rechecked(stage)
            await cut.ends()
            assert not going_on.is_over


async def rechecked(stage: Stage) -> None:
    """A look, what it began, and the look after that."""
    await stage.proxy.look()
    await until(lambda: not stage.proxy.refresher.sizes["tended"])
    await stage.proxy.look()


@pytest.mark.parametrize("kind", EXCHANGES)
async def test_a_programs_exchange_ends_once_frame_io_refuses_its_token_which_is_asked_about_every_five_minutes(
    kind: str,
) -> None:
    async with on_stage(tool=a_tool_without_end(), access={"bearer": "true"}) as stage:
        token, other = (stage.frameio.developer_token(EDITOR) for _ in range(2))
        async with (
            opened(stage, kind, f"Authorization: Bearer {token}") as cut,
            opened(stage, kind, f"Authorization: Bearer {other}") as going_on,
        ):
            await are_open((stage, 2))
            for _ in range(60):
                stage.clock.advance(30)
                await asked_about(stage)
            assert stage.frameio.calls["me"] == 2 + 2 * 6
            assert not cut.is_over
            stage.frameio.revoke_token(token)
            stage.clock.advance(300)
            await asked_about(stage)
            await cut.ends()
            assert not going_on.is_over
            assert stage.frameio.calls["me"] == 2 + 2 * 7


async def asked_about(stage: Stage) -> None:
    """A look, the questions about programs that it began, and the look after that."""
    await stage.proxy.look()
    await until(lambda: not stage.proxy.bearers.sizes["rechecked"])
    await stage.proxy.look()


async def test_frame_io_away_cuts_no_programs_exchange_and_is_not_asked_every_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with on_stage(tool=a_tool_without_end(), access={"bearer": "true"}) as stage:
        token = stage.frameio.developer_token(EDITOR)
        async with opened(stage, "WebSocket", f"Authorization: Bearer {token}") as socket:
            await are_open((stage, 1))
            stage.frameio.faults.plan("me", Fault.SERVER_ERROR)
            asked = stage.frameio.calls["me"]
            stage.clock.advance(300)
            for _ in range(60):
                stage.clock.advance(1)
                await asked_about(stage)
            assert not socket.is_over
            assert stage.frameio.calls["me"] - asked <= 12
            stage.frameio.faults.clear()
            stage.frameio.revoke_token(token)
            stage.clock.advance(60)
            await asked_about(stage)
            await socket.ends()
    assert "a fault of ours" not in caplog.text


async def test_what_ends_cuts_a_visitor_who_only_listens_when_the_grant_is_ended_at_frame_io(
    visitor: Visitor,
) -> None:
    async with on_stage(tool=a_tool_without_end(), access={"recheck": "5m"}) as stage:
        cookie = await signed_in(stage, visitor)
        async with opened(stage, "WebSocket", cookie) as socket:
            await are_open((stage, 1))
            stage.frameio.revoke_all(EDITOR)
            stage.clock.advance(300)
            await rechecked(stage)
            await socket.ends()
        assert (await stage.ask("/echo", cookie)).status == 401
        stage.clock.advance(HOUR)
        assert (await stage.ask("/echo", cookie)).status == 401
