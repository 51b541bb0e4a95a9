import asyncio
import json
import logging
import re
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import ClientSession

from oauth_proxy.demo.people import EDITOR
from oauth_proxy.errors import ConfigurationError
from oauth_proxy.gateway import Gateway
from oauth_proxy.pages import Pages
from tests.support.browser import NAVIGATING, Visitor
from tests.support.proxy import RawAnswer, Stage, free_port, on_stage
from tests.support.units import PATIENCE


@pytest.mark.parametrize(
    "host", ["evil.com", "localhost", "localhost:1", "evil.com/@x", "", "localhost:{port}.evil.com"]
)
async def test_a_request_for_another_host_is_421_and_a_person_is_shown_the_way(stage: Stage, host: str) -> None:
    host = host.format(port=stage.port)
    head = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
    assert RawAnswer.read(await stage.raw(f"{head}\r\n".encode())).status == 421
    navigating = "".join(f"{line}\r\n" for line in NAVIGATING)
    answer = RawAnswer.read(await stage.raw(f"{head}{navigating}\r\n".encode()))
    assert answer.status == 421
    assert f'href="{stage.url}/"'.encode() in answer.body
    assert b"evil" not in answer.body


@pytest.mark.parametrize("hosts", [[], ["localhost:{port}", "localhost:{port}"], ["localhost:{port}", "evil.com"]])
async def test_a_request_with_none_or_several_hosts_is_400(stage: Stage, hosts: list[str]) -> None:
    lines = "".join(f"Host: {host.format(port=stage.port)}\r\n" for host in hosts)
    answer = RawAnswer.read(await stage.raw(f"GET / HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode()))
    assert answer.status == 400


@pytest.mark.parametrize("version", ["HTTP/0.9", "HTTP/2.0", "HTTP/1.7", "HTTP/3.0"])
async def test_another_version_of_http_is_refused(stage: Stage, version: str) -> None:
    raw = await stage.raw(f"GET / {version}\r\nHost: localhost:{stage.port}\r\nConnection: close\r\n\r\n".encode())
    assert RawAnswer.read(raw).status in (400, 505)


async def test_a_request_of_http_1_0_names_its_host_too(stage: Stage) -> None:
    assert RawAnswer.read(await stage.raw(b"GET / HTTP/1.0\r\n\r\n")).status == 400


async def test_the_watch_over_ended_sessions_survives_a_fault_of_ours(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looked = asyncio.Event()

    async def look() -> None:
        if "looking for ended sessions" in caplog.text:
            looked.set()
        raise ZeroDivisionError

    monkeypatch.setattr(stage.proxy.watch, "look", look)
    async with asyncio.timeout(30):
        await looked.wait()


async def test_http_1_0_is_served(stage: Stage) -> None:
    raw = await stage.raw(f"GET /oauth2/sign_in HTTP/1.0\r\nHost: localhost:{stage.port}\r\n\r\n".encode())
    assert RawAnswer.read(raw).status == 200


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
async def test_methods_that_would_echo_or_open_a_tunnel_are_refused(
    stage: Stage, visitor: Visitor, method: str
) -> None:
    await visitor.login(f"{stage.url}/echo")
    answer = await stage.ask("/echo", visitor.cookie_line(stage.url), method=method)
    assert answer.status in (400, 405)
    assert stage.tool_requests["/echo"] == 1


async def test_an_absolute_target_for_us_is_read_as_its_path(stage: Stage, visitor: Visitor) -> None:
    await visitor.login(f"{stage.url}/echo")
    answer = await stage.ask(f"http://localhost:{stage.port}/echo?a", visitor.cookie_line(stage.url))
    assert json.loads(answer.body)["path"] == "/echo?a"
    assert (await stage.ask("http://other.example/echo", visitor.cookie_line(stage.url))).status == 421


async def test_a_fault_of_ours_is_a_500_with_words_and_a_request_id_and_its_traceback_is_in_the_log(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: Gateway, request: Any, target: Any) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(Gateway, "handle", broken)
    answer = await stage.ask("/x", *NAVIGATING)
    assert answer.status == 500
    assert b"secret detail" not in answer.body
    assert b"Traceback" not in answer.body
    assert answer.get("X-OAuth-Proxy")
    assert "ZeroDivisionError" in caplog.text


async def test_a_header_that_is_too_large_is_431_and_lets_the_browser_out_again(stage: Stage) -> None:
    answer = await stage.ask("/", "Cookie: " + "a" * 70_000)
    assert answer.status == 431
    assert answer.get("Clear-Site-Data") == '"cookies"'
    assert b"aaaa" not in answer.body
    assert b"<h1" in answer.body


async def test_cookies_far_beyond_8_kilobytes_are_read(stage: Stage, visitor: Visitor) -> None:
    await visitor.login(f"{stage.url}/echo")
    answer = await stage.ask("/echo", visitor.cookie_line(stage.url) + "; big=" + "a" * 40_000)
    assert answer.status in (200, 400, 431)
    assert answer.get("X-OAuth-Proxy") is None, "it is the tool's turn to find them too long"


async def test_an_address_that_is_too_long_is_414(stage: Stage) -> None:
    answer = await stage.ask("/" + "a" * 20_000)
    assert answer.status == 414
    assert b"aaaa" not in answer.body


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET\r\n\r\n", b"nonsense\r\n\r\n", b"\x00" * 100]
)
async def test_bytes_that_are_no_request_get_400_and_one_line_in_the_log(
    stage: Stage, junk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = RawAnswer.read(await stage.raw(junk + b"\r\n\r\n"))
    assert answer.status == 400
    assert "Traceback" not in caplog.text
    assert len([line for line in caplog.records if line.levelno >= logging.WARNING]) == 1


async def test_the_admin_listener_tells_metrics_and_health_and_the_public_one_does_not(
    stage: Stage, visitor: Visitor
) -> None:
    await visitor.login(f"{stage.url}/echo")
    async with ClientSession() as session:
        async with session.get(f"{stage.admin_url}/metrics") as answer:
            text = await answer.text()
        assert 'oauth_proxy_logins_total{result="signed_in"} 1.0' in text
        assert 'oauth_proxy_requests_total{by="tool",code="200"} 1.0' in text
        for call in ("exchange", "profile"):
            assert f'oauth_proxy_provider_calls_total{{call="{call}",result="ok"}} 1.0' in text
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/x", 404)):
            async with session.get(f"{stage.admin_url}{path}") as answer:
                assert answer.status == status
        async with session.post(f"{stage.admin_url}/healthz") as answer:
            assert answer.status == 405
    for path in ("/metrics", "/readyz"):
        assert (await stage.ask(path)).status == 401


@pytest.mark.parametrize("form", ["text", "json"])
async def test_the_access_log_has_no_query_and_says_who(
    visitor: Visitor, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    async with on_stage(log={"access": "true", "format": form}) as stage:
        await visitor.login(f"{stage.url}/echo?secret=value")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 4
    assert not [line for line in lines if "secret" in line or "code=" in line or "?" in line]
    if form == "json":
        said = json.loads(lines[-1])
        assert said["logger"] == "oauth_proxy.access"
        assert (said["level"], said["message"]) == ("info", "GET /echo 200")
    else:
        time, level, name, *fields = lines[-1].split()
        assert (level, name) == ("INFO", "access:")
        said = {"time": time} | dict(field.split("=") for field in fields)
    assert (said["method"], said["path"], str(said["status"])) == ("GET", "/echo", "200")
    assert said["upstream"] == "/"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said["time"])
    assert said["user"] == EDITOR.id
    assert said["client"] == "127.0.0.1"
    assert said["by"] == "tool"
    assert int(said["bytes"]) > 100
    assert 0 < float(said["seconds"]) < PATIENCE
    assert said["request_id"]


async def test_a_port_that_is_taken_is_a_sentence(stage: Stage) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{stage.port}"):
        async with on_stage(listen=f"127.0.0.1:{stage.port}"):
            pass


async def test_the_proxy_listens_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "proxy.sock"
    async with on_stage(listen=f"unix:{path}") as stage:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(
            f"GET /healthz HTTP/1.1\r\nHost: localhost:{stage.port}\r\nConnection: close\r\n\r\n".encode()
        )
        assert RawAnswer.read(await reader.read()).status == 401
        writer.close()


async def test_the_proxy_serves_https_with_the_certificate_it_is_given(visitor: Visitor, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    port = free_port()
    changes: dict[str, Any] = {
        "public_url": f"https://localhost:{port}",
        "listen": f"127.0.0.1:{port}",
        "tls": {"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")},
    }
    async with on_stage(**changes), Visitor(ssl=context) as secure:
        answer = await secure.get(f"https://localhost:{port}/oauth2/start")
        assert answer.status == 302
        assert answer.headers["Set-Cookie"].startswith("__Host-oauth_proxy-login-")
        assert "; Secure" in answer.headers["Set-Cookie"]


async def test_a_certificate_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("not a certificate")
    with pytest.raises(ConfigurationError, match="the file holds no certificate in PEM"):
        async with on_stage(tls={"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "cert.pem")}):
            pass


async def test_a_page_that_cannot_be_made_ends_in_plain_words(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Pages, **_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Pages, "error", broken)
    answer = await stage.ask("/oauth2/callback", *NAVIGATING)
    assert answer.status == 500
    assert answer.get("Content-Type") == "text/plain; charset=utf-8"
