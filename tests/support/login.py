"""What the tests of the login share: the callback before it is opened, the way on from a page, and what leaked."""

import html
import logging
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientResponse

from oauth_proxy.telemetry import JsonFormatter, TextFormatter
from tests.support.browser import Visitor
from tests.support.proxy import SECRET, Stage

COOKIE = "oauth_proxy"
BUTTON = re.compile(r'<a class="button" href="([^"]+)">')


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def at_the_door(stage: Stage, visitor: Visitor, path: str = "/echo", person: str = "Editor") -> str:
    """A good callback URL, which the visitor has not opened yet."""
    page = await visitor.follow(stage.url + path)
    if page.headers["X-Emulated-Page"] == "login":
        await visitor.press(page, person)
        page = await visitor.get(page.url)
    back = await visitor.press(page, "Allow")
    assert back.headers["Location"].startswith(f"{stage.url}/oauth2/callback?"), back.headers["Location"]
    return back.headers["Location"]


async def way_on(page: ClientResponse) -> str:
    """Where the one button of a page of ours leads."""
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    (url,) = BUTTON.findall(await page.text())
    return html.unescape(url)


def cookies(visitor: Visitor) -> dict[str, str]:
    """The proxy's cookies in this browser: value by name."""
    return {cookie.key: cookie.value for cookie in visitor.cookies if cookie.key.startswith(COOKIE)}


def session_cookie(visitor: Visitor) -> str | None:
    return cookies(visitor).get(COOKIE)


def attempts(visitor: Visitor) -> list[str]:
    return [name for name in cookies(visitor) if name.startswith(f"{COOKIE}-login-")]


def records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What the proxy has logged."""
    return [record for record in caplog.records if record.name.startswith("oauth_proxy")]


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The proxy's warnings and errors, as the people who run it read them."""
    return [TextFormatter().format(record) for record in records(caplog) if record.levelno >= logging.WARNING]


async def nothing_leaked(stage: Stage, visitor: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    """No secret of these logins is in the log, or in an answer or address where it does not belong."""
    codes, tokens = issued_codes(stage), issued_tokens(stage)
    states = {query(str(hop.url))["state"] for hop in visitor.hops if "state" in query(str(hop.url))}
    verifiers = {form["code_verifier"] for form in _forms(stage) if "code_verifier" in form}
    private = tokens | verifiers | {SECRET, *stage.keys}
    assert codes
    assert states
    for record in records(caplog):
        for line in (TextFormatter().format(record), JsonFormatter().format(record)):
            assert not _found(private | codes | states, line), line
    for hop in visitor.hops:
        assert not _found(private, str(hop.url)), hop.url
        if not hop.url.path.endswith("/callback"):
            assert not _found(codes, str(hop.url)), hop.url
        if hop.url.port == stage.port:
            await _check_answer(hop, private | codes, states)


async def _check_answer(hop: ClientResponse, private: set[str], states: set[str]) -> None:
    """The tool's echo shows the tool's own bearer; our answers show nothing, and a state only to Frame.io."""
    for name, value in hop.headers.items():
        assert not _found(private, value), name
        if name != "Location":
            assert not _found(states, value), name
    if "X-OAuth-Proxy" in hop.headers:
        body = await hop.text()
        assert not _found(private | states, body), hop.url
        assert "Traceback" not in body
        assert hop.headers["Cache-Control"] == "no-store"


def issued_codes(stage: Stage) -> set[str]:
    """Every code that the emulator has given out."""
    return set(stage.frameio.issued("code"))


def issued_tokens(stage: Stage) -> set[str]:
    """Every access and refresh token that the emulator has given out."""
    return {*stage.frameio.issued("access"), *stage.frameio.issued("refresh")}


def _forms(stage: Stage) -> list[Mapping[str, str]]:
    return [request.form for request in stage.frameio.token_requests]


def _found(secrets: set[str], text: str) -> list[str]:
    return [secret for secret in secrets if secret in text]
