"""How Frame.io and tools are reached: through a proxy, by authorities of one's own, with a certificate of ours."""

import asyncio
import base64
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from oauth_proxy.assembly import provider_for
from oauth_proxy.clock import MACHINE, Clock
from oauth_proxy.egress import frameio_session, frameio_tls
from oauth_proxy.errors import GrantEnded, ProviderAway
from oauth_proxy.settings import notes
from oauth_proxy.telemetry import Metrics
from tests.support.certificates import Authority
from tests.support.command import APP, said_here, written
from tests.support.configuration import file, read
from tests.support.proxy import free_port, on_stage
from tests.support.raw_http import HANDSHAKE, TOOL_BYTES, Tool
from tests.support.units import PATIENCE

API = "api.frameio.example"
"""A name that nobody here resolves but the proxy."""


@asynccontextmanager
async def over_tls(
    tool: Tool, stem: Path, *names: str, authority: Authority, asks_for: Authority | None = None
) -> AsyncIterator[int]:
    """The tool with a certificate for these names, on its port; it may ask for one that an authority issued."""
    authority.write(stem, *names)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(stem.with_suffix(".crt"), stem.with_suffix(".key"))
    if asks_for:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(asks_for.write_ca(stem.with_name("asked.pem")))
    server = await asyncio.start_server(tool.serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await tool.stop()


@dataclass
class ForwardProxy:
    """A proxy of bare sockets, which knows one host and has tunnels to it (RFC 9110 9.3.6)."""

    to: int
    status: str = "200 Connected"
    heard: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 {self.status}\r\n\r\n".encode())
        if self.status.startswith("200"):
            inner, outer = await asyncio.open_connection("127.0.0.1", self.to)
            await asyncio.gather(self._carry(reader, outer), self._carry(inner, writer))
        writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()


async def asked(environ: dict[str, str], folder: Path, **frameio: str) -> Exception:
    """What becomes of a question for a profile; the answer is that the token is not good."""
    told = ", ".join(f"{key}: {value}" for key, value in {"api_url": f"https://{API}", **frameio}.items())
    section = f"frameio: {{api: v4, client_id: an-app, {told}}}"
    settings = read(file(frameio=section), environ, folder)
    async with frameio_session(frameio_tls(settings.frameio)) as http, asyncio.timeout(PATIENCE):
        provider = provider_for(settings, http, Clock(), MACHINE, Metrics("0"))
        with pytest.raises((GrantEnded, ProviderAway)) as caught:
            await provider.profile("a-token", owner="o")
    return caught.value


@asynccontextmanager
async def behind_a_proxy(
    folder: Path, authority: Authority, status: str = "200 Connected"
) -> AsyncIterator[tuple[ForwardProxy, Tool, int]]:
    """A Frame.io that refuses every token, a proxy in front of it, and that one's port."""
    frameio = Tool()
    frameio.says = lambda _: b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    async with over_tls(frameio, folder / "api", API, authority=authority) as port:
        proxy = ForwardProxy(port, status)
        async with proxy.listening() as at:
            yield proxy, frameio, at


async def test_frame_io_is_asked_through_the_proxy_of_the_environment_which_reads_nothing(
    tmp_path: Path, authority: Authority
) -> None:
    ca = authority.write_ca(tmp_path / "ca.pem")
    async with behind_a_proxy(tmp_path, authority) as (proxy, frameio, at):
        environ = {"HTTPS_PROXY": f"http://jo:p%40ss@localhost:{at}"}
        assert isinstance(await asked(environ, tmp_path, ca_file=ca), GrantEnded)
    [head] = proxy.heard
    assert head.startswith(f"CONNECT {API}:443 HTTP/1.1\r\n")
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'jo:p@ss').decode()}\r\n" in head
    assert "a-token" not in head
    [heard] = frameio.heard
    assert heard.all("authorization") == ["Bearer a-token"]
    assert not heard.all("proxy-authorization")


