"""The tool behind a real server, which believes what stands in front of it: never a visitor."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from oauth_proxy import believed
from tests.support.browser import Visitor
from tests.support.raw_http import Login, Wire, wired
from tests.support.tool_servers import SERVERS, Server, ask, told

HOOK = {"/hooks/frameio": {"secret": "a-webhook-secret"}}
VALUES = ["/assets", "/x", "evil.example.com", "https", "DELETE", "10.9.8.7", "on", "root"]
"""A prefix, a host, a scheme, a method, an address, a user."""
NAMES = [name.replace("*", "user") for names, _ in believed.table() for name in names]


@pytest.fixture(params=SERVERS, ids=lambda server: server.name)
async def real(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Wire, Server, str]]:
    """The proxy in front of each server in turn."""
    async with request.param.running(tmp_path) as where, wired(upstreams={"/": where}, webhooks=HOOK) as wire:
        yield wire, request.param, where


def spelled(value: str) -> list[list[str]]:
    """Header lines with every believed name in its spellings, no more at once than a request may have."""
    lines = [
        f"{form}: {value}"
        for name in NAMES
        for form in (name, name.upper().replace("-", "_"), name.replace("-", "."))
    ]
    return [lines[at : at + 110] for at in range(0, len(lines), 110)]


async def test_a_public_prefix_shows_no_private_page_whatever_a_real_server_believes(
    real: tuple[Wire, Server, str],
) -> None:
    wire, server, where = real
    assert await ask(where, "/assets/admin/x") != await ask(where, "/assets/admin/x", server.believed)
    assert (await wire.ask("/admin/x")).status == 401
    honest = told(await wire.ask("/assets/admin/x"))
    assert "/assets/admin/x" in honest.values()
    for line in (server.believed, "SCRIPT_NAME: /assets", "Script-Name: /assets", "script_name: /assets"):
        assert told(await wire.ask("/assets/admin/x", line)) == honest, line


async def test_no_believed_header_changes_what_a_real_server_makes_of_a_request(
    real: tuple[Wire, Server, str],
) -> None:
    wire, _, _ = real
    honest: dict[str, Any] = told(await wire.ask("/assets/admin/x"))
    for value in VALUES:
        for lines in spelled(value):
            assert told(await wire.ask("/assets/admin/x", *lines)) == honest, value


async def test_no_prefix_leads_a_real_server_to_a_webhook_that_nobody_signed(
    real: tuple[Wire, Server, str], visitor: Visitor
) -> None:
    wire, _, _ = real
    login: Login = await wire.login(visitor)
    assert (await wire.ask("/hooks/frameio", login.cookie, method="POST", body=b"{}")).status == 401
    honest = told(await wire.ask("/x/hooks/frameio", login.cookie, method="POST", body=b"{}"))
    for line in ("SCRIPT_NAME: /x", "X-Script-Name: /x", "X-Forwarded-Prefix: /x", "PATH_INFO: /hooks/frameio"):
        answer = await wire.ask("/x/hooks/frameio", login.cookie, line, method="POST", body=b"{}")
        assert told(answer) == honest, line