async def test_a_proxy_for_http_is_told_the_whole_url(tmp_path: Path) -> None:
    proxy = Tool()
    proxy.says = lambda _: b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    async with proxy.listening() as url:
        environ = {"HTTP_PROXY": url.replace("http://", "http://jo:x@")}
        assert isinstance(await asked(environ, tmp_path, api_url=f"http://{API}"), GrantEnded)
    [heard] = proxy.heard
    assert heard.line == f"GET http://{API}/v4/me HTTP/1.1"
    assert heard.all("proxy-authorization") == [f"Basic {base64.b64encode(b'jo:x').decode()}"]


async def test_no_proxy_leads_past_the_proxy(tmp_path: Path, authority: Authority) -> None:
    ca = authority.write_ca(tmp_path / "ca.pem")
    async with behind_a_proxy(tmp_path, authority) as (proxy, frameio, at):
        environ = {"HTTPS_PROXY": f"http://localhost:{at}", "NO_PROXY": "frameio.example"}
        assert isinstance(await asked(environ, tmp_path, ca_file=ca), ProviderAway)
    assert (proxy.heard, frameio.heard) == ([], [])


async def test_a_proxy_that_refuses_is_named_without_its_password(tmp_path: Path, authority: Authority) -> None:
    async with behind_a_proxy(tmp_path, authority, "407 Proxy Authentication Required") as (_, frameio, at):
        failed = await asked({"HTTPS_PROXY": f"http://jo:secret@localhost:{at}"}, tmp_path)
    assert isinstance(failed, ProviderAway)
    assert "407" in failed.cause
    assert "secret" not in failed.cause
    assert not frameio.heard


async def test_a_proxy_that_is_down_is_frame_io_away_and_never_a_way_past_it(tmp_path: Path) -> None:
    failed = await asked({"HTTPS_PROXY": f"http://jo:secret@localhost:{free_port()}"}, tmp_path)
    assert isinstance(failed, ProviderAway)
    assert "secret" not in failed.cause


@pytest.mark.parametrize("theirs", [None, Authority()])
async def test_no_authority_but_the_named_one_vouches_for_frame_io(
    tmp_path: Path, authority: Authority, theirs: Authority | None
) -> None:
    trusted = {"ca_file": theirs.write_ca(tmp_path / "ca.pem")} if theirs else {}
    async with behind_a_proxy(tmp_path, authority) as (_, frameio, at):
        failed = await asked({"HTTPS_PROXY": f"http://localhost:{at}"}, tmp_path, **trusted)
    assert isinstance(failed, ProviderAway)
    assert "CERTIFICATE_VERIFY_FAILED" in failed.cause
    assert not frameio.heard


def test_check_names_the_proxy_and_run_refuses_one_it_cannot_ask(tmp_path: Path) -> None:
    path = written(tmp_path)
    done = said_here("check", path, environ={**APP, "HTTPS_PROXY": "http://jo:secret@proxy:3128"})
    assert done.returncode == 0
    said = done.stdout + done.stderr
    assert "Frame.io is asked through the proxy http://proxy:3128" in said
    assert "secret@" not in said
    done = said_here("check", path, environ={**APP, "HTTPS_PROXY": "socks5://jo:secret@proxy:3128"})
    assert done.returncode == 2
    assert "HTTPS_PROXY is no proxy such as" in done.stderr
    assert "secret@" not in done.stderr


# Tools.


async def status_of(tool: Tool, port: int, *lines: str, **tls: Any) -> int:
    """What a visitor gets of a tool at this port by https."""
    upstreams = {"/": {"url": f"https://localhost:{port}", **tls}}
    async with on_stage(upstreams=upstreams, access={"public": ["/open"]}) as stage:
        if lines:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.listens_on)
            head = ["GET /open HTTP/1.1", f"Host: localhost:{stage.port}", *lines]
            writer.write("\r\n".join(head).encode() + b"\r\n\r\n")
            async with asyncio.timeout(PATIENCE):
                first = await reader.readline()
            writer.close()
            return int(first.split()[1])
        answer = await stage.ask("/open")
        assert (TOOL_BYTES in answer.body) == (answer.status == 200)
        return answer.status


async def test_a_tool_is_verified_by_the_authority_named_for_it(tmp_path: Path, authority: Authority) -> None:
    ca, other = authority.write_ca(tmp_path / "ca.pem"), Authority().write_ca(tmp_path / "other.pem")
    tool = Tool()
    async with over_tls(tool, tmp_path / "tool", "localhost", authority=authority) as port:
        assert await status_of(tool, port) == 502
        assert await status_of(tool, port, ca_file=other) == 502
        assert not tool.heard
        assert await status_of(tool, port, ca_file=ca) == 200
        assert await status_of(tool, port, *HANDSHAKE, ca_file=ca) == 101
    tool = Tool()
    async with over_tls(tool, tmp_path / "tool", "other.example", authority=authority) as port:
        assert await status_of(tool, port, ca_file=ca) == 502
        assert not tool.heard


async def test_verify_false_takes_whoever_answers(tmp_path: Path, authority: Authority) -> None:
    tool = Tool()
    async with over_tls(tool, tmp_path / "tool", "other.example", authority=authority) as port:
        assert await status_of(tool, port, verify="false") == 200


async def test_a_tool_knows_the_proxy_by_its_certificate(tmp_path: Path, authority: Authority) -> None:
    ca, ours, others = authority.write_ca(tmp_path / "ca.pem"), Authority(), Authority()
    mine, wrong = ours.pair(tmp_path / "mine", "proxy"), others.pair(tmp_path / "wrong", "proxy")
    tool = Tool()
    async with over_tls(tool, tmp_path / "tool", "localhost", authority=authority, asks_for=ours) as port:
        assert await status_of(tool, port, ca_file=ca) == 502
        assert await status_of(tool, port, ca_file=ca, client_cert=wrong) == 502
        assert not tool.heard
        assert await status_of(tool, port, ca_file=ca, client_cert=mine) == 200
        assert await status_of(tool, port, *HANDSHAKE, ca_file=ca, client_cert=mine) == 101


async def test_a_renewed_client_certificate_is_used_for_the_next_connection(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ca, ours, others = authority.write_ca(tmp_path / "ca.pem"), Authority(), Authority()
    pair, renewed = others.pair(tmp_path / "mine", "proxy"), tmp_path / "renewed"
    tool = Tool()
    async with over_tls(tool, tmp_path / "tool", "localhost", authority=authority, asks_for=ours) as port:
        upstreams = {"/": {"url": f"https://localhost:{port}", "ca_file": ca, "client_cert": pair}}
        async with on_stage(upstreams=upstreams, access={"public": ["/open"]}) as stage:
            tls = stage.proxy.contents.tool_tls
            assert (await stage.ask("/open")).status == 502
            assert tls.look() == {}
            ours.write(renewed, "proxy")
            renewed.with_suffix(".crt").replace(tmp_path / "mine.crt")  # its key is not there yet
            assert [tls.look(), tls.look()] == [{}, {}]
            [told] = [message for message in caplog.messages if "client_cert" in message]
            assert told.endswith("; what was read before stays in use")
            renewed.with_suffix(".key").replace(tmp_path / "mine.key")
            async with asyncio.timeout(PATIENCE):
                while True:
                    answer = await stage.ask("/open")
                    if answer.status == 200:
                        break
                    await asyncio.sleep(0.1)
            assert "the files for TLS to the tool of / are read again" in caplog.messages


def test_a_client_certificate_that_has_expired_is_noted(tmp_path: Path, authority: Authority) -> None:
    authority.write(tmp_path / "old", "proxy", ends=datetime(2026, 11, 1, tzinfo=UTC))
    tls = "client_cert: {cert: old.crt, key: old.key}"
    settings = read(file(upstreams=f"upstreams: {{/: {{url: https://tool, {tls}}}}}"), folder=tmp_path)
    found = [note for note in notes(settings, datetime(2026, 11, 29, tzinfo=UTC)) if "expired" in note]
    assert found == [
        f"The certificate in {tmp_path}/old.crt expired on 1 November 2026: the tool of / refuses it."
    ]
